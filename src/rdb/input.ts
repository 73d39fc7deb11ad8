/**
 * The bytes under the parser's cursor, and the primitives of the format (rdb-format: LEN, STR,
 * doubles, times).
 *
 * Chunks are read in place. Only what is left unread of one is kept, joined with the first bytes
 * of the next until the reader stands in that one, and so on: memory follows the largest thing
 * that has to be seen whole, and grows with bytes that came, never with a length that is claimed.
 *
 * A read that finds too few bytes throws `NEED_MORE`; the caller goes back to `committed`. A skip
 * may go beyond `end`: those bytes are dropped when they come.
 */
import { Buffer } from 'node:buffer'
import { kernelOf, type ByteKernel } from '../bytes/kernel.js'
import { lzfDecompress, lzfDecompressPrefix, lzfLength, LZF_MAX_EXPANSION } from '../bytes/lzf.js'
import type { StringSlot } from './slice.js'
import type { MutableU64 } from './u64.js'

class NeedMoreError extends Error {}

/** Thrown without a stack of its own: one object for all. */
export const NEED_MORE: Error = new NeedMoreError('more bytes are needed')

/** No string or count of a real file comes near; more is a damaged length. */
const MAX_LENGTH = 2 ** 48

/** Joined to what is left of a chunk at first, and at most; all else is read in place. */
const MIN_BRIDGE_BYTES = 1024
const MAX_BRIDGE_BYTES = 16384
const CARRY_BYTES = 16384
const KEEP_CARRY_BYTES = 4 << 20
/** From here on a step that wants more without saying how much waits for a quarter more. */
const BACKOFF_BYTES = 65536

const EMPTY = Buffer.alloc(0)

/** How the last string was stored. */
export const STORED = { RAW: 0, INTEGER: 1, LZF: 2 } as const
export type Stored = (typeof STORED)[keyof typeof STORED]

/** Makes the error; `byteOffset` counts from the start of the RDB. */
export type Fail = (message: string, byteOffset: number) => Error

const floatBytes = new Uint8Array(8)
const floatView = new DataView(floatBytes.buffer)

export class RdbInput {
  buf: Buffer = EMPTY
  pos = 0
  end = 0
  committed = 0
  /** Offset of buf[0] from the start of the RDB; negative where old bytes have been dropped. */
  base = 0
  /** Bytes taken so far. */
  received = 0
  /** How the last string was stored, and */
  stored: Stored = STORED.RAW
  /** True once a compressed string was met; reset by the parser. */
  sawCompressed = false

  /** Whose memory `buf` is in, if it is that of a kernel. */
  kernel: ByteKernel | undefined = undefined

  private carry: Buffer = EMPTY
  private viewedMemory: ArrayBufferLike | undefined = undefined
  private viewedKernel: ByteKernel | undefined = undefined
  /** Bytes from `committed` on without which the step at hand cannot go on. */
  private wanted = 0
  private readonly fail: Fail

  constructor(fail: Fail) {
    this.fail = fail
  }

  get byteOffset(): number {
    return this.base + this.pos
  }

  commit(): void {
    this.committed = this.pos
  }

  /**
   * Lets `run` see the chunk. `run` reads until NEED_MORE (it catches that and goes back to
   * `committed`) and returns false when nothing more is to be read; `suspend` is called before
   * bytes move or go away.
   */
  feed(chunk: Buffer, run: () => boolean, suspend: () => void): void {
    const chunkBase = this.received
    this.received += chunk.length
    let at = 0
    let bridge = MIN_BRIDGE_BYTES
    while (this.end > this.pos && at < chunk.length) {
      const have = this.end - this.pos
      const piece = Math.min(chunk.length - at, Math.max(bridge, this.wanted - have))
      bridge = Math.min(MAX_BRIDGE_BYTES, 2 * bridge)
      this.append(chunk, at, piece)
      at += piece
      if (this.end - this.pos < this.wanted) continue
      if (!this.runOnce(run)) return
      const unread = this.end - this.pos
      if (at < chunk.length && unread <= piece) {
        suspend()
        at -= unread
        this.view(chunk, chunkBase, at)
        break
      }
      suspend()
    }
    if (at === chunk.length && this.buf === this.carry) {
      this.dropCarry()
      return
    }
    if (this.buf !== chunk) this.view(chunk, chunkBase, at + (this.pos - this.end))
    if (this.pos < this.end && !this.runOnce(run)) return
    suspend()
    this.keepUnread()
  }

