/**
 * Decodes one LZ4 frame (lz4_Frame_format.md of the lz4 project, version 1), cut anywhere:
 *
 *   04 22 4d 18 · FLG · BD · [u64le content size] · [u32le dictionary id] · header checksum
 *   blocks: u32le size (top bit: stored plain), data, [u32le checksum]
 *   u32le 0 · [u32le content checksum]
 *
 * Holds one block and the 64 KB before it. Every length is checked; all checksums are.
 */
import { Buffer } from 'node:buffer'
import { XxHash32, xxHash32 } from './xxhash32.js'

const MAGIC = 0x184d2204
const FLAG = {
  DICTIONARY: 1,
  CONTENT_CHECKSUM: 4,
  CONTENT_SIZE: 8,
  BLOCK_CHECKSUM: 16,
  VERSION: 0xc0,
  VERSION_1: 0x40,
} as const
/** By bits 4 to 6 of BD. */
const BLOCK_SIZES = [0, 0, 0, 0, 64 << 10, 256 << 10, 1 << 20, 4 << 20]
const WINDOW_BYTES = 64 << 10
const MIN_MATCH = 4
const PLAIN_BIT = 0x80000000
/** The largest header, and the largest part between two states besides a block. */
const HEADER_BYTES = 19

/** What is wrong with the frame; `byteOffset` counts from its first byte. */
export type Lz4Fail = (message: string, byteOffset: number) => Error

type State = 'header' | 'size' | 'block' | 'end' | 'done'

export class Lz4FrameDecoder {
  /** Bytes of the frame that were consumed. */
  byteOffset = 0
  #state: State = 'header'
  #flags = 0
  #maxBlockBytes = 0
  #blockBytes = 0
  #isPlain = false
  #contentBytes = -1
  #producedBytes = 0
  readonly #contentHash = new XxHash32()
  /** Bytes of the part at hand, until it is whole. */
  #part: Buffer = Buffer.allocUnsafe(HEADER_BYTES)
  #partBytes = 0
  /** The window, then the block. */
  #output: Buffer = Buffer.alloc(0)
  #outputBytes = 0
  readonly #emit: (bytes: Buffer) => void
  readonly #fail: Lz4Fail

  constructor(emit: (bytes: Buffer) => void, fail: Lz4Fail) {
    this.#emit = emit
    this.#fail = fail
  }

  get done(): boolean {
    return this.#state === 'done'
  }

