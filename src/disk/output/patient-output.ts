/**
 * Output to a reader that may be slow: kept in memory up to a bound, so that whoever produces
 * it need not wait; then `drain` gives a promise, and a reader that takes nothing for a while
 * beyond that is an error.
 *
 * A file descriptor (stdout) is written in the background: Node's own stdout would block the
 * whole process for a slow pipe or terminal.
 */
import { write as writeFd } from 'node:fs'
import type { Writable } from 'node:stream'
import { FileError, type RrepError } from '../../errors.js'
import { errnoOf, outputError } from '../file-error.js'

export interface PatientOutputOptions {
  /** Default 24 MB. */
  boundBytes?: number
  /** How long a full buffer is borne. Default 10 s. */
  patienceMs?: number
  /** The reader went away, is too slow, or the disk is full. Once. */
  onError: (error: RrepError) => void
}

const BLOCK_BYTES = 1 << 20
/** Blocks kept for reuse: new ones would be garbage faster than it is collected. */
const SPARE_BLOCKS = 24
/** A pipe in non-blocking mode that is full. */
const RETRY_MS = 2

export class PatientOutput {
  /** Bytes that the reader has not taken yet. */
  queuedBytes = 0
  readonly #target: number | Writable
  readonly #boundBytes: number
  readonly #patienceMs: number
  readonly #onError: (error: RrepError) => void
  readonly #queue: Buffer[] = []
  #block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #blockLength = 0
  #spare: Buffer[] = []
  #busy = false
  #error: RrepError | undefined
  #waiters: (() => void)[] = []
  #impatience: NodeJS.Timeout | undefined

  constructor(target: number | Writable, options: PatientOutputOptions) {
    this.#target = target
    this.#boundBytes = options.boundBytes ?? 24 << 20
    this.#patienceMs = options.patienceMs ?? 10_000
    this.#onError = options.onError
  }

  /** Copies the bytes; `flush` sends them on their way. */
  append(bytes: Uint8Array, start: number, end: number): void {
    if (this.#error !== undefined) return
    this.queuedBytes += end - start
    for (let from = start; from < end;) {
      const take = Math.min(end - from, BLOCK_BYTES - this.#blockLength)
      this.#block.set(bytes.subarray(from, from + take), this.#blockLength)
      this.#blockLength += take
      from += take
      if (this.#blockLength === BLOCK_BYTES) this.#roll()
    }
  }

  flush(): void {
    if (this.#busy || this.#error !== undefined || this.queuedBytes === 0) return
    if (this.#queue.length === 0) this.#roll()
    const block = this.#queue[0]
    if (block === undefined) return
    this.#busy = true
    if (typeof this.#target === 'number') this.#writeTo(this.#target, block, 0)
    else this.#writeStream(this.#target, block)
  }

  /** A promise while more than the bound waits; its reader then has `patienceMs` to take some. */
  drain(): Promise<void> | undefined {
    if (this.queuedBytes <= this.#boundBytes || this.#error !== undefined) return undefined
    this.#impatience ??= setTimeout(() => {
      this.#fail(
        new FileError(
          'ERR_OUTPUT_SLOW',
          `the reader of the output is too slow: ${this.queuedBytes} bytes wait for it`,
          {
            hint: 'filter more, write to a file, or use -o DIR, whose bound is the disk',
            details: { queuedBytes: this.queuedBytes },
          },
        ),
      )
    }, this.#patienceMs)
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Resolves when everything was taken, or nothing more will be. */
  async finish(): Promise<void> {
    while (this.queuedBytes > 0 && this.#error === undefined) {
      this.flush()
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
    clearTimeout(this.#impatience)
  }

  /** Gives up what is queued. */
  abandon(): void {
    clearTimeout(this.#impatience)
    this.#error ??= new FileError('ERR_OUTPUT_CLOSED', 'the output was given up')
    this.#wake()
  }

  #roll(): void {
    if (this.#blockLength === 0) return
    this.#queue.push(this.#block.subarray(0, this.#blockLength))
    this.#block = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    this.#blockLength = 0
  }

  #writeTo(fd: number, block: Buffer, from: number): void {
    writeFd(fd, block, from, block.length - from, null, (error, written) => {
      if (error !== null && errnoOf(error) === 'EAGAIN') {
        setTimeout(() => this.#writeTo(fd, block, from), RETRY_MS)
      } else if (error !== null) {
        this.#fail(outputError(error))
      } else {
        this.#taken(written)
        if (from + written < block.length && this.#error === undefined) {
          this.#writeTo(fd, block, from + written)
        } else {
          this.#next(block)
        }
      }
    })
  }

  #writeStream(stream: Writable, block: Buffer): void {
    stream.write(Buffer.from(block), (error) => {
      if (error != null) {
        this.#fail(outputError(error))
        return
      }
      this.#taken(block.length)
      this.#next(block)
    })
  }

  #taken(bytes: number): void {
    this.queuedBytes -= bytes
    if (this.#impatience !== undefined && this.queuedBytes <= this.#boundBytes) {
      clearTimeout(this.#impatience)
      this.#impatience = undefined
    }
    if (this.queuedBytes <= this.#boundBytes / 2) this.#wake()
  }

  #next(block: Buffer): void {
    this.#queue.shift()
    if (this.#spare.length < SPARE_BLOCKS) {
      this.#spare.push(Buffer.from(block.buffer, 0, BLOCK_BYTES))
    }
    this.#busy = false
    this.flush()
  }

  #fail(error: RrepError): void {
    if (this.#error !== undefined) return
    this.#error = error
    clearTimeout(this.#impatience)
    this.#queue.length = 0
    this.queuedBytes = 0
    this.#wake()
    this.#onError(error)
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}