  /** Runs over a chunk that is all there is, and keeps nothing of it. */
  look(chunk: Buffer, run: () => boolean): void {
    this.received = chunk.length
    this.wanted = 0
    this.view(chunk, 0, 0)
    run()
    this.buf = EMPTY
  }

  /** The input has ended: one more try with what there is. */
  finish(run: () => boolean): void {
    this.wanted = 0
    run()
  }

  private runOnce(run: () => boolean): boolean {
    this.wanted = 0
    const more = run()
    if (more && this.wanted === 0 && this.end - this.pos > BACKOFF_BYTES) {
      this.wanted = Math.ceil((this.end - this.pos) * 1.25)
    }
    return more
  }

  private view(chunk: Buffer, chunkBase: number, at: number): void {
    this.buf = chunk
    this.base = chunkBase
    this.pos = at
    this.committed = at
    this.end = chunk.length
    if (chunk.buffer !== this.viewedMemory) {
      this.viewedMemory = chunk.buffer
      this.viewedKernel = kernelOf(chunk)
    }
    this.kernel = this.viewedKernel
  }

  /** Moves what is unread of a foreign chunk into memory of our own. */
  private keepUnread(): void {
    this.kernel = undefined
    const unread = this.end - this.pos
    const base = this.base + this.pos
    if (unread > 0) {
      if (this.carry.length < unread) {
        this.carry = Buffer.allocUnsafeSlow(Math.max(CARRY_BYTES, unread + (unread >> 1)))
      }
      this.buf.copy(this.carry, 0, this.pos, this.end)
      this.buf = this.carry
      this.base = base
      this.pos = 0
      this.end = unread
    } else {
      // What was skipped beyond the end stays as a distance.
      this.base = base + unread
      this.buf = EMPTY
      this.pos = -unread
      this.end = 0
      this.dropCarry()
    }
    this.committed = this.pos
  }

  private dropCarry(): void {
    if (this.carry.length > KEEP_CARRY_BYTES && this.end - this.pos < KEEP_CARRY_BYTES >> 1) {
      const unread = Math.max(0, this.end - this.pos)
      const smaller = Buffer.allocUnsafeSlow(CARRY_BYTES + unread)
      if (this.buf === this.carry && unread > 0) {
        this.carry.copy(smaller, 0, this.pos, this.end)
        this.base += this.pos
        this.pos = 0
        this.committed = 0
        this.end = unread
        this.buf = smaller
      }
      this.carry = smaller
    }
  }

  /** Joins chunk[at, at + count) to the unread bytes, which lie in `carry`. */
  private append(chunk: Buffer, at: number, count: number): void {
    this.kernel = undefined
    if (this.end + count > this.carry.length) {
      const unread = this.end - this.pos
      const target =
        unread + count > this.carry.length
          ? Buffer.allocUnsafeSlow(unread + count + ((unread + count) >> 1))
          : this.carry
      this.carry.copy(target, 0, this.pos, this.end)
      this.carry = target
      this.buf = target
      this.base += this.pos
      this.pos = 0
      this.committed = 0
      this.end = unread
    }
    chunk.copy(this.carry, this.end, at, at + count)
    this.end += count
  }

  // ── primitives ──────────────────────────────────────────────────────────────────────────────

  /** Makes sure that `count` bytes from `pos` on are there. */
  need(count: number): void {
    if (this.end - this.pos < count) {
      this.wanted = this.pos - this.committed + count
      throw NEED_MORE
    }
  }

  skip(count: number): void {
    this.pos += count
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
    return this.readLongLength(first)
  }

