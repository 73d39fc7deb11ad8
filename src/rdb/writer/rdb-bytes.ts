/**
 * The small things that an RDB is made of, written to an `OutputBuffer`: lengths, strings, 64-bit
 * numbers, opcodes and the end with its checksum. What the reader's io/input.ts reads, the other way
 * round. Nothing is allocated for any of them.
 */
import { Buffer } from 'node:buffer'
import { Crc64 } from '../../kernels/crc64.js'
import { lzfCompress } from '../../kernels/lzf.js'
import type { OutputBuffer } from '../../bytes/output-buffer.js'
import { OPCODE } from '../numbers.js'
import type { Slice, StreamId, U64 } from '../visitor.js'

/** The longest form of a length: a mark and 64 bits. */
const LENGTH_BYTES = 9
/** Longer texts are no integers of 32 bits. */
const INTEGER_TEXT_BYTES = 11
const [DIGIT_0, DIGIT_9, MINUS] = [48, 57, 45]
const CHECKSUM_BYTES = 8
/** Servers compress no shorter string, … */
export const COMPRESSED_FROM_BYTES = 21
/** … and none that does not become so much shorter. */
const LEAST_SAVED_BYTES = 4
const LZF_MARK = 0xc3
const LZF_HEAD_BYTES = 1 + 2 * LENGTH_BYTES
/** From this version on a checksum stands behind EOF. */
const CHECKSUM_VERSION = 5

export class RdbBytes {
  readonly out: OutputBuffer
  /** Long strings are compressed where that makes them shorter. */
  readonly lzf: boolean
  readonly #crc = new Crc64()

  /** @param out everything that goes through it from now on counts for the checksum */
  constructor(out: OutputBuffer, lzf = false) {
    this.out = out
    this.lzf = lzf
    out.onFlush = (bytes) => this.#crc.update(bytes)
  }

  /** LEN: 1, 2, 5 or 9 bytes. */
  length(value: number): void {
    const { out } = this
    out.room(LENGTH_BYTES)
    const { bytes } = out
    let at = out.pos
    if (value < 64) {
      bytes[at++] = value
    } else if (value < 16_384) {
      bytes[at++] = 0x40 | (value >> 8)
      bytes[at++] = value & 255
    } else if (value <= 0xffffffff) {
      bytes[at++] = 0x80
      at = bytes.writeUInt32BE(value, at)
    } else {
      bytes[at++] = 0x81
      at = bytes.writeUInt32BE(Math.floor(value / 0x100000000), at)
      at = bytes.writeUInt32BE(value >>> 0, at)
    }
    out.pos = at
  }

  /** LEN of a number that uses all of 64 bits. */
  u64(value: U64): void {
    if (value.high === 0) {
      this.length(value.low)
      return
    }
    const { out } = this
    out.room(LENGTH_BYTES)
    out.bytes[out.pos] = 0x81
    out.bytes.writeUInt32BE(value.high, out.pos + 1)
    out.bytes.writeUInt32BE(value.low, out.pos + 5)
    out.pos += LENGTH_BYTES
  }

  /** LEN of 2^64 − 1: unknown. */
  u64Max(): void {
    const { out } = this
    out.room(LENGTH_BYTES)
    out.bytes[out.pos] = 0x81
    out.bytes.fill(255, out.pos + 1, out.pos + LENGTH_BYTES)
    out.pos += LENGTH_BYTES
  }

  /** The id of a stream entry as two LEN. */
  lengthId(id: StreamId): void {
    this.u64(id.ms)
    this.u64(id.seq)
  }

  /** The same as 16 raw bytes, big endian. */
  rawId(id: StreamId): void {
    const { out } = this
    out.room(16)
    let at = out.bytes.writeUInt32BE(id.ms.high, out.pos)
    at = out.bytes.writeUInt32BE(id.ms.low, at)
    at = out.bytes.writeUInt32BE(id.seq.high, at)
    out.pos = out.bytes.writeUInt32BE(id.seq.low, at)
  }

