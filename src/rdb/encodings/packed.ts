/**
 * A cursor over the packed blobs that values are stored in: ziplist, listpack, intset, zipmap. One
 * class for all, so that whoever walks them is the same code at the same speed. Every length is
 * checked before it is used; the walk ends exactly at the blob's end or with an error.
 *
 *   reader.openListpack(bytes, start, end)
 *   while (reader.next()) …          // at reader.start…end, or the integer reader.number
 *
 * Nothing is allocated. The blob must stay where it is during the walk.
 */
import { Buffer } from 'node:buffer'
import type { StringSlot } from '../io/slice.js'
import type { MutableU64 } from '../values/u64.js'

export type BlobFail = (message: string, at: number) => Error

const FORMAT = { LISTPACK: 0, ZIPLIST: 1, INTSET: 2, ZIPMAP: 3 } as const
type Format = (typeof FORMAT)[keyof typeof FORMAT]

/** The count of a blob with more entries than fit 16 bits: walk to know. */
const COUNT_UNKNOWN = 65535

const EMPTY = Buffer.alloc(0)

export class PackedReader {
  bytes: Buffer = EMPTY
  /** An entry had a size at which servers disagree; the caller resets it. */
  sawDisputedLength = false
  /** Position of the entry's first byte (of its prevlen, in a ziplist). */
  entryAt = 0
  /** The entry without prevlen and backlen: encoding and data. Same bytes, same element. */
  codeAt = 0
  codeEnd = 0
  /** The element: bytes[start, end) or, if `isInteger`, `number`. */
  isInteger = false
  start = 0
  end = 0
  /** Exact, unless `isWide`: then the halves are, and this is the nearest double. */
  number = 0
  isWide = false
  high = 0
  low = 0
  /** Entries so far. */
  entries = 0

  #format: Format = FORMAT.LISTPACK
  #at = 0
  /** Position of the terminator. */
  #stop = 0
  #expected = 0
  #previousSize = 0
  #tailAt = 0
  #width = 0
  #inValue = false
  readonly #fail: BlobFail

  /** @param fail makes the error; `at` is a position in the blob's `bytes` */
  constructor(fail: BlobFail) {
    this.#fail = fail
  }

  /**
   *   u32le total · u16le count · entries · ff
   */
  openListpack(bytes: Buffer, start: number, end: number): void {
    this.#open(FORMAT.LISTPACK, bytes, start, end)
    const length = end - start
    if (length < 7) throw this.#fail(`a listpack of ${length} bytes is too short`, start)
    const total = u32le(bytes, start)
    if (total !== length) {
      throw this.#fail(`the listpack says it has ${total} bytes, it has ${length}`, start)
    }
    if (bytes[end - 1] !== 0xff) throw this.#fail('the listpack does not end in 0xff', end - 1)
    this.#expected = bytes[start + 4]! | (bytes[start + 5]! << 8)
    this.#at = start + 6
    this.#stop = end - 1
  }

  /**
   *   u32le total · u32le offset of the last entry · u16le count · entries · ff
   */
  openZiplist(bytes: Buffer, start: number, end: number): void {
    this.#open(FORMAT.ZIPLIST, bytes, start, end)
    const length = end - start
    if (length < 11) throw this.#fail(`a ziplist of ${length} bytes is too short`, start)
    const total = u32le(bytes, start)
    if (total !== length) {
      throw this.#fail(`the ziplist says it has ${total} bytes, it has ${length}`, start)
    }
    this.#tailAt = start + u32le(bytes, start + 4)
    if (this.#tailAt >= end || this.#tailAt < start + 10) {
      throw this.#fail("the ziplist's tail offset points outside", start + 4)
    }
    if (bytes[end - 1] !== 0xff) throw this.#fail('the ziplist does not end in 0xff', end - 1)
    this.#expected = bytes[start + 8]! | (bytes[start + 9]! << 8)
    this.#at = start + 10
    this.#stop = end - 1
    this.#previousSize = 0
    this.entryAt = start + 10
  }

