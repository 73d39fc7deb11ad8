/**
 * The elements of one set, hash or sorted set, kept until the last has come, to be put in order.
 * Bytes lie one behind the other in one reused arena, their places in typed arrays. Bounded: when
 * `add` answers false, there is no more room, and the order of the file has to do.
 */
import { Buffer } from 'node:buffer'
import type { Slice } from '../rdb/visitor.js'

const MAX_BYTES = 24 << 20
const MAX_ELEMENTS = 400_000
const FIRST_BYTES = 1 << 16
const FIRST_ELEMENTS = 1 << 10
/** Begin and end of the first slice, end of the second (which begins where the first ends). */
const WORDS = 3

export class SortedElements {
  length = 0
  bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
  #byteCount = 0
  #places = new Int32Array(FIRST_ELEMENTS * WORDS)
  #numbers = new Float64Array(FIRST_ELEMENTS)

  clear(): void {
    this.length = 0
    this.#byteCount = 0
  }

  /** @param second a hash's value, a score's text; or undefined */
  add(first: Slice, second: Slice | undefined, number: number): boolean {
    const firstBytes = first.end - first.start
    const secondBytes = second === undefined ? 0 : second.end - second.start
    const needed = this.#byteCount + firstBytes + secondBytes
    if (needed > MAX_BYTES || this.length === MAX_ELEMENTS) return false
    this.#grow(needed)
    const place = this.length * WORDS
    this.#places[place] = this.#byteCount
    this.#append(first)
    this.#places[place + 1] = this.#byteCount
    if (second !== undefined) this.#append(second)
    this.#places[place + 2] = this.#byteCount
    this.#numbers[this.length] = number
    this.length += 1
    return true
  }

  firstStart(index: number): number {
    return this.#places[index * WORDS]!
  }

  firstEnd(index: number): number {
    return this.#places[index * WORDS + 1]!
  }

  /** The second slice begins at `firstEnd`. */
  secondEnd(index: number): number {
    return this.#places[index * WORDS + 2]!
  }

  number(index: number): number {
    return this.#numbers[index]!
  }

  /** Places in the order of the first slice's bytes; with `byNumber` the numbers come first. */
  order(byNumber: boolean): Int32Array {
    const order = new Int32Array(this.length)
    for (let index = 0; index < order.length; index += 1) order[index] = index
    return order.sort((a, b) => {
      if (byNumber) {
        const difference = this.#numbers[a]! - this.#numbers[b]!
        // Two infinities of one sign give NaN: equal.
        if (difference < 0 || difference > 0) return difference
      }
      return this.bytes.compare(
        this.bytes,
        this.firstStart(b),
        this.firstEnd(b),
        this.firstStart(a),
        this.firstEnd(a),
      )
    })
  }

  #append(slice: Slice): void {
    this.bytes.set(slice.bytes.subarray(slice.start, slice.end), this.#byteCount)
    this.#byteCount += slice.end - slice.start
  }

  #grow(neededBytes: number): void {
    if (neededBytes > this.bytes.length) {
      const next = Buffer.allocUnsafeSlow(Math.max(neededBytes, 2 * this.bytes.length))
      next.set(this.bytes.subarray(0, this.#byteCount))
      this.bytes = next
    }
    if (this.length < this.#numbers.length) return
    const places = new Int32Array(2 * this.#places.length)
    places.set(this.#places)
    this.#places = places
    const numbers = new Float64Array(2 * this.#numbers.length)
    numbers.set(this.#numbers)
    this.#numbers = numbers
  }
}
