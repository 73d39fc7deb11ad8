/**
 * Strings on their way to a visitor: a `StringSlot` points into the input where it can, and into
 * memory of its own where the file has the string in another form (an integer, compressed).
 */
import { Buffer } from 'node:buffer'
import type { Slice } from '../visitor.js'
import { writeI64, writeInteger } from '../values/u64.js'

const OWN_BYTES = 64
/** Scratch memory above this is given back when the key is done. */
const KEEP_BYTES = 4 << 20

const EMPTY = Buffer.alloc(0)

export class StringSlot implements Slice {
  bytes: Buffer = EMPTY
  start = 0
  end = 0
  #own = EMPTY

  point(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.start = start
    this.end = end
  }

  clear(): void {
    this.point(EMPTY, 0, 0)
  }

  /** Memory of the slot's own, at least so long. The slot points at its first `length` bytes. */
  room(length: number): Buffer {
    if (this.#own.length < length) {
      this.#own = Buffer.allocUnsafeSlow(Math.max(length, OWN_BYTES, this.#own.length * 2))
    }
    this.point(this.#own, 0, length)
    return this.#own
  }

  setInteger(value: number): void {
    const own = this.room(24)
    this.end = writeInteger(value, own, 0)
  }

  setI64(high: number, low: number): void {
    const own = this.room(24)
    this.end = writeI64(high, low, own, 0)
  }

  /** ASCII only. */
  setText(text: string): void {
    this.room(text.length)
    this.bytes.write(text, 0, 'latin1')
  }

  /** Copies what it points at into its own memory: the input is about to move. */
  retain(): void {
    if (this.bytes === this.#own || this.start === this.end) return
    const { bytes, start, end } = this
    const own = this.room(end - start)
    bytes.copy(own, 0, start, end)
  }

  /** A huge string must not stay in memory for the rest of the file. */
  release(): void {
    if (this.#own.length <= KEEP_BYTES) return
    this.#own = EMPTY
    this.clear()
  }
}

/** The text of a slice, one character a byte. Allocates: for small, rare things. */
export function latin1(slice: Slice): string {
  return slice.bytes.toString('latin1', slice.start, slice.end)
}
