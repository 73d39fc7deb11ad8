/**
 * Names that were met, each with its db: whether one comes again. Held are 64 bits of hash for each
 * (about 20 bytes of memory a key), so of ten million names two are taken for one once in 400,000
 * runs.
 */
import type { Buffer } from 'node:buffer'
import { hashOf, secondHash } from './duplicates.js'

const FIRST_SLOTS = 1 << 10
const MOST_FULL = 0.7

export class KeyNames {
  /** Two hashes a slot; 0, 0: free. */
  #slots = new Int32Array(FIRST_SLOTS * 2)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** True if it was there before. */
  add(dbnum: number, bytes: Buffer, start: number, end: number): boolean {
    const mixed = Math.imul(dbnum, 0x85ebca6b)
    let low = hashOf(bytes, start, end) ^ mixed
    const high = secondHash(bytes, start, end) ^ ((mixed << 13) | (mixed >>> 19))
    if ((low | high) === 0) low = 1
    if (!this.#insert(low, high)) return true
    if (this.#count > (this.#slots.length / 2) * MOST_FULL) this.#grow()
    return false
  }

  #insert(low: number, high: number): boolean {
    const slots = this.#slots
    const mask = slots.length - 1
    let at = ((low ^ (high >>> 7)) << 1) & mask
    while ((slots[at]! | slots[at + 1]!) !== 0) {
      if (slots[at] === low && slots[at + 1] === high) return false
      at = (at + 2) & mask
    }
    slots[at] = low
    slots[at + 1] = high
    this.#count += 1
    return true
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Int32Array(before.length * 2)
    this.#count = 0
    for (let at = 0; at < before.length; at += 2) {
      if ((before[at]! | before[at + 1]!) !== 0) this.#insert(before[at]!, before[at + 1]!)
    }
  }
}
