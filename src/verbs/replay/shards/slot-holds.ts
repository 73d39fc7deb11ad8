/**
 * What of a shard's stream waits, by slot: a chain of stretches, each from where slots (or keys of them)
 * arrived to where they arrived again. A stretch waits by itself: between two of them the slot was
 * another shard's, and what that one wrote comes in between.
 */
import { clampedTo, type Needs } from './barriers.js'

/**
 * `key`: keys came by MIGRATE, or were written where the slot is not the shard's alone. `task`, `job`: all
 * at once, as Redis and as Valkey do it. `free`: what came before it did not count; nothing to wait for.
 */
export type HoldKind = 'key' | 'task' | 'job' | 'free'

export interface Hold {
  /** They begin here. */
  readonly from: number
  /** They are applied from here on, once they may; what is in front of it is another's story. */
  scanFrom: number
  /** What came with a task or a job begins here; -1: not seen. */
  windowFrom: number
  /** The source's db at `from`. */
  readonly db: number
  how: HoldKind
  /** Where the last of it arrived; -1: it is still coming. */
  arrival: number
  /** In front of `from` the slot was another shard's. */
  readonly wasGone: boolean
  /** The node that had it; empty: not known. */
  fromNode: string
  /** How far the others were when the last had arrived, once they have answered. */
  needs: Needs | undefined
  next: Hold | undefined
}

export type HoldBegin = Pick<Hold, 'from' | 'db' | 'how' | 'arrival' | 'wasGone'> & {
  fromNode?: string
}

export class SlotHolds {
  readonly #first = new Map<number, Hold>()

  get size(): number {
    return this.#first.size
  }

  clear(): void {
    this.#first.clear()
  }

  has(slot: number): boolean {
    return this.#first.has(slot)
  }

  get(slot: number): Hold | undefined {
    return this.#first.get(slot)
  }

  last(slot: number): Hold | undefined {
    let hold = this.#first.get(slot)
    while (hold?.next !== undefined) hold = hold.next
    return hold
  }

  entries(): Iterable<[number, Hold]> {
    return this.#first.entries()
  }

  /** Behind what waits already. */
  append(slot: number, hold: HoldBegin): void {
    const added = holdFrom(hold)
    const last = this.last(slot)
    if (last === undefined) this.#first.set(slot, added)
    else last.next = added
  }

  /** Its first stretch is over: what follows it waits on. */
  shift(slot: number): void {
    const next = this.#first.get(slot)?.next
    if (next === undefined) this.#first.delete(slot)
    else this.#first.set(slot, next)
  }

  /** Up to there it counts no more: another shard's state of the slot is behind it. */
  dropThrough(slot: number, replOffset: number): void {
    let hold = this.#first.get(slot)
    while (hold !== undefined && hold.arrival >= 0 && hold.arrival <= replOffset) hold = hold.next
    if (hold === undefined) {
      this.#first.delete(slot)
      return
    }
    if (hold.arrival >= 0) hold.scanFrom = Math.max(hold.scanFrom, replOffset + 1)
    this.#first.set(slot, hold)
  }

  /** In front of all that waits: it waits again, from there on. */
  unshift(slot: number, hold: HoldBegin): void {
    this.#first.set(slot, { ...holdFrom(hold), next: this.#first.get(slot) })
  }

  /** What the shard wrote behind it never happened: nothing waits for that. */
  clamp(shardId: string, replOffset: number): void {
    for (const first of this.#first.values()) {
      for (let hold: Hold | undefined = first; hold !== undefined; hold = hold.next) {
        if (hold.needs !== undefined) hold.needs = clampedTo(hold.needs, shardId, replOffset)
      }
    }
  }

  /** What was coming does not come, and is as if it had not been. */
  fail(slot: number, at: number): void {
    const last = this.last(slot)
    if (last === undefined || last.arrival >= 0) return
    if (last === this.#first.get(slot)) {
      this.#first.delete(slot)
      return
    }
    last.how = 'free'
    last.scanFrom = last.arrival = at
  }
}

/** From the first place on its commands are the shard's own; Infinity: nothing of it yet. */
export function ownSince(hold: Hold | undefined): number {
  if (hold === undefined) return Infinity
  const { how, arrival, from, next } = hold
  if (arrival < 0 || how === 'free') return ownSince(next)
  return how === 'task' || how === 'job' ? arrival : from
}

function holdFrom(begin: HoldBegin): Hold {
  const { from, arrival, fromNode = '' } = begin
  const windowFrom = arrival < 0 ? from : -1
  return { ...begin, scanFrom: from, windowFrom, fromNode, needs: undefined, next: undefined }
}