  private readLongLength(first: number): number {
    const { buf, pos } = this
    if (first < 0x80) {
      if (pos + 2 > this.end) throw NEED_MORE
      this.pos += 2
      return ((first & 0x3f) << 8) | buf[pos + 1]!
    }
    if (first === 0x80) {
      this.need(5)
      this.pos += 5
      return this.u32be(pos + 1)
    }
    if (first === 0x81) {
      this.need(9)
      const length = this.u32be(pos + 1) * 0x100000000 + this.u32be(pos + 5)
      if (length > MAX_LENGTH) {
        throw this.fail(`a length of ${length} is more than any file holds`, this.base + pos)
      }
      this.pos += 9
      return length
    }
    throw this.fail(
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
      into.set(this.u32be(this.pos + 1), this.u32be(this.pos + 5))
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
    into.set(this.u32be(this.pos), this.u32be(this.pos + 4))
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
      this.readEncodedString(first, slot, transient)
      return
    }
    const length = this.readLength()
    const start = this.pos
    if (this.end - start < length) this.need(length)
    this.pos = start + length
    this.stored = STORED.RAW
    slot.point(this.buf, start, this.pos)
  }

  private readEncodedString(first: number, slot: StringSlot, transient: boolean): void {
    if (first !== 0xc3) {
      slot.setInteger(this.readIntegerString(first))
      return
    }
    const at = this.base + this.pos
    this.pos += 1
    const { compressed, length } = this.readLzfHead(at)
    this.need(compressed)
    const start = this.pos
    const end = start + compressed
    // Before memory is taken for it: does the data give what is claimed?
    if (length > 1 << 20 && lzfLength(this.buf, start, end) !== length) throw this.lzfError(at)
    const { kernel } = this
    if (transient && kernel !== undefined && length <= kernel.stagingBytes) {
      const to = kernel.stagingAddress
      slot.point(kernel.memory, to, to + length)
    } else {
      slot.room(length)
    }
    if (!lzfDecompress(this.buf, start, end, slot.bytes, slot.start, length)) {
      throw this.lzfError(at)
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
    if (first !== 0xc3) return decimalLength(this.readIntegerString(first))
    const at = this.base + this.pos
    this.pos += 1
    const { compressed, length } = this.readLzfHead(at)
    if (verify) {
      this.need(compressed)
      if (lzfLength(this.buf, this.pos, this.pos + compressed) !== length) throw this.lzfError(at)
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
      slot.setInteger(this.readIntegerString(first))
      return slot.end
    }
    const at = this.base + this.pos
    this.pos += 1
    const { compressed, length } = this.readLzfHead(at)
    // Each token gives at least half of its own bytes; one may begin right before the last one.
    this.need(Math.min(compressed, 2 * wanted + 4))
    const shown = Math.min(wanted, length)
    const out = slot.room(shown)
    const end = this.pos + compressed
    if (lzfDecompressPrefix(this.buf, this.pos, end, out, 0, shown) !== shown) {
      throw this.lzfError(at)
    }
    this.pos = end
    this.stored = STORED.LZF
    this.sawCompressed = true
    return length
  }

  private readonly lzfHead = { compressed: 0, length: 0 }

  private readLzfHead(at: number): { compressed: number; length: number } {
    const head = this.lzfHead
    head.compressed = this.readLength()
    head.length = this.readLength()
    if (head.length > LZF_MAX_EXPANSION * head.compressed) {
      throw this.fail(
        `${head.compressed} compressed bytes cannot hold the ${head.length} that are claimed`,
        at,
      )
    }
    return head
  }

  private lzfError(at: number): Error {
    return this.fail('bad LZF data: not what its header says, or points before its start', at)
  }

  private readIntegerString(first: number): number {
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
    throw this.fail(`unknown string encoding ${first & 0x3f}`, this.base + pos)
  }

  u32le(at: number): number {
    const { buf } = this
    return (buf[at]! | (buf[at + 1]! << 8) | (buf[at + 2]! << 16) | (buf[at + 3]! << 24)) >>> 0
  }

  private u32be(at: number): number {
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
