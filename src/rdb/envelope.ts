/**
 * The envelope in which Valkey 9.2 may write a compressed RDB (not released when this was written):
 *
 *   "VCS"  · u8 version · u8 codec · u8 reserved · u8 kind     7 bytes
 *   "VKCS" · u8 version · u8 codec · u8 flags · u8 kind        8 bytes, an early form
 *
 * codec 1: an LZ4 frame follows; 2: zstd. kind 1: an RDB; 2: a replication stream.
 */
import { Buffer } from 'node:buffer'
import { RdbError } from '../errors.js'
import { Lz4FrameDecoder } from './io/lz4-frame.js'

const CODEC = { LZ4: 1, ZSTD: 2 } as const
const KIND_RDB = 1
const VERSION = 1
/** Enough to tell `VCS`, `VKCS` and `VALKEY` apart. */
const PREFIX_BYTES = 2
const [V, C, K] = [0x56, 0x43, 0x4b]

export class Envelope {
  /** What came before it was known whether there is an envelope; then of its header. */
  #head: Buffer = Buffer.alloc(0)
  #decoder: Lz4FrameDecoder | undefined = undefined
  #headBytes = 0
  #state: 'unknown' | 'none' | 'header' | 'frame' = 'unknown'
  readonly #file: string | undefined
  readonly #emit: (bytes: Buffer) => number

  /** @param emit takes bytes of the RDB and returns how many are its own */
  constructor(file: string | undefined, emit: (bytes: Buffer) => number) {
    this.#file = file
    this.#emit = emit
  }

  /** Returns how many bytes of the chunk belong to the RDB or its envelope. */
  push(chunk: Buffer): number {
    switch (this.#state) {
      case 'none':
        return this.#emit(chunk)
      case 'frame':
        return this.#decode(chunk)
      case 'header':
        return this.#readHeader(chunk)
      default:
        return this.#detect(chunk)
    }
  }

  #detect(chunk: Buffer): number {
    const held = this.#head.length
    const bytes = held === 0 ? chunk : Buffer.concat([this.#head, chunk])
    if (bytes.length === 0) return 0
    if (bytes[0] === V && bytes.length < PREFIX_BYTES) {
      this.#head = Buffer.from(bytes)
      return chunk.length
    }
    if (bytes[0] === V && (bytes[1] === C || bytes[1] === K)) {
      this.#headBytes = bytes[1] === C ? 7 : 8
      this.#head = Buffer.alloc(0)
      this.#state = 'header'
      return this.#readHeader(bytes) - held
    }
    this.#head = Buffer.alloc(0)
    this.#state = 'none'
    return this.#emit(bytes) - held
  }

  /** The input ends before it was known what it is. */
  flush(): void {
    if (this.#state === 'unknown' && this.#head.length > 0) this.#emit(this.#head)
    this.#state = this.#state === 'unknown' ? 'none' : this.#state
  }

  /** What is missing where the input ends inside the envelope; -1: nothing of it is known to be. */
  get endsAt(): number {
    if (this.#state === 'header') return this.#head.length
    return this.#decoder === undefined || this.#decoder.done
      ? -1
      : this.#headBytes + this.#decoder.byteOffset
  }

  #readHeader(chunk: Buffer): number {
    const more = Math.min(this.#headBytes - this.#head.length, chunk.length)
    this.#head = Buffer.concat([this.#head, chunk.subarray(0, more)])
    if (this.#head.length < this.#headBytes) return chunk.length
    const head = this.#head
    const headBytes = this.#headBytes
    const magicBytes = headBytes - 4
    if (head.toString('latin1', 0, magicBytes) !== (headBytes === 7 ? 'VCS' : 'VKCS')) {
      throw this.#error('ERR_RDB_CORRUPT', 'this is not an RDB file: it starts with other bytes', 0)
    }
    const version = head[magicBytes]!
    const codec = head[magicBytes + 1]!
    const kind = head[headBytes - 1]!
    if (version !== VERSION) {
      throw this.#error('ERR_RDB_UNSUPPORTED', `envelope version ${version}`, magicBytes)
    }
    if (kind !== KIND_RDB) {
      throw this.#error('ERR_RDB_UNSUPPORTED', 'the envelope holds no RDB', headBytes - 1)
    }
    if (codec !== CODEC.LZ4) {
      const name = codec === CODEC.ZSTD ? 'zstd' : `codec ${codec}`
      throw this.#error(
        'ERR_RDB_UNSUPPORTED',
        `the RDB is compressed with ${name} inside a Valkey envelope`,
        magicBytes + 1,
        codec === CODEC.ZSTD
          ? `unpack it first: tail -c +${headBytes + 1} FILE | zstd -dc | rrep … -`
          : undefined,
      )
    }
    this.#state = 'frame'
    this.#decoder = new Lz4FrameDecoder(
      (bytes) => void this.#emit(bytes),
      (message, byteOffset) => this.#error('ERR_RDB_CORRUPT', message, headBytes + byteOffset),
    )
    return more + this.#decode(chunk.subarray(more))
  }

  #decode(chunk: Buffer): number {
    return this.#decoder?.push(chunk) ?? 0
  }

  #error(
    code: 'ERR_RDB_CORRUPT' | 'ERR_RDB_UNSUPPORTED',
    message: string,
    byteOffset: number,
    hint?: string,
  ): RdbError {
    return new RdbError(code, { file: this.#file, byteOffset, reading: 'envelope' }, message, {
      hint,
    })
  }
}
