/**
 * The N keys of a stream of keys with most of something: a heap over numbers, so that a key that
 * does not belong costs one comparison; only those that enter are copied.
 */
import { Buffer } from 'node:buffer'
import type { KeyHeader, ValueStats } from '../rdb/visitor.js'

export interface KeyFacts {
  readonly dbnum: number
  readonly key: Buffer
  /** As TYPE says it; a module's type by its own name. */
  readonly type: string
  readonly encoding: string
  readonly memory: number
  readonly elements: number
  /** Unix ms, or -1 for none. */
  readonly expireAtMs: number
}

export interface RankedKey {
  readonly rank: number
  readonly facts: KeyFacts
}

export interface OrderedKey extends RankedKey {
  /** Of equal ones those with the lowest are kept. */
  readonly order: number
}

export class TopKeys {
  readonly #limit: number
  /** A binary heap, the smallest at its root. */
  readonly #heap: OrderedKey[] = []
  /** What a key must exceed to enter. */
  threshold: number
  #added = 0

  constructor(limit: number) {
    this.#limit = limit
    this.threshold = limit > 0 ? -1 : Number.POSITIVE_INFINITY
  }

  /** Cheap: true where `add` would keep the key. */
  wants(rank: number): boolean {
    return rank > this.threshold
  }

  /** The same where keys come in another order than that which decides between equal ones. */
  wantsAt(rank: number, order: number): boolean {
    if (rank !== this.threshold) return rank > this.threshold
    return order < this.#heap[0]!.order
  }

  /** @param order left out: of equal ones the first to come are kept */
  add(facts: KeyFacts, rank = facts.memory, order = this.#added): void {
    const heap = this.#heap
    const entry = { rank, order, facts }
    this.#added += 1
    if (heap.length < this.#limit) {
      heap.push(entry)
      this.#up(heap.length - 1)
    } else {
      heap[0] = entry
      this.#down()
    }
    if (heap.length === this.#limit) this.threshold = heap[0]!.rank
  }

  state(): readonly OrderedKey[] {
    return this.#heap
  }

  addState(keys: readonly OrderedKey[]): void {
    if (this.#limit === 0) return
    for (const { rank, order, facts } of keys) {
      if (this.#heap.length < this.#limit || this.wantsAt(rank, order)) this.add(facts, rank, order)
    }
  }

  /** Largest first; equal ones by db and key. */
  sorted(): KeyFacts[] {
    return this.ranked().map(({ facts }) => facts)
  }

  ranked(): RankedKey[] {
    return [...this.#heap].sort(
      ({ rank: a, facts: left }, { rank: b, facts: right }) =>
        b - a || left.dbnum - right.dbnum || Buffer.compare(left.key, right.key),
    )
  }

  #up(from: number): void {
    const heap = this.#heap
    let at = from
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBelow(heap[at]!, heap[above]!)) return
      const moved = heap[above]!
      heap[above] = heap[at]!
      heap[at] = moved
      at = above
    }
  }

  #down(): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let least = at
      for (let child = 2 * at + 1; child <= 2 * at + 2 && child < heap.length; child += 1) {
        if (isBelow(heap[child]!, heap[least]!)) least = child
      }
      if (least === at) return
      const moved = heap[least]!
      heap[least] = heap[at]!
      heap[at] = moved
      at = least
    }
  }
}

function isBelow(a: OrderedKey, b: OrderedKey): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.order > b.order)
}

/** Copies what a header says: for keys that are kept. */
export function keyFacts(
  header: KeyHeader,
  stats: ValueStats,
  type: string,
  encoding: string,
  memory: number,
): KeyFacts {
  const { bytes, start, end } = header.key
  return {
    dbnum: header.dbnum,
    key: Buffer.from(bytes.subarray(start, end)),
    type,
    encoding,
    memory,
    elements: stats.elements,
    expireAtMs: header.hasExpiry ? header.expireAtMs : -1,
  }
}