  /** i64le of an integer that a double holds exactly. */
  i64(value: number): void {
    const { out } = this
    out.room(8)
    out.bytes.writeInt32LE(value | 0, out.pos)
    out.bytes.writeInt32LE(Math.floor(value / 0x100000000), out.pos + 4)
    out.pos += 8
  }

  double(value: number): void {
    this.out.room(8)
    this.out.pos = this.out.bytes.writeDoubleLE(value, this.out.pos)
  }

  float(value: number): void {
    this.out.room(4)
    this.out.pos = this.out.bytes.writeFloatLE(value, this.out.pos)
  }

  /** STR: integers of up to 32 bits as such, as servers write them, else a length and the bytes. */
  string(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (end - start <= INTEGER_TEXT_BYTES && this.#integer(bytes, start, end)) return
    this.plainString(bytes, start, end)
  }

  slice({ bytes, start, end }: Slice): void {
    this.string(bytes, start, end)
  }

  /** STR that is no integer. */
  plainString(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (this.lzf && end - start >= COMPRESSED_FROM_BYTES && this.#compressed(bytes, start, end))
      return
    this.length(end - start)
    this.out.write(bytes, start, end)
  }

  aux(name: string, value: string): void {
    this.out.byte(OPCODE.AUX)
    this.string(Buffer.from(name, 'latin1'))
    this.string(Buffer.from(value, 'latin1'))
  }

  /** EOF, and behind it the checksum of all that went out. Nothing may be held. */
  end(version: number): void {
    const { out } = this
    out.byte(OPCODE.EOF)
    out.flush()
    if (version < CHECKSUM_VERSION) return
    out.onFlush = undefined
    out.room(CHECKSUM_BYTES)
    this.#crc.writeTo(out.bytes, out.pos)
    out.pos += CHECKSUM_BYTES
    out.flush()
  }

  /** False: it does not become shorter, nothing was written. */
  #compressed(bytes: Uint8Array, start: number, end: number): boolean {
    const { out } = this
    const length = end - start
    out.room(LZF_HEAD_BYTES + length)
    // How long its head is is known behind it.
    const at = out.pos + LZF_HEAD_BYTES
    const size = lzfCompress(bytes, start, end, out.bytes, at, at + length - LEAST_SAVED_BYTES)
    if (size === 0) return false
    out.bytes[out.pos++] = LZF_MARK
    this.length(size)
    this.length(length)
    out.bytes.copyWithin(out.pos, at, at + size)
    out.pos += size
    return true
  }

  /** False: it is no canonical text of an integer of 32 bits, nothing was written. */
  #integer(bytes: Uint8Array, start: number, end: number): boolean {
    let at = start
    const isNegative = bytes[at] === MINUS
    if (isNegative) at += 1
    const first = bytes[at]
    if (at >= end || first === undefined || first < DIGIT_0 || first > DIGIT_9) return false
    // Neither 007 nor -0 would come back as they were.
    if (first === DIGIT_0 && (end - at > 1 || isNegative)) return false
    let value = 0
    for (; at < end; at += 1) {
      const byte = bytes[at]!
      if (byte < DIGIT_0 || byte > DIGIT_9) return false
      value = value * 10 + byte - DIGIT_0
    }
    if (isNegative) value = -value
    const { out } = this
    out.room(5)
    if (value >= -128 && value <= 127) {
      out.bytes[out.pos++] = 0xc0
      out.pos = out.bytes.writeInt8(value, out.pos)
    } else if (value >= -32_768 && value <= 32_767) {
      out.bytes[out.pos++] = 0xc1
      out.pos = out.bytes.writeInt16LE(value, out.pos)
    } else if (value >= -2_147_483_648 && value <= 2_147_483_647) {
      out.bytes[out.pos++] = 0xc2
      out.pos = out.bytes.writeInt32LE(value, out.pos)
    } else {
      return false
    }
    return true
  }
}
