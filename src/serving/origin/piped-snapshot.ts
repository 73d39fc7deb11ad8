/**
 * A snapshot that is made while it is sent: bytes go from who writes it to the one replica that reads
 * it, and who writes waits where the replica is slower. Nothing of it is kept. How long it is nobody
 * knows before its end, and the end comes only when all before it was found sound.
 */
import { Buffer } from 'node:buffer'
import { Writable } from 'node:stream'
import { InternalError, LinkError } from '../../errors.js'
import { MAGIC_BYTES, parseRdbMagic } from '../../rdb/head.js'
import type { RdbMagic } from '../../servers/rdb-version.js'
import type { ServedSnapshot, SnapshotPlace } from './snapshot.js'

/** Who writes waits while so much waits to be read. */
const MOST_WAITING_BYTES = 4 << 20

export class PipedSnapshot implements ServedSnapshot {
  readonly place: SnapshotPlace
  /** Told once it is complete. */
  lengthBytes: number | undefined
  /** Where it is written. What it is given must stay as it is. */
  readonly input: Writable
  #state: 'growing' | 'complete' | 'failed' = 'growing'
  #error: Error | undefined
  readonly #chunks: Buffer[] = []
  /** Of the first chunk. */
  #taken = 0
  #waitingBytes = 0
  #writtenBytes = 0
  #readBytes = 0
  #head = Buffer.alloc(0)
  #goOn: (() => void) | undefined
  #waiting: (() => void)[] = []
  #isLeft = false

  constructor(place: SnapshotPlace) {
    this.place = place
    this.input = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.#write(chunk, done),
      highWaterMark: 1,
    })
    // Told by `fail`; an event without a listener would end the process.
    this.input.on('error', () => undefined)
  }

  get state(): 'growing' | 'complete' | 'failed' {
    return this.#state
  }

  /** The replica has gone before it had all. */
  get isLeft(): boolean {
    return this.#isLeft
  }

  /** Everything was written. */
  complete(): void {
    if (this.#state !== 'growing') return
    this.#state = 'complete'
    this.lengthBytes = this.#writtenBytes
    this.#wake()
  }

  fail(error: Error): void {
    if (this.#state !== 'growing') return
    this.#state = 'failed'
    this.#error = error
    this.input.destroy(error)
    this.#goOn = undefined
    this.#chunks.length = 0
    this.#wake()
  }

  async read(byteOffset: number, into: Buffer): Promise<number> {
    if (byteOffset !== this.#readBytes) {
      throw new InternalError('a snapshot that is made while it is sent was read again')
    }
    await this.whenSendable(byteOffset)
    let filled = 0
    while (filled < into.length) {
      const chunk = this.#chunks[0]
      if (chunk === undefined) break
      const count = chunk.copy(into, filled, this.#taken)
      filled += count
      this.#taken += count
      if (this.#taken < chunk.length) break
      this.#chunks.shift()
      this.#taken = 0
    }
    this.#readBytes += filled
    this.#waitingBytes -= filled
    if (this.#waitingBytes < MOST_WAITING_BYTES) {
      const goOn = this.#goOn
      this.#goOn = undefined
      goOn?.()
    }
    return filled
  }

  async whenSendable(byteOffset: number): Promise<void> {
    while (this.#state === 'growing' && this.#writtenBytes <= byteOffset) await this.#changed()
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
    if (this.#state !== 'growing') return
    this.#isLeft = true
    this.fail(new LinkError('ERR_REPLICA_GONE', 'the replica went away', { retriable: true }))
  }

  #write(chunk: Buffer, done: () => void): void {
    if (this.#head.length < MAGIC_BYTES) {
      this.#head = Buffer.concat([this.#head, chunk.subarray(0, MAGIC_BYTES)])
    }
    if (chunk.length > 0) this.#chunks.push(chunk)
    this.#writtenBytes += chunk.length
    this.#waitingBytes += chunk.length
    if (this.#waitingBytes < MOST_WAITING_BYTES) done()
    else this.#goOn = done
    this.#wake()
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
