/**
 * A queue of bytes between a fast writer that must never wait (the link) and a reader at its own
 * pace (a pipe, a compressor). It holds a bounded part in memory; what is more goes to a file
 * without a name in the temporary directory, so that it vanishes with the process.
 *
 * Order is kept: while the file holds unread bytes, everything new goes behind them.
 */
import { join } from 'node:path'
import { DataFile } from './data-file.js'
import { newOwnerToken } from './owner.js'

const READ_BYTES = 1 << 20

export interface SpoolOptions {
  /** Bytes held in memory before the file is used. */
  memoryBytes: number
  /** Where the file is made. */
  directory: string
}

export class Spool {
  readonly #options: SpoolOptions
  #chunks: Buffer[] = []
  #chunkBytes = 0
  #file: DataFile | undefined
  #fileStart = 0
  #fileEnd = 0
  #ended = false
  #fault: Error | undefined
  #wake: (() => void) | undefined

  constructor(options: SpoolOptions) {
    this.#options = options
  }

  /** Bytes that wait for the reader. */
  get queuedBytes(): number {
    return this.#chunkBytes + this.spooledBytes
  }

  get spooledBytes(): number {
    return this.#fileEnd - this.#fileStart
  }

  /** Takes a copy of bytes[start, end). Throws FileError where the file cannot be written. */
  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (start >= end) return
    if (this.spooledBytes === 0 && this.#chunkBytes < this.#options.memoryBytes) {
      this.#chunks.push(Buffer.from(bytes.subarray(start, end)))
      this.#chunkBytes += end - start
    } else {
      this.#append(bytes, start, end)
    }
    this.#wake?.()
  }

  /** Nothing more will be written: the reader gets what is left, then the end or the fault. */
  end(fault?: Error): void {
    this.#ended = true
    this.#fault = fault
    this.#wake?.()
  }

  /** The bytes in order, until `end`. One reader only. */
  async *chunks(): AsyncGenerator<Buffer, void> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift()
        if (chunk !== undefined) {
          this.#chunkBytes -= chunk.length
          yield chunk
        } else if (this.spooledBytes > 0) {
          yield await this.#readBack()
        } else if (this.#ended) {
          if (this.#fault !== undefined) throw this.#fault
          return
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve))
          this.#wake = undefined
        }
      }
    } finally {
      this.close()
    }
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
    this.#fileStart = this.#fileEnd
    this.#chunks = []
    this.#chunkBytes = 0
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    // Without a name: it goes with the process.
    this.#file ??= DataFile.create(
      join(this.#options.directory, `.rrep-spool-${newOwnerToken()}`),
      { nameless: true },
    )
    this.#file.append(bytes, start, end)
    this.#fileEnd = this.#file.sizeBytes
  }

  async #readBack(): Promise<Buffer> {
    const file = this.#file
    const want = Math.min(READ_BYTES, this.spooledBytes)
    const buffer = Buffer.allocUnsafe(want)
    if (file === undefined) return buffer.subarray(0, 0)
    const count = await file.read(this.#fileStart, buffer)
    // Closed meanwhile: nobody wants it any more.
    if (file !== this.#file) return buffer.subarray(0, 0)
    this.#fileStart += count
    if (this.#fileStart === this.#fileEnd) {
      // All read: the disk gets its room back, and memory is used again.
      file.truncate(0)
      this.#fileStart = 0
      this.#fileEnd = 0
    }
    return buffer.subarray(0, count)
  }
}
