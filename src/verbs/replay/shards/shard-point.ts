/**
 * How far one shard of a source has come in the target, as the checkpoint keeps it:
 *
 *   replid, next   of its history; the next byte wanted
 *   db             the source's db at the first byte that is read again
 *   held           slots of which something in front of `next` waits: [first, last, from there on]
 *   gone           slots that another shard has now: what this one still says of them does not count
 *   owns           slots whose last writes that were applied are its own
 *   open           of these, slots that came key by key, of which others may have a part
 *   members        its nodes, by which it is known again behind a failover
 */
import type { SlotRanges } from '../../../topology/cluster-nodes.js'

export interface ShardPoint {
  readonly replid: string
  readonly next: number
  readonly db: number
  readonly held: readonly (readonly [first: number, last: number, from: number])[]
  readonly gone: SlotRanges
  /** Undefined: an earlier rrep did not say. */
  readonly owns: SlotRanges | undefined
  readonly open: SlotRanges | undefined
  readonly members: readonly string[]
}

export function formatPoint(point: ShardPoint): string {
  return JSON.stringify(point)
}

/** Undefined: not what we wrote. */
export function parsePoint(text: string): ShardPoint | undefined {
  try {
    const point = JSON.parse(text) as Partial<ShardPoint>
    const { replid, next, db, held, gone, owns, open, members } = point
    if (replid === undefined || next === undefined || held === undefined) return undefined
    return { replid, next, db: db ?? 0, held, gone: gone ?? [], owns, open, members: members ?? [] }
  } catch {
    return undefined
  }
}

export function parsePoints(fields: ReadonlyMap<string, string>): ReadonlyMap<string, ShardPoint> {
  const points = new Map<string, ShardPoint>()
  for (const [id, text] of fields) {
    const point = parsePoint(text)
    if (point !== undefined) points.set(id, point)
  }
  return points
}

/** The first byte that something still wants. */
export function firstWanted({ held, next }: ShardPoint): number {
  return held.reduce((least, [, , from]) => Math.min(least, from), next)
}

/** Sorted slots as ranges; of those with the same value only. */
export function rangesBy<Value>(
  slots: Iterable<number>,
  valueOf: (slot: number) => Value,
): readonly (readonly [number, number, Value])[] {
  const ranges: [number, number, Value][] = []
  for (const slot of [...slots].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    const value = valueOf(slot)
    if (last?.[1] === slot - 1 && last[2] === value) last[1] = slot
    else ranges.push([slot, slot, value])
  }
  return ranges
}

/** Those of these slots, as ranges. */
export function asRanges(slots: readonly number[]): SlotRanges {
  return rangesBy(slots, () => 0).map(([first, last]) => [first, last] as const)
}

/** By slot: those where `set` is 1, or `value`. */
export function rangesOfSet(set: Uint8Array | Int16Array, value = 1): SlotRanges {
  const ranges: (readonly [number, number])[] = []
  for (let at = set.indexOf(value); at >= 0; at = set.indexOf(value, at)) {
    const first = at
    while (at < set.length && set[at] === value) at += 1
    ranges.push([first, at - 1])
  }
  return ranges
}

export function slotsIn(ranges: SlotRanges): number[] {
  return ranges.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  )
}
