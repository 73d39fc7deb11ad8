/**
 * The pending entries of one consumer group, as the RDB tells them: first all of the group (id,
 * delivery time and count, in order of id), then by consumer only their ids. Whoever wants both
 * together must keep the first list: 40 bytes an entry, in typed arrays that are reused.
 */
import type { StreamId } from '../rdb/visitor.js'

const FIRST_CAPACITY = 1024
const WORDS_PER_ID = 4
export const NO_OWNER = -1

/** Stream ids in ascending order, 16 bytes each. */
export class StreamIdList {
  length = 0
  #words = new Uint32Array(FIRST_CAPACITY * WORDS_PER_ID)

  clear(): void {
    this.length = 0
    if (this.#words.length > 64 * FIRST_CAPACITY) {
      this.#words = new Uint32Array(FIRST_CAPACITY * WORDS_PER_ID)
    }
  }

  add(id: StreamId): void {
    const at = this.length * WORDS_PER_ID
    if (at === this.#words.length) {
      const next = new Uint32Array(2 * this.#words.length)
      next.set(this.#words)
      this.#words = next
    }
    this.#words[at] = id.ms.high
    this.#words[at + 1] = id.ms.low
    this.#words[at + 2] = id.seq.high
    this.#words[at + 3] = id.seq.low
    this.length += 1
  }

  /** The place of the id, or -1. */
  indexOf(id: StreamId): number {
    let low = 0
    let high = this.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const order = this.#compareAt(middle, id)
      if (order === 0) return middle
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  /** Copies the id at `index` into `into`. */
  read(index: number, into: { ms: MutableWords; seq: MutableWords }): void {
    const at = index * WORDS_PER_ID
    into.ms.set(this.#words[at]!, this.#words[at + 1]!)
    into.seq.set(this.#words[at + 2]!, this.#words[at + 3]!)
  }

  #compareAt(index: number, id: StreamId): number {
    const words = this.#words
    const at = index * WORDS_PER_ID
    if (words[at] !== id.ms.high) return words[at]! - id.ms.high
    if (words[at + 1] !== id.ms.low) return words[at + 1]! - id.ms.low
    if (words[at + 2] !== id.seq.high) return words[at + 2]! - id.seq.high
    return words[at + 3]! - id.seq.low
  }
}

interface MutableWords {
  set(high: number, low: number): void
}

export class PendingList {
  readonly ids = new StreamIdList()
  #deliveries = new Float64Array(2 * FIRST_CAPACITY)
  #owners = new Int32Array(FIRST_CAPACITY)

  get length(): number {
    return this.ids.length
  }

  clear(): void {
    this.ids.clear()
    if (this.#owners.length > 64 * FIRST_CAPACITY) {
      this.#deliveries = new Float64Array(2 * FIRST_CAPACITY)
      this.#owners = new Int32Array(FIRST_CAPACITY)
    }
  }

  add(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void {
    const index = this.ids.length
    if (index === this.#owners.length) {
      const deliveries = new Float64Array(4 * index)
      deliveries.set(this.#deliveries)
      this.#deliveries = deliveries
      const owners = new Int32Array(2 * index)
      owners.set(this.#owners)
      this.#owners = owners
    }
    this.ids.add(id)
    this.#deliveries[2 * index] = deliveryTimeMs
    this.#deliveries[2 * index + 1] = deliveryCount
    this.#owners[index] = NO_OWNER
  }

  deliveryTimeMs(index: number): number {
    return this.#deliveries[2 * index]!
  }

  deliveryCount(index: number): number {
    return this.#deliveries[2 * index + 1]!
  }

  /** Who holds the entry: the number that `setOwner` gave, or NO_OWNER. */
  owner(index: number): number {
    return this.#owners[index]!
  }

  setOwner(index: number, owner: number): void {
    this.#owners[index] = owner
  }
}
