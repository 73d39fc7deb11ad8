/**
 * The primitives of the format over the bytes at hand (rdb-format: LEN, STR, doubles, times).
 */
import { LZF_MAX_EXPANSION } from '../../kernels/abi.js'
import { lzfDecompress, lzfDecompressPrefix, lzfLength } from '../../kernels/lzf.js'
import { ChunkInput, NEED_MORE } from './chunk-input.js'
import type { StringSlot } from './slice.js'
import type { MutableU64 } from '../values/u64.js'

/** No string or count of a real file comes near; more is a damaged length. */
const MAX_LENGTH = 2 ** 48

/** How the last string was stored. */
export const STORED = { RAW: 0, INTEGER: 1, LZF: 2 } as const
export type Stored = (typeof STORED)[keyof typeof STORED]

/** Makes the error; `byteOffset` counts from the start of the RDB. */
export type Fail = (message: string, byteOffset: number) => Error

const floatBytes = new Uint8Array(8)
const floatView = new DataView(floatBytes.buffer)

export class RdbInput extends ChunkInput {
  /** How the last string was stored, and */
  stored: Stored = STORED.RAW
  /** True once a compressed string was met; reset by the parser. */
  sawCompressed = false

  readonly #fail: Fail

  constructor(fail: Fail) {
    super()
    this.#fail = fail
  }

  readByte(): number {
    if (this.pos >= this.end) throw NEED_MORE
    const byte = this.buf[this.pos]!
    this.pos += 1
    return byte
  }

  /**
   * LEN: a count or size. The top two bits of the first byte say how it is stored:
   *
   *   00xxxxxx                       6 bits, in this byte
   *   01xxxxxx xxxxxxxx              14 bits
   *   10000000 + 4 bytes big endian  32 bits
   *   10000001 + 8 bytes big endian  64 bits
   */
  readLength(): number {
    if (this.pos >= this.end) throw NEED_MORE
    const first = this.buf[this.pos]!
    if (first < 0x40) {
      this.pos += 1
      return first
    }
    return this.#readLongLength(first)
  }

