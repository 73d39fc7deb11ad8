/**
 * One moment of a cluster's archive: up to where each shard is read, and whose keys count in each slot.
 *
 * All shards are read up to the same second, by when their bytes were received: and a key that moved may
 * have been received as gone before it was as come. So where slots arrived at the begin of the next second,
 * that is read, too. Where all of a slot came at once, its keys are then those of the new owner,
 * which came with all that was ever written to them; while it moves key by key they are those of both,
 * and of a key that both have the new one's. While the archives caught up behind a pause, the streams came
 * further apart than that: the moment is then the last one before. In any case they are read up to where
 * slots arrived that count: what was noted last in front of a kill was received once more behind it. Pure.
 */
import { MomentError } from '../errors.js'
import { SLOT_COUNT, type SlotRanges } from '../topology/cluster-nodes.js'
import {
  HANDOVER_STEP_MS,
  type ClusterRecord,
  type HandoverRecord,
  type TopologyRecord,
} from './cluster-record.js'
import type { Until } from './moment.js'

/** Further apart two streams of one process are not received. */
const SKEW_MS = HANDOVER_STEP_MS

export interface ShardMoment {
  readonly shard: string
  readonly directory: string
  readonly until: Until
}

export interface ClusterMoment {
  /** What was asked for, or the last moment before at which the archives were whole. */
  readonly until: Until
  /** Of those whose keys count somewhere. */
  readonly shards: readonly ShardMoment[]
  /** By slot: the number of its shard in `shards`, or -1. */
  readonly owners: Int16Array
  /** By slot, while it moves key by key: the shard whose keys count as well, but those that the
   * owner has. -1: none. */
  readonly second: Int16Array
}

/** Throws MomentError where the cluster was not seen by then. */
export function clusterMoment(record: ClusterRecord, until: Until): ClusterMoment {
  if (until !== undefined && 'offset' in until) throw noOffset()
  return wholeMoment(record, wholeUntil(record, until))
}

function wholeMoment(record: ClusterRecord, until: Until): ClusterMoment {
  const untilSeconds =
    until === undefined || 'offset' in until ? Infinity : Math.floor(until.unixMs / 1000)
  const at = topologyAt(record.topology, untilSeconds)
  const names = record.shards.map(({ id }) => id)
  const owners = new Int16Array(SLOT_COUNT).fill(-1)
  const second = new Int16Array(SLOT_COUNT).fill(-1)
  for (const { shard, slots } of at.now.owners) fill(owners, slots, names.indexOf(shard))
  for (const { slot, from, to } of at.now.moves) pair(owners, second, slot, names, from, to)
  const endMs = (untilSeconds + 1) * 1000
  const near = record.handovers
    .filter(({ unixMs }) => unixMs < endMs + SKEW_MS)
    .sort((a, b) => a.unixMs - b.unixMs)
  const whole = new Uint8Array(SLOT_COUNT)
  const leastOffsets = new Map<string, number>()
  for (const { kind, shard, slots, unixMs, replOffset } of near) {
    if (unixMs + HANDOVER_STEP_MS <= at.now.sinceMs) continue
    if (replOffset <= (at.now.replOffsets?.[shard] ?? -1)) continue
    const to = names.indexOf(shard)
    leastOffsets.set(shard, Math.max(replOffset, leastOffsets.get(shard) ?? -1))
    for (const slot of each(slots)) {
      if (kind === 'slots') {
        owners[slot] = to
        second[slot] = -1
        whole[slot] = 1
      } else if (owners[slot] !== to) {
        second[slot] = owners[slot]!
        owners[slot] = to
      }
    }
  }
  // It may have changed already when it was looked at next.
  if (at.next !== undefined && at.next.sinceMs < endMs) {
    for (const { shard, slots } of at.next.owners) {
      const to = names.indexOf(shard)
      for (const slot of each(slots)) {
        if (whole[slot] === 1 || owners[slot] === to || second[slot] !== -1) continue
        if (isHandedOver(record.handovers, slot, shard)) continue
        second[slot] = owners[slot]!
        owners[slot] = to
      }
    }
  }
  return { ...onlyUsed(record, until, leastOffsets, owners, second) }
}

/** While the archives caught up, one may have had what another still missed: the moment is then the end
 * of the last second before. */
function wholeUntil({ catchUps = [] }: ClusterRecord, until: Until): Until {
  let untilMs = until !== undefined && 'unixMs' in until ? until.unixMs : Infinity
  const second = (unixMs: number): number => Math.floor(unixMs / 1000)
  for (const { fromMs, toMs } of [...catchUps].sort((a, b) => b.fromMs - a.fromMs)) {
    const isOver = toMs !== undefined && second(untilMs) >= second(toMs)
    if (!isOver && second(untilMs) >= second(fromMs)) untilMs = second(fromMs) * 1000 - 1
  }
  return untilMs === Infinity ? until : { unixMs: untilMs }
}

function onlyUsed(
  { shards }: ClusterRecord,
  until: Until,
  leastOffsets: ReadonlyMap<string, number>,
  owners: Int16Array,
  second: Int16Array,
): ClusterMoment {
  const used = new Set([...owners, ...second])
  const kept = shards.flatMap((shard, index) => (used.has(index) ? [{ ...shard, index }] : []))
  const numbers = new Map(kept.map(({ index }, number) => [index, number]))
  const renumbered = (of: Int16Array): Int16Array => of.map((index) => numbers.get(index) ?? -1)
  return {
    until,
    shards: kept.map(({ id, directory }) => ({
      shard: id,
      directory,
      until:
        until === undefined || 'offset' in until
          ? undefined
          : { unixMs: until.unixMs, leastOffset: leastOffsets.get(id) },
    })),
    owners: renumbered(owners),
    second: renumbered(second),
  }
}

function topologyAt(
  topology: readonly TopologyRecord[],
  untilSeconds: number,
): { now: TopologyRecord; next: TopologyRecord | undefined } {
  const untilMs = untilSeconds * 1000 + 999
  const index = topology.findLastIndex(({ unixMs }) => unixMs <= untilMs)
  const now = topology[index]
  if (now === undefined) {
    const from = topology[0]?.unixMs
    const begin = from === undefined ? '' : `: it begins at ${new Date(from).toISOString()}`
    throw new MomentError('before-first-base', `the archive has no state that old${begin}`, {
      details: { fromMs: from },
    })
  }
  return { now, next: topology[index + 1] }
}

/** Slots that arrive as a whole are told with their place. */
function isHandedOver(handovers: readonly HandoverRecord[], slot: number, shard: string): boolean {
  return handovers.some(
    (handover) =>
      handover.kind === 'slots' &&
      handover.shard === shard &&
      handover.slots.some(([first, last]) => first <= slot && slot <= last),
  )
}

function pair(
  owners: Int16Array,
  second: Int16Array,
  slot: number,
  names: readonly string[],
  from: string,
  to: string,
): void {
  const [old, fresh] = [names.indexOf(from), names.indexOf(to)]
  if (old < 0 || fresh < 0 || old === fresh) return
  owners[slot] = fresh
  second[slot] = old
}

function fill(owners: Int16Array, slots: SlotRanges, value: number): void {
  for (const [first, last] of slots) owners.fill(value, first, last + 1)
}

function* each(slots: SlotRanges): Generator<number> {
  for (const [first, last] of slots) for (let slot = first; slot <= last; slot += 1) yield slot
}

function noOffset(): MomentError {
  return new MomentError('no-times', 'each shard of a cluster counts offsets of its own', {
    hint: 'name a time, or the archive of one shard',
  })
}
