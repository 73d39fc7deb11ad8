/**
 * A snapshot that is made while it is sent: bytes go from who writes it to the one replica that reads
 * it, through a few blocks of memory, and who writes waits where the replica is slower. Nothing of it is kept. How long it is nobody
 * knows before its end, and the end comes only when all before it was found sound.
 */
import { Buffer } from 'node:buffer'
import type { Output } from '../../disk/output/output.js'
import { InternalError, LinkError } from '../../errors.js'
import { MAGIC_BYTES, parseRdbMagic } from '../../rdb/head.js'
import type { RdbMagic } from '../../servers/rdb-version.js'
import type { ServedSnapshot, SnapshotPlace } from './snapshot.js'

const BLOCK_BYTES = 1 << 20
/** Who writes waits while so much waits to be read. */
const MOST_WAITING_BYTES = 4 * BLOCK_BYTES
/** Kept for what comes next. */
const MOST_FREE = 6

export class PipedSnapshot implements ServedSnapshot, Output {
  readonly place: SnapshotPlace
  /** Told once it is complete. */
  lengthBytes: number | undefined
  writtenBytes = 0
  readonly canRestart = false
  readonly canTakeBack = false
  readonly canReadBack = false
  #state: 'growing' | 'complete' | 'failed' = 'growing'
  #error: Error | undefined
  /** In order; the last one has room behind `#lastEnd`. */
  readonly #blocks: Buffer[] = []
  #lastEnd = BLOCK_BYTES
  /** Of the first block. */
  #taken = 0
  readonly #free: Buffer[] = []
  #readBytes = 0
  #head = Buffer.alloc(0)
  #waiting: (() => void)[] = []

  constructor(place: SnapshotPlace) {
    this.place = place
  }

  get state(): 'growing' | 'complete' | 'failed' {
    return this.#state
  }

  // ---- who writes it --------------------------------------------------------------------------

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#throwIfFailed()
    if (this.#head.length < MAGIC_BYTES) {
      const missing = MAGIC_BYTES - this.#head.length
      const more = bytes.subarray(start, Math.min(end, start + missing))
      this.#head = Buffer.concat([this.#head, more])
    }
    for (let at = start; at < end;) {
      if (this.#lastEnd === BLOCK_BYTES) {
        this.#blocks.push(this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES))
        this.#lastEnd = 0
      }
      const count = Math.min(end - at, BLOCK_BYTES - this.#lastEnd)
      this.#blocks.at(-1)!.set(bytes.subarray(at, at + count), this.#lastEnd)
      this.#lastEnd += count
      at += count
    }
    this.writtenBytes += end - start
    this.#wake()
  }

  drain(): Promise<void> | undefined {
    this.#throwIfFailed()
    return this.#isFull ? this.#drained() : undefined
  }

  finish(): Promise<void> {
    // It is complete when who writes it says so.
    return Promise.resolve()
  }

  discard(): void {
    // Who has it told to be discarded tells why, too: `fail`.
  }

  restart(): never {
    throw new InternalError('what was sent cannot be taken back')
  }

  readBack(): never {
    throw new InternalError('what was sent cannot be read again')
  }

  /** Everything was written. */
  complete(): void {
    if (this.#state !== 'growing') return
    this.#state = 'complete'
    this.lengthBytes = this.writtenBytes
    this.#wake()
  }

  fail(error: Error): void {
    if (this.#state !== 'growing') return
    this.#state = 'failed'
    this.#error = error
    this.#blocks.length = 0
    this.#free.length = 0
    this.#wake()
  }

  // ---- the replica ----------------------------------------------------------------------------

  async read(byteOffset: number, into: Buffer): Promise<number> {
    if (byteOffset !== this.#readBytes) {
      throw new InternalError('a snapshot that is made while it is sent was read again')
    }
    await this.whenSendable(byteOffset)
    let filled = 0
    while (filled < into.length && this.#readBytes + filled < this.writtenBytes) {
      const block = this.#blocks[0]!
      const end = this.#blocks.length === 1 ? this.#lastEnd : BLOCK_BYTES
      const count = block.copy(into, filled, this.#taken, end)
      filled += count
      this.#taken += count
      if (this.#taken < BLOCK_BYTES) continue
      this.#blocks.shift()
      this.#taken = 0
      if (this.#free.length < MOST_FREE) this.#free.push(block)
    }
    const waitingBytes = this.writtenBytes - this.#readBytes
    this.#readBytes += filled
    const isRoom = waitingBytes - filled < MOST_WAITING_BYTES
    if (isRoom && waitingBytes >= MOST_WAITING_BYTES) this.#wake()
    return filled
  }

  async whenSendable(byteOffset: number): Promise<void> {
    while (this.#state === 'growing' && this.writtenBytes <= byteOffset) await this.#changed()
    this.#throwIfFailed()
  }

  async whenComplete(): Promise<void> {
    while (this.#state === 'growing') await this.#changed()
    this.#throwIfFailed()
  }

  async whenHeadKnown(): Promise<RdbMagic> {
    while (this.#state === 'growing' && this.#head.length < MAGIC_BYTES) await this.#changed()
    this.#throwIfFailed()
    return parseRdbMagic(this.#head)
  }

  /** It is written for who reads it: under no other version. */
  whenNeededKnown(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  retain(): void {
    // It has one reader.
  }

  release(): void {
    this.fail(new LinkError('ERR_REPLICA_GONE', 'the replica went away', { retriable: true }))
  }

  get #isFull(): boolean {
    return this.writtenBytes - this.#readBytes >= MOST_WAITING_BYTES
  }

  async #drained(): Promise<void> {
    while (this.#isFull && this.#state === 'growing') await this.#changed()
    this.#throwIfFailed()
  }

  async #changed(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #throwIfFailed(): void {
    if (this.#state !== 'failed') return
    throw new LinkError('ERR_SNAPSHOT_FAILED', 'the snapshot ended early', {
      cause: this.#error,
      retriable: true,
    })
  }

  #wake(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
