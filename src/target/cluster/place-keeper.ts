/**
 * Where the stream can be begun again. A place counts once all that is in front of it is at the replicas of
 * the target too, as their masters say: a failover then loses nothing of it. How far each slot was is kept with
 * each, so that behind a failover the newest place is found of which nothing is lost.
 */
import { TargetError } from '../../errors.js'
import type { Checkpoint } from '../checkpoint.js'

export interface Place {
  readonly replOffset: number
  readonly db: number
  /** What else belongs to it: where each of several streams is. */
  readonly shards: ReadonlyMap<string, string> | undefined
}

/** Of one master: its own stream, and how far its replicas have it. */
export interface NodeReplication {
  readonly written: number
  readonly replicas: readonly number[]
  /** So many it has, by what the cluster says. */
  readonly wanted: number
}

export type Replication = ReadonlyMap<number, NodeReplication>

/** How far all slots are. */
export interface AppliedSlots {
  copyApplied(): readonly Float64Array[]
  /** They are as far as they were then. */
  covers(then: readonly Float64Array[]): boolean
}

interface Kept extends Place {
  readonly atMs: number
  readonly applied: readonly Float64Array[]
  /** By master: its stream when all in front of the place was written. */
  readonly written: ReadonlyMap<number, number>
}

/** A master that comes back by itself has lost less, where it keeps what it has on disk. */
const LAG_MS = 5000
/** A replica that is farther behind is not taken by a failover. */
const HOPELESS_MS = 600_000
/** More are thinned out: replicas are far behind then. */
const MOST_KEPT = 24

export class PlaceKeeper {
  last: Place = { replOffset: -1, db: 0, shards: undefined }
  readonly #slots: AppliedSlots
  /** Oldest first: what the last mark but one said, the last mark, and what waits to be one. */
  #kept: Kept[] = []
  #marked = 0

  constructor(slots: AppliedSlots) {
    this.#slots = slots
  }

  /** What lies in front of it is not asked for any more. */
  get keptReplOffset(): number {
    return this.#kept[0]?.replOffset ?? -1
  }

  get kept(): Place | undefined {
    return this.#kept[0]
  }

  /** Nothing is asked for again from in front of it. */
  beginAt(place: Place): void {
    this.#kept = []
    this.startAt(place)
  }

  /** The target has been told, and all slots are there. What lies behind it did not happen. */
  startAt(place: Place): void {
    const before = this.#kept.slice(0, this.#marked + 1)
    this.#kept = before.filter(({ replOffset }) => replOffset < place.replOffset).slice(-1)
    this.#marked = this.#kept.length
    this.last = place
    this.#keep(new Map())
  }

  /** The last place is a candidate; which may be told to the target now, if any. */
  look(replication: Replication, owners: readonly number[]): Place | undefined {
    if (owners.some((index) => !replication.has(index))) return undefined
    if (this.last.replOffset > (this.#kept.at(-1)?.replOffset ?? -1)) {
      this.#keep(new Map([...replication].map(([index, { written }]) => [index, written])))
    }
    const nowMs = performance.now()
    const best = this.#kept.findLastIndex((each) => isSafe(each, replication, owners, nowMs))
    return best > this.#marked ? this.#kept[best] : undefined
  }

  /** The target has been told. */
  marked(place: Place): void {
    const index = this.#kept.findIndex(({ replOffset }) => replOffset === place.replOffset)
    if (index <= this.#marked) return
    // A failover may lose the mark itself: the one before is still good for something.
    this.#kept.splice(this.#marked + 1, index - this.#marked - 1)
    this.#kept.splice(0, this.#marked)
    this.#marked = 1
  }

  /** The newest of which the slots, as they were read, lack nothing. Throws TargetError. */
  get newestWhole(): Place {
    const found = this.#kept.findLast(({ applied }) => this.#slots.covers(applied))
    if (found !== undefined) return found
    throw new TargetError(
      'ERR_TARGET_REWOUND',
      'a master of the target has gone back to a state older than what is kept of the source',
      { hint: 'begin anew with `emptyTarget`' },
    )
  }

  #keep(written: ReadonlyMap<number, number>): void {
    if (this.#kept.length >= MOST_KEPT) {
      this.#kept = this.#kept.filter((_, i) => i <= this.#marked + 1 || i % 2 === 0)
    }
    const applied = this.#slots.copyApplied()
    this.#kept.push({ ...this.last, atMs: performance.now(), applied, written })
  }
}

/** The checkpoint that says to begin there. */
export function atPlace(checkpoint: Checkpoint, { replOffset, db, shards }: Place): Checkpoint {
  return { ...checkpoint, nextReplOffset: replOffset, dbnum: db, shards }
}

function isSafe(
  { atMs, written }: Kept,
  replication: Replication,
  owners: readonly number[],
  nowMs: number,
): boolean {
  if (nowMs - atMs < LAG_MS) return false
  if (nowMs - atMs > HOPELESS_MS) return true
  return owners.every((index) => {
    const wanted = written.get(index)
    const node = replication.get(index)!
    if (wanted === undefined) return node.wanted === 0
    return node.replicas.filter((at) => at >= wanted).length >= node.wanted
  })
}