  /** Takes bytes; returns how many belong to the frame. */
  push(chunk: Uint8Array): number {
    let at = 0
    while (this.#state !== 'done') {
      const wanted = this.#wantedBytes()
      const more = Math.min(wanted - this.#partBytes, chunk.length - at)
      if (more > 0) {
        this.#part.set(chunk.subarray(at, at + more), this.#partBytes)
        this.#partBytes += more
        at += more
        this.byteOffset += more
      }
      // The header says by its flags how long it is.
      if (this.#partBytes < wanted) break
      if (this.#partBytes < this.#wantedBytes()) continue
      this.#step()
    }
    return at
  }

  #wantedBytes(): number {
    switch (this.#state) {
      case 'header': {
        if (this.#partBytes < 5) return 5
        const flags = this.#part[4]!
        const size = (flags & FLAG.CONTENT_SIZE) !== 0 ? 8 : 0
        return 7 + size + ((flags & FLAG.DICTIONARY) !== 0 ? 4 : 0)
      }
      case 'size':
        return 4
      case 'block':
        return this.#blockBytes + ((this.#flags & FLAG.BLOCK_CHECKSUM) !== 0 ? 4 : 0)
      default:
        return (this.#flags & FLAG.CONTENT_CHECKSUM) !== 0 ? 4 : 0
    }
  }

  #step(): void {
    switch (this.#state) {
      case 'header':
        this.#readHeader()
        break
      case 'size':
        this.#readSize()
        break
      case 'block':
        this.#readBlock()
        break
      default:
        this.#readEnd()
    }
    this.#partBytes = 0
  }

  #readHeader(): void {
    const part = this.#part
    if (part.readUInt32LE(0) !== MAGIC) throw this.#wrong('this is no LZ4 frame')
    this.#flags = part[4]!
    if ((this.#flags & FLAG.VERSION) !== FLAG.VERSION_1) throw this.#wrong('unknown LZ4 version')
    if ((this.#flags & FLAG.DICTIONARY) !== 0) throw this.#wrong('an LZ4 frame with a dictionary')
    this.#maxBlockBytes = BLOCK_SIZES[(part[5]! >> 4) & 7]!
    if (this.#maxBlockBytes === 0) throw this.#wrong('an LZ4 frame with an unknown block size')
    const end = this.#partBytes - 1
    if (((xxHash32(part, 4, end) >>> 8) & 0xff) !== part[end]) {
      throw this.#wrong("the checksum of an LZ4 frame's header does not match")
    }
    if ((this.#flags & FLAG.CONTENT_SIZE) !== 0) {
      this.#contentBytes = Number(part.readBigUInt64LE(6))
    }
    this.#output = Buffer.allocUnsafeSlow(WINDOW_BYTES + this.#maxBlockBytes)
    this.#part = Buffer.allocUnsafeSlow(this.#maxBlockBytes + 4)
    this.#state = 'size'
  }

  #readSize(): void {
    const size = this.#part.readUInt32LE(0)
    if (size === 0) {
      this.#state = 'end'
      return
    }
    this.#isPlain = (size & PLAIN_BIT) !== 0
    this.#blockBytes = size & ~PLAIN_BIT
    if (this.#blockBytes > this.#maxBlockBytes) throw this.#wrong('an LZ4 block that is too long')
    this.#state = 'block'
  }

  #readBlock(): void {
    const blockBytes = this.#blockBytes
    const part = this.#part
    if (
      (this.#flags & FLAG.BLOCK_CHECKSUM) !== 0 &&
      part.readUInt32LE(blockBytes) !== xxHash32(part, 0, blockBytes)
    ) {
      throw this.#wrong('the checksum of an LZ4 block does not match')
    }
    // The last 64 KB stay: blocks may point back into those before.
    if (this.#outputBytes > WINDOW_BYTES) {
      this.#output.copyWithin(0, this.#outputBytes - WINDOW_BYTES, this.#outputBytes)
      this.#outputBytes = WINDOW_BYTES
    }
    const start = this.#outputBytes
    if (this.#isPlain) {
      part.copy(this.#output, start, 0, blockBytes)
      this.#outputBytes += blockBytes
    } else {
      this.#outputBytes = this.#decodeBlock(start)
    }
    const bytes = this.#output.subarray(start, this.#outputBytes)
    this.#producedBytes += bytes.length
    if ((this.#flags & FLAG.CONTENT_CHECKSUM) !== 0) this.#contentHash.update(bytes)
    this.#state = 'size'
    this.#emit(bytes)
  }

  /**
   * Sequences: token (4 bits literals, 4 bits match − 4; 15: more bytes follow, each adding up to
   * 255), literals, u16le distance. The last sequence has no match.
   */
  #decodeBlock(start: number): number {
    const blockBytes = this.#blockBytes
    const part = this.#part
    const output = this.#output
    const limit = start + this.#maxBlockBytes
    let at = 0
    let to = start
    const length = (nibble: number): number => {
      let total = nibble
      if (nibble < 15) return total
      for (;;) {
        if (at >= blockBytes) throw this.#badBlock()
        const more = part[at]!
        at += 1
        total += more
        if (more < 255) return total
      }
    }
    while (at < blockBytes) {
      const token = part[at]!
      at += 1
      const literals = length(token >> 4)
      if (at + literals > blockBytes || to + literals > limit) throw this.#badBlock()
      part.copy(output, to, at, at + literals)
      at += literals
      to += literals
      if (at === blockBytes) return to
      if (at + 2 > blockBytes) throw this.#badBlock()
      const distance = part[at]! | (part[at + 1]! << 8)
      at += 2
      const match = length(token & 15) + MIN_MATCH
      if (distance === 0 || distance > to || to + match > limit) throw this.#badBlock()
      if (distance >= match) {
        output.copyWithin(to, to - distance, to - distance + match)
        to += match
      } else {
        for (const stop = to + match; to < stop; to += 1) output[to] = output[to - distance]!
      }
    }
    throw this.#badBlock()
  }

  #badBlock(): Error {
    return this.#wrong('a damaged LZ4 block')
  }

  #readEnd(): void {
    if (
      (this.#flags & FLAG.CONTENT_CHECKSUM) !== 0 &&
      this.#part.readUInt32LE(0) !== this.#contentHash.value
    ) {
      throw this.#wrong('the checksum of an LZ4 frame does not match')
    }
    if (this.#contentBytes >= 0 && this.#contentBytes !== this.#producedBytes) {
      throw this.#wrong(
        `an LZ4 frame says it holds ${this.#contentBytes} bytes, it holds ${this.#producedBytes}`,
      )
    }
    this.#state = 'done'
  }

  #wrong(message: string): Error {
    return this.#fail(message, this.byteOffset - this.#partBytes)
  }
}