  #readLongLength(first: number): number {
    const { buf, pos } = this
    if (first < 0x80) {
      if (pos + 2 > this.end) throw NEED_MORE
      this.pos += 2
      return ((first & 0x3f) << 8) | buf[pos + 1]!
    }
    if (first === 0x80) {
      this.need(5)
      this.pos += 5
      return this.#u32be(pos + 1)
    }
    if (first === 0x81) {
      this.need(9)
      const length = this.#u32be(pos + 1) * 0x100000000 + this.#u32be(pos + 5)
      if (length > MAX_LENGTH) {
        throw this.#fail(`a length of ${length} is more than any file holds`, this.base + pos)
      }
      this.pos += 9
      return length
    }
    throw this.#fail(
      first >= 0xc0
        ? `a string encoding (byte 0x${first.toString(16)}) where a length belongs`
        : `0x${first.toString(16)} starts no length`,
      this.base + pos,
    )
  }

  /** LEN as data: all 64 bits. */
  readU64(into: MutableU64): void {
    if (this.pos >= this.end) throw NEED_MORE
    if (this.buf[this.pos] === 0x81) {
      this.need(9)
      into.set(this.#u32be(this.pos + 1), this.#u32be(this.pos + 5))
      this.pos += 9
    } else {
      into.set(0, this.readLength())
    }
  }

  /** 8 bytes little endian, as halves. */
  readU64le(into: MutableU64): void {
    this.need(8)
    into.set(this.u32le(this.pos + 4), this.u32le(this.pos))
    this.pos += 8
  }

  /** 8 bytes big endian, as halves: one part of a stream id. */
  readU64be(into: MutableU64): void {
    this.need(8)
    into.set(this.#u32be(this.pos), this.#u32be(this.pos + 4))
    this.pos += 8
  }

  /** i64le as a number: exact up to 2^53, which no time reaches. */
  readI64le(): number {
    this.need(8)
    const { pos } = this
    this.pos += 8
    return (this.u32le(pos + 4) | 0) * 0x100000000 + this.u32le(pos)
  }

  readI32le(): number {
    this.need(4)
    const { pos } = this
    this.pos += 4
    return this.u32le(pos) | 0
  }

  readDouble(): number {
    this.need(8)
    for (let index = 0; index < 8; index += 1) floatBytes[index] = this.buf[this.pos + index]!
    this.pos += 8
    return floatView.getFloat64(0, true)
  }

  readFloat(): number {
    this.need(4)
    for (let index = 0; index < 4; index += 1) floatBytes[index] = this.buf[this.pos + index]!
    this.pos += 4
    return floatView.getFloat32(0, true)
  }

  /**
   * STR, whole. The slot points into the input, or at its own memory; with `transient` perhaps at a
   * kernel's, where the next call of a kernel may write over it.
   */
  readString(slot: StringSlot, transient = false): void {
    if (this.pos >= this.end) throw NEED_MORE
    const first = this.buf[this.pos]!
    if (first >= 0xc0) {
      this.#readEncodedString(first, slot, transient)
      return
    }
    const length = this.readLength()
    const start = this.pos
    if (this.end - start < length) this.need(length)
    this.pos = start + length
    this.stored = STORED.RAW
    slot.point(this.buf, start, this.pos)
  }

  #readEncodedString(first: number, slot: StringSlot, transient: boolean): void {
    if (first !== 0xc3) {
      slot.setInteger(this.#readIntegerString(first))
      return
    }
    const at = this.base + this.pos
    this.pos += 1
    const { compressed, length } = this.#readLzfHead(at)
    this.need(compressed)
    const start = this.pos
    const end = start + compressed
    // Before memory is taken for it: does the data give what is claimed?
    if (length > 1 << 20 && lzfLength(this.buf, start, end) !== length) throw this.#lzfError(at)
    const { kernel } = this
    if (transient && kernel !== undefined && length <= kernel.stagingBytes) {
      const to = kernel.stagingAddress
      slot.point(kernel.memory, to, to + length)
    } else {
      slot.room(length)
    }
    if (!lzfDecompress(this.buf, start, end, slot.bytes, slot.start, length)) {
      throw this.#lzfError(at)
    }
    this.pos = end
    this.stored = STORED.LZF
    this.sawCompressed = true
  }

  /** Steps over STR, also where it has not come yet; returns its length once decoded. */
  skipString(verify: boolean): number {
    if (this.pos >= this.end) throw NEED_MORE
    const first = this.buf[this.pos]!
    if (first < 0xc0) {
      const length = first < 0x40 ? ((this.pos += 1), first) : this.readLength()
      this.pos += length
      this.stored = STORED.RAW
      return length
    }
    if (first !== 0xc3) return decimalLength(this.#readIntegerString(first))
    const at = this.base + this.pos
    this.pos += 1
    const { compressed, length } = this.#readLzfHead(at)
    if (verify) {
      this.need(compressed)
      if (lzfLength(this.buf, this.pos, this.pos + compressed) !== length) throw this.#lzfError(at)
    }
    this.pos += compressed
    this.stored = STORED.LZF
    this.sawCompressed = true
    return length
  }

  /**
   * Steps over STR but shows its first bytes: up to `wanted` of them in `slot`, fewer where the
   * string is shorter. Returns the whole length once decoded.
   */
  skipStringPrefix(slot: StringSlot, wanted: number): number {
    if (this.pos >= this.end) throw NEED_MORE
    const first = this.buf[this.pos]!
    if (first < 0xc0) {
      const length = this.readLength()
      const shown = Math.min(wanted, length)
      this.need(shown)
      slot.point(this.buf, this.pos, this.pos + shown)
      this.pos += length
      this.stored = STORED.RAW
      return length
    }
    if (first !== 0xc3) {
      slot.setInteger(this.#readIntegerString(first))
      return slot.end
    }
    const at = this.base + this.pos
    this.pos += 1
    const { compressed, length } = this.#readLzfHead(at)
    // Each token gives at least half of its own bytes; one may begin right before the last one.
    this.need(Math.min(compressed, 2 * wanted + 4))
    const shown = Math.min(wanted, length)
    const out = slot.room(shown)
    const end = this.pos + compressed
    if (lzfDecompressPrefix(this.buf, this.pos, end, out, 0, shown) !== shown) {
      throw this.#lzfError(at)
    }
    this.pos = end
    this.stored = STORED.LZF
    this.sawCompressed = true
    return length
  }

  /** What stands in front of a compressed string's data, which is read by the caller. */
  readLzfLengths(): { readonly compressed: number; readonly length: number } {
    const at = this.base + this.pos
    this.pos += 1
    const head = this.#readLzfHead(at)
    this.stored = STORED.LZF
    this.sawCompressed = true
    return head
  }

  readonly #lzfHead = { compressed: 0, length: 0 }

  #readLzfHead(at: number): { compressed: number; length: number } {
    const head = this.#lzfHead
    head.compressed = this.readLength()
    head.length = this.readLength()
    if (head.length > LZF_MAX_EXPANSION * head.compressed) {
      throw this.#fail(
        `${head.compressed} compressed bytes cannot hold the ${head.length} that are claimed`,
        at,
      )
    }
    return head
  }

  #lzfError(at: number): Error {
    return this.#fail('bad LZF data: not what its header says, or points before its start', at)
  }

  #readIntegerString(first: number): number {
    const { pos, buf } = this
    this.stored = STORED.INTEGER
    if (first === 0xc0) {
      this.need(2)
      this.pos += 2
      return (buf[pos + 1]! << 24) >> 24
    }
    if (first === 0xc1) {
      this.need(3)
      this.pos += 3
      return ((buf[pos + 1]! | (buf[pos + 2]! << 8)) << 16) >> 16
    }
    if (first === 0xc2) {
      this.need(5)
      this.pos += 5
      return this.u32le(pos + 1) | 0
    }
    throw this.#fail(`unknown string encoding ${first & 0x3f}`, this.base + pos)
  }

  u32le(at: number): number {
    const { buf } = this
    return (buf[at]! | (buf[at + 1]! << 8) | (buf[at + 2]! << 16) | (buf[at + 3]! << 24)) >>> 0
  }

  #u32be(at: number): number {
    const { buf } = this
    return ((buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!) >>> 0
  }
}

/** How long the decimal text of an integer is. */
export function decimalLength(value: number): number {
  let length = value < 0 ? 2 : 1
  for (let rest = Math.abs(value); rest >= 10; rest = Math.floor(rest / 10)) length += 1
  return length
}
