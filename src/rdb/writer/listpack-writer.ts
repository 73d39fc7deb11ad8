/**
 * A listpack, entry by entry: bytes in all, number of entries, then of each its bytes and how many these are,
 * then an end. Text that is an integer of 64 bits stands as one, as servers write it.
 */
import { Buffer } from 'node:buffer'
import type { BacklenHabit } from '../../servers/capabilities.js'

const HEAD_BYTES = 6
const FIRST_BYTES = 1 << 12
/** More entries than this are not counted. */
const MOST_COUNTED = 0xffff
const END = 0xff
/** The longest text of an integer of 64 bits. */
const INTEGER_TEXT_BYTES = 20
const INTEGER = /^(0|-?[1-9][0-9]*)$/
/** What is before the bytes of an entry, and behind them. */
const MOST_AROUND_BYTES = 10

export class ListpackWriter {
  entries = 0
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #end = HEAD_BYTES
  readonly #narrow: boolean

  constructor(backlen: BacklenHabit) {
    this.#narrow = backlen === 'narrow'
  }

  clear(): void {
    this.entries = 0
    this.#end = HEAD_BYTES
  }

  /** All of it; valid until something is added. */
  finish(): Buffer {
    this.#room(1)
    this.#bytes[this.#end] = END
    const whole = this.#bytes.subarray(0, this.#end + 1)
    whole.writeUInt32LE(whole.length, 0)
    whole.writeUInt16LE(Math.min(this.entries, MOST_COUNTED), 4)
    return whole
  }

  /** The entries of another one. */
  append(other: ListpackWriter): void {
    const length = other.#end - HEAD_BYTES
    this.#room(length)
    other.#bytes.copy(this.#bytes, this.#end, HEAD_BYTES, other.#end)
    this.#end += length
    this.entries += other.entries
  }

  text(text: Buffer): void {
    const number = integerOf(text)
    if (number !== undefined) {
      this.integer(number)
      return
    }
    const { length } = text
    this.#room(length + MOST_AROUND_BYTES)
    const bytes = this.#bytes
    let at = this.#end
    if (length < 64) {
      bytes[at++] = 0x80 | length
    } else if (length < 4096) {
      at = bytes.writeUInt16BE(0xe000 | length, at)
    } else {
      bytes[at] = 0xf0
      at = bytes.writeUInt32LE(length, at + 1)
    }
    this.#close(at + text.copy(bytes, at))
  }

  /** Of 64 bits, signed. */
  integer(value: bigint): void {
    this.#room(MOST_AROUND_BYTES)
    const bytes = this.#bytes
    const at = this.#end
    const number = Number(value)
    if (value >= 0n && value < 128n) {
      this.#close(bytes.writeUInt8(number, at))
    } else if (isWithin(value, 13)) {
      this.#close(bytes.writeUInt16BE(0xc000 | (number & 0x1fff), at))
    } else if (isWithin(value, 16)) {
      bytes[at] = 0xf1
      this.#close(bytes.writeInt16LE(number, at + 1))
    } else if (isWithin(value, 24)) {
      bytes[at] = 0xf2
      this.#close(bytes.writeIntLE(number, at + 1, 3))
    } else if (isWithin(value, 32)) {
      bytes[at] = 0xf3
      this.#close(bytes.writeInt32LE(number, at + 1))
    } else {
      bytes[at] = 0xf4
      this.#close(bytes.writeBigInt64LE(value, at + 1))
    }
  }

  /** Behind an entry its length stands, to be read from its end: seven bits a byte, the lowest last. */
  #close(entryEnd: number): void {
    const length = entryEnd - this.#end
    // At a border one line of servers takes a byte more than it needs.
    const size = this.#narrow ? length : length + 1
    let count = 1
    for (let rest = length <= 127 ? 0 : Math.floor(size / 128); rest > 0; rest >>>= 7) count += 1
    for (let index = count - 1; index >= 0; index -= 1) {
      const bits = Math.floor(length / 128 ** index) & 127
      this.#bytes[entryEnd + count - 1 - index] = index === count - 1 ? bits : bits | 128
    }
    this.#end = entryEnd + count
    this.entries += 1
  }

  #room(byteCount: number): void {
    const needed = this.#end + byteCount
    if (needed <= this.#bytes.length) return
    const wider = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    this.#bytes.copy(wider, 0, 0, this.#end)
    this.#bytes = wider
  }
}

function isWithin(value: bigint, bits: number): boolean {
  return BigInt.asIntN(bits, value) === value
}

function integerOf(text: Buffer): bigint | undefined {
  if (text.length === 0 || text.length > INTEGER_TEXT_BYTES) return undefined
  const latin1 = text.toString('latin1')
  if (!INTEGER.test(latin1)) return undefined
  const value = BigInt(latin1)
  return isWithin(value, 64) ? value : undefined
}
