/**
 * The order of an archive's bases, increments and gaps, and what it covers. Pure: what lies on
 * disk is found out elsewhere.
 *
 *   base 1 · incr · incr · base 2 · incr · GAP · base 3 · incr
 *   ╰──── generation ────╯╰ generation ╯         ╰ generation ╯
 *   ╰──────────── history ─────────────╯         ╰─ history ──╯
 *
 * A generation is a base and what came after it, up to the next base: what a server loads. A
 * history is what is without a gap; replication offsets mean something within one history only.
 */
import type { Manifest } from '../aof/manifest.js'
import type { BaseRecord, GapRecord, IncrRecord, TimelineEntry } from './sidecar.js'

export interface Generation {
  /** Undefined where the first increments have none before them. */
  base: BaseRecord | undefined
  incrs: IncrRecord[]
  /** What is missing behind it. */
  gap: GapRecord | undefined
}

/** A base ends the generation before it, a gap too. */
export function generationsOf(timeline: readonly TimelineEntry[]): Generation[] {
  const generations: Generation[] = []
  let open: Generation | undefined
  const begin = (base: BaseRecord | undefined): Generation => {
    const generation: Generation = { base, incrs: [], gap: undefined }
    generations.push(generation)
    return generation
  }
  for (const entry of timeline) {
    if (entry.kind === 'base') open = begin(entry)
    else if (entry.kind === 'incr') (open ??= begin(undefined)).incrs.push(entry)
    else {
      if (open !== undefined) open.gap = entry
      open = undefined
    }
  }
  return generations
}

/** As servers list it. */
export function manifestOf(generation: Generation | undefined): Manifest {
  const { base, incrs = [] } = generation ?? {}
  return {
    base: base && { name: base.file, seq: base.seq, type: 'b' },
    // No startoffset: Redis 8 takes a file's bytes for stream bytes, and ours hold marks too.
    incrs: incrs.map((incr) => ({ name: incr.file, seq: incr.seq, type: 'i' })),
    history: [],
  }
}

/** The last stream byte that is surely in it by the records alone: the newest increment, which is
 * being written, tells where it begins. */
export function knownEnd(generation: Generation): number {
  const last = generation.incrs.at(-1)
  return last?.endReplOffset ?? last?.startReplOffset ?? generation.base?.replOffset ?? -1
}