  /**
   *   u32le width (2, 4, 8) · u32le count · count signed integers, ascending
   */
  openIntset(bytes: Buffer, start: number, end: number): void {
    this.#open(FORMAT.INTSET, bytes, start, end)
    const length = end - start
    if (length < 8) throw this.#fail(`an intset of ${length} bytes is too short`, start)
    this.#width = u32le(bytes, start)
    if (this.#width !== 2 && this.#width !== 4 && this.#width !== 8) {
      throw this.#fail(`an intset cannot have a width of ${this.#width} bytes`, start)
    }
    this.#expected = u32le(bytes, start + 4)
    if (length !== 8 + this.#expected * this.#width) {
      throw this.#fail(
        `the intset says it has ${this.#expected} members of ${this.#width} bytes, ` +
          `its length is ${length}`,
        start + 4,
      )
    }
    this.#at = start + 8
    this.#stop = end
  }

  /**
   *   u8 count (254 and more: unknown) · pairs of (length key, length free value, unused bytes) · ff
   */
  openZipmap(bytes: Buffer, start: number, end: number): void {
    this.#open(FORMAT.ZIPMAP, bytes, start, end)
    if (end - start < 2) throw this.#fail(`a zipmap of ${end - start} bytes is too short`, start)
    if (bytes[end - 1] !== 0xff) throw this.#fail('the zipmap does not end in 0xff', end - 1)
    this.#expected = bytes[start]! < 254 ? bytes[start]! * 2 : -1
    this.#at = start + 1
    this.#stop = end - 1
    this.#inValue = false
  }

  #open(format: Format, bytes: Buffer, start: number, end: number): void {
    this.#format = format
    this.bytes = bytes
    this.entries = 0
    this.start = start
    this.end = end
  }

  /** What the header says; -1 where only walking would tell. */
  get statedEntries(): number {
    if (this.#format === FORMAT.INTSET || this.#format === FORMAT.ZIPMAP) return this.#expected
    return this.#expected === COUNT_UNKNOWN ? -1 : this.#expected
  }

  /** Moves to the next element; false at the end, which has then been checked. */
  next(): boolean {
    switch (this.#format) {
      case FORMAT.LISTPACK:
        return this.#nextListpack()
      case FORMAT.ZIPLIST:
        return this.#nextZiplist()
      case FORMAT.INTSET:
        return this.#nextIntset()
      case FORMAT.ZIPMAP:
        return this.#nextZipmap()
    }
  }

  /** The element as bytes: where it lies, or as decimal text. */
  render(slot: StringSlot): void {
    if (!this.isInteger) slot.point(this.bytes, this.start, this.end)
    else if (this.isWide) slot.setI64(this.high, this.low)
    else slot.setInteger(this.number)
  }

  /** Length of the element as bytes. */
  get length(): number {
    if (!this.isInteger) return this.end - this.start
    let digits = this.number < 0 ? 2 : 1
    // Of wide numbers the double can round up to one more digit only at 10^k, which it holds.
    let rest = Math.abs(this.number)
    while (rest >= 10) {
      rest /= 10
      digits += 1
    }
    return digits
  }

  /** The element as a 64-bit number is added to `target`, modulo 2^64. */
  addTo(target: MutableU64): void {
    const { number } = this
    // What does not fit 32 bits was read as two halves.
    if (number >= -0x80000000 && number <= 0x7fffffff) target.add(number < 0 ? -1 : 0, number)
    else target.add(this.high, this.low)
  }

  /** Goes to where another reader stands in the same blob, to read the elements behind again. */
  follow(other: PackedReader): void {
    this.#format = other.#format
    this.bytes = other.bytes
    this.#at = other.#at
    this.#stop = other.#stop
    this.entries = other.entries
    this.#expected = other.#expected
  }

  /** Steps over elements; false if there are not so many. */
  skip(count: number): boolean {
    for (let left = count; left > 0; left -= 1) if (!this.next()) return false
    return true
  }

  /**
   *   0vvvvvvv            unsigned, 7 bits        f0 u32le …  string
   *   10llllll …          string ≤ 63             f1 i16le    f2 i24le
   *   110vvvvv v          signed, 13 bits         f3 i32le    f4 i64le
   *   1110llll l …        string ≤ 4095           ff          end
   *
   * and behind each the size of that, 7 bits a byte, highest first, all but the first with bit 7.
   */
  #nextListpack(): boolean {
    const { bytes } = this
    const stop = this.#stop
    const at = this.#at
    if (at >= stop) {
      this.#endOfWalk(this.#expected === COUNT_UNKNOWN)
      return false
    }
    const code = bytes[at]!
    let size: number
    if (code < 0x80) {
      this.#setNumber(code)
      size = 1
    } else if (code < 0xc0) {
      this.isInteger = false
      this.start = at + 1
      size = 1 + (code & 0x3f)
      this.end = at + size
    } else if (code < 0xe0) {
      this.#setNumber(((((code & 0x1f) << 8) | bytes[at + 1]!) << 19) >> 19)
      size = 2
    } else if (code < 0xf0) {
      this.isInteger = false
      this.start = at + 2
      size = 2 + (((code & 0x0f) << 8) | bytes[at + 1]!)
      this.end = at + size
    } else if (code === 0xf0) {
      if (at + 5 > stop) throw this.#overrun('listpack', at)
      this.isInteger = false
      this.start = at + 5
      size = 5 + u32le(bytes, at + 1)
      this.end = at + size
    } else if (code <= 0xf4) {
      size = code === 0xf4 ? 9 : code === 0xf3 ? 5 : code - 0xf1 + 3
      if (at + size > stop) throw this.#overrun('listpack', at)
      this.#readSigned(at + 1, size - 1)
    } else {
      throw this.#fail(
        code === 0xff
          ? 'the listpack ends before its end'
          : `0x${code.toString(16)} is no listpack encoding`,
        at,
      )
    }
    const codeEnd = at + size
    this.entryAt = at
    this.codeAt = at
    this.codeEnd = codeEnd
    this.entries += 1
    if (size < 128) {
      if (codeEnd >= stop) throw this.#overrun('listpack', at)
      if (bytes[codeEnd] !== size) throw this.#wrongBacklen(codeEnd)
      this.#at = codeEnd + 1
    } else {
      this.#at = this.#checkBacklen(codeEnd, size)
    }
    return true
  }

  #setNumber(value: number): void {
    this.isInteger = true
    this.isWide = false
    this.number = value
  }

  #readSigned(at: number, width: number): void {
    const { bytes } = this
    if (width === 2) {
      this.#setNumber(((bytes[at]! | (bytes[at + 1]! << 8)) << 16) >> 16)
    } else if (width === 3) {
      this.#setNumber(((bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)) << 8) >> 8)
    } else if (width === 4) {
      this.#setNumber(u32le(bytes, at) | 0)
    } else if (width === 1) {
      this.#setNumber((bytes[at]! << 24) >> 24)
    } else {
      this.low = u32le(bytes, at)
      this.high = u32le(bytes, at + 4)
      this.number = (this.high | 0) * 0x100000000 + this.low
      this.isInteger = true
      this.isWide = !Number.isSafeInteger(this.number)
    }
  }

  /**
   * At the sizes 16383, 2097151 and 268435455 servers disagree on the width: Valkey 9.1 and Redis
   * 8.8 have one byte less there. Both are read: a first byte of 0 tells the wide form.
   */
  #checkBacklen(at: number, size: number): number {
    const { bytes } = this
    const stop = this.#stop
    let width = size < 16383 ? 2 : size < 2097151 ? 3 : size < 268435455 ? 4 : 5
    if (size === 16383 || size === 2097151 || size === 268435455) {
      this.sawDisputedLength = true
      if (bytes[at] === 0x7f) width -= 1
    }
    if (at + width > stop) throw this.#overrun('listpack', this.entryAt)
    let rest = size
    for (let index = at + width - 1; index >= at; index -= 1) {
      const bits = index === at ? rest : (rest & 0x7f) | 0x80
      if (bytes[index] !== bits) throw this.#wrongBacklen(at)
      rest = Math.floor(rest / 128)
    }
    return at + width
  }

  #wrongBacklen(at: number): Error {
    return this.#fail("a listpack entry's back-length does not match its size", at)
  }

  #overrun(what: string, at: number): Error {
    return this.#fail(`a ${what} entry runs past the end of the ${what}`, at)
  }

  /**
   * prevlen (u8 < 254, or fe u32le), then the encoding:
   *
   *   00llllll …      string ≤ 63        c0 i16le   d0 i32le   e0 i64le   f0 i24le   fe i8
   *   01llllll l …    string, 14 bits    f1…fd      0…12
   *   10------ u32be  string
   */
  #nextZiplist(): boolean {
    const { bytes } = this
    const stop = this.#stop
    let at = this.#at
    if (at >= stop) {
      this.#endOfWalk(this.#expected === COUNT_UNKNOWN)
      if (this.#tailAt !== this.entryAt) {
        throw this.#fail("the ziplist's tail offset is not that of its last entry", this.#tailAt)
      }
      return false
    }
    const entryAt = at
    let previous = bytes[at]!
    at += 1
    if (previous === 0xff) throw this.#fail('the ziplist ends before its end', entryAt)
    if (previous === 0xfe) {
      if (at + 4 > stop) throw this.#overrun('ziplist', entryAt)
      previous = u32le(bytes, at)
      at += 4
    }
    if (previous !== this.#previousSize) {
      throw this.#fail(
        `a ziplist entry says the one before has ${previous} bytes, it has ${this.#previousSize}`,
        entryAt,
      )
    }
    if (at >= stop) throw this.#overrun('ziplist', entryAt)
    const code = bytes[at]!
    this.codeAt = at
    if (code < 0xc0) {
      this.isInteger = false
      let length: number
      if (code < 0x40) {
        length = code
        at += 1
      } else if (code < 0x80) {
        length = ((code & 0x3f) << 8) | bytes[at + 1]!
        at += 2
      } else {
        if (at + 5 > stop) throw this.#overrun('ziplist', entryAt)
        length =
          ((bytes[at + 1]! << 24) |
            (bytes[at + 2]! << 16) |
            (bytes[at + 3]! << 8) |
            bytes[at + 4]!) >>>
          0
        at += 5
      }
      this.start = at
      at += length
      this.end = at
    } else if (code >= 0xf1 && code <= 0xfd) {
      this.#setNumber(code - 0xf1)
      at += 1
    } else {
      const width =
        code === 0xc0
          ? 2
          : code === 0xd0
            ? 4
            : code === 0xe0
              ? 8
              : code === 0xf0
                ? 3
                : code === 0xfe
                  ? 1
                  : 0
      if (width === 0) throw this.#fail(`0x${code.toString(16)} is no ziplist encoding`, at)
      if (at + 1 + width > stop) throw this.#overrun('ziplist', entryAt)
      this.#readSigned(at + 1, width)
      at += 1 + width
    }
    if (at > stop) throw this.#overrun('ziplist', entryAt)
    this.codeEnd = at
    this.entryAt = entryAt
    this.#previousSize = at - entryAt
    this.entries += 1
    this.#at = at
    return true
  }

  #nextIntset(): boolean {
    const at = this.#at
    if (at >= this.#stop) return false
    const { number, high, low } = this
    this.#readSigned(at, this.#width)
    if (this.entries > 0) {
      const ascending =
        this.#width < 8 || number !== this.number
          ? this.number > number
          : (this.high | 0) > (high | 0) || (this.high === high && this.low > low)
      if (!ascending) throw this.#fail('the members of an intset are not in ascending order', at)
    }
    this.entryAt = at
    this.codeAt = at
    this.codeEnd = at + this.#width
    this.entries += 1
    this.#at = this.codeEnd
    return true
  }

  #nextZipmap(): boolean {
    const { bytes } = this
    const stop = this.#stop
    let at = this.#at
    if (at >= stop) {
      if (this.#inValue) throw this.#fail('the last field of a zipmap has no value', at)
      this.#endOfWalk(this.#expected < 0)
      return false
    }
    this.entryAt = at
    let length = bytes[at]!
    at += 1
    if (length === 0xfe) {
      if (at + 4 > stop) throw this.#overrun('zipmap', this.entryAt)
      length = u32le(bytes, at)
      at += 4
    } else if (length === 0xff) {
      throw this.#fail('the zipmap ends before its end', this.entryAt)
    }
    let unused = 0
    if (this.#inValue) {
      if (at >= stop) throw this.#overrun('zipmap', this.entryAt)
      unused = bytes[at]!
      at += 1
    }
    if (at + length + unused > stop) throw this.#overrun('zipmap', this.entryAt)
    this.isInteger = false
    this.start = at
    this.end = at + length
    this.codeAt = at
    this.codeEnd = this.end
    this.#at = this.end + unused
    this.#inValue = !this.#inValue
    this.entries += 1
    return true
  }

  #endOfWalk(unknown: boolean): void {
    if (this.#at !== this.#stop) throw this.#fail('the last entry runs over the end', this.#at)
    if (!unknown && this.entries !== this.#expected) {
      throw this.#fail(
        `the header says ${this.#expected} entries, there are ${this.entries}`,
        this.#stop,
      )
    }
  }
}

function u32le(bytes: Buffer, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  )
}
