/**
 * A file that grows at its end, written in the background.
 *
 * `append` copies bytes into memory and returns; one write at a time carries them to the file.
 * So a slow disk does not stop whoever reads a socket, up to `boundBytes` in memory: then
 * `drain` gives a promise to wait for. Positions count from the file's first byte:
 * `position` (appended), `writtenPosition` (given to the kernel), `syncedPosition` (on disk).
 */
import { Buffer } from 'node:buffer'
import { close, fdatasync, ftruncateSync, openSync, renameSync, unlinkSync, write } from 'node:fs'
import { promisify } from 'node:util'
import type { FileError } from '../errors.js'
import { fileError } from './file-error.js'

const BLOCK_BYTES = 1 << 20
const DEFAULT_BOUND_BYTES = 24 << 20
/** Blocks kept for reuse: new ones would be garbage faster than it is collected. */
const SPARE_BLOCKS = 24
const fdatasyncAsync = promisify(fdatasync)
const closeAsync = promisify(close)

export interface AppendFileOptions {
  /** Begin behind these bytes of an existing file; what follows is cut off. Default 0: new. */
  position?: number
  /** Memory for what the disk has not taken yet. Default 24 MB. */
  boundBytes?: number
  /** Called once, with the error that ends all writing. */
  onError?: (error: FileError) => void
  /** Replaces fdatasync, for tests of slow disks. */
  sync?: (fd: number) => Promise<void>
}

interface Block {
  bytes: Buffer
  length: number
}

export class AppendFile {
  path: string
  position: number
  writtenPosition: number
  syncedPosition: number
  /** What ended the writing. */
  error: FileError | undefined

  readonly #fd: number
  readonly #options: AppendFileOptions
  readonly #boundBytes: number
  #current: Block
  readonly #full: Block[] = []
  readonly #spare: Block[] = []
  #writing = false
  #closed = false
  #waiters: (() => void)[] = []
  #spaceWaiters: (() => void)[] = []

  /** Creates the file (0600), or opens it behind `position`. Throws FileError. */
  constructor(path: string, options: AppendFileOptions = {}) {
    this.path = path
    this.#options = options
    this.#boundBytes = options.boundBytes ?? DEFAULT_BOUND_BYTES
    this.position = this.writtenPosition = options.position ?? 0
    // Of what a crashed run left nobody knows whether it was fsynced.
    this.syncedPosition = 0
    this.#current = { bytes: Buffer.allocUnsafeSlow(BLOCK_BYTES), length: 0 }
    try {
      this.#fd = openSync(path, options.position === undefined ? 'w' : 'r+', 0o600)
      if (options.position !== undefined) ftruncateSync(this.#fd, options.position)
    } catch (error) {
      throw fileError(path, 'open', error)
    }
  }

  /** Bytes in memory that are not in the file yet. */
  get queuedBytes(): number {
    return this.position - this.writtenPosition
  }

  append(bytes: Uint8Array, start = 0, end = bytes.length): void {
    let from = start
    this.position += end - start
    while (from < end) {
      const block = this.#current
      const take = Math.min(end - from, BLOCK_BYTES - block.length)
      if (take <= 64) {
        const out = block.bytes
        let at = block.length
        for (let i = from; i < from + take; i++) out[at++] = bytes[i]!
      } else {
        block.bytes.set(bytes.subarray(from, from + take), block.length)
      }
      block.length += take
      from += take
      if (block.length === BLOCK_BYTES) this.#rollBlock()
    }
  }

  /** The same, and carried to the file by one write: a process that dies leaves all of it, or
   * nothing. Takes that much memory. */
  appendWhole(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const length = end - start
    if (length > BLOCK_BYTES - this.#current.length) this.#rollBlock()
    if (length < BLOCK_BYTES) {
      this.append(bytes, start, end)
      return
    }
    this.position += length
    const block = Buffer.allocUnsafeSlow(length)
    block.set(bytes.subarray(start, end))
    this.#full.push({ bytes: block, length })
  }

  appendAscii(text: string): void {
    this.append(Buffer.from(text, 'latin1'))
  }

  /** Starts writing what has been appended; returns at once. */
  kick(): void {
    if (this.#writing || this.error !== undefined || this.queuedBytes === 0 || this.#closed) return
    if (this.#full.length === 0) this.#rollBlock()
    this.#writeNext()
  }

  /** A promise while more than the bound is queued. */
  drain(): Promise<void> | undefined {
    if (this.queuedBytes <= this.#boundBytes || this.error !== undefined) return undefined
    return new Promise((resolve) => this.#spaceWaiters.push(resolve))
  }

  /** Resolves when everything appended before the call is in the file. */
  async flush(): Promise<void> {
    const target = this.position
    while (this.writtenPosition < target && this.error === undefined) {
      this.kick()
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
    if (this.error !== undefined) throw this.error
  }

  /** Flushes and fsyncs; resolves with the position that is on disk now. */
  async sync(): Promise<number> {
    await this.flush()
    const target = this.writtenPosition
    if (target > this.syncedPosition) {
      try {
        await (this.#options.sync ?? fdatasyncAsync)(this.#fd)
      } catch (error) {
        // After a failed fsync the kernel may have dropped the pages: nothing more is promised.
        throw this.#fail(fileError(this.path, 'fsync', error))
      }
      this.syncedPosition = Math.max(this.syncedPosition, target)
    }
    return target
  }

  /** Cuts the file; everything before must be flushed. */
  truncate(position: number): void {
    try {
      ftruncateSync(this.#fd, position)
    } catch (error) {
      throw this.#fail(fileError(this.path, 'truncate', error))
    }
    this.position = this.writtenPosition = position
    this.syncedPosition = Math.min(this.syncedPosition, position)
  }

  /** Gives the file another name; writing goes on. */
  rename(path: string): void {
    try {
      renameSync(this.path, path)
    } catch (error) {
      throw this.#fail(fileError(path, 'rename', error))
    }
    this.path = path
  }

  /** Flushes, fsyncs and closes. */
  async close(): Promise<void> {
    if (this.#closed) return
    try {
      await this.sync()
    } finally {
      this.#closed = true
      await closeAsync(this.#fd)
    }
  }

  /** Closes without writing what is queued. */
  async abandon(): Promise<void> {
    if (this.#closed) return
    while (this.#writing) await new Promise<void>((resolve) => this.#waiters.push(resolve))
    this.#closed = true
    await closeAsync(this.#fd)
  }

  /** Closes it and deletes the file. */
  async remove(): Promise<void> {
    await this.abandon()
    try {
      unlinkSync(this.path)
    } catch (error) {
      throw fileError(this.path, 'remove', error)
    }
  }

  #rollBlock(): void {
    if (this.#current.length === 0) return
    this.#full.push(this.#current)
    this.#current = this.#spare.pop() ?? { bytes: Buffer.allocUnsafeSlow(BLOCK_BYTES), length: 0 }
  }

  #writeNext(): void {
    const block = this.#full[0]
    if (block === undefined) return
    this.#writing = true
    this.#writeFrom(block, 0)
  }

  #writeFrom(block: Block, from: number): void {
    write(
      this.#fd,
      block.bytes,
      from,
      block.length - from,
      this.writtenPosition,
      (error, written) => {
        if (error !== null) {
          this.#writing = false
          this.#fail(fileError(this.path, 'write', error))
          return
        }
        this.writtenPosition += written
        if (written === 0) {
          this.#writing = false
          this.#fail(fileError(this.path, 'write', { code: 'ENOSPC' }))
          return
        }
        // A short write (disk full) goes on and meets its error.
        if (from + written < block.length) {
          this.#writeFrom(block, from + written)
          return
        }
        this.#full.shift()
        block.length = 0
        const isPlain = block.bytes.length === BLOCK_BYTES
        if (isPlain && this.#spare.length < SPARE_BLOCKS) this.#spare.push(block)
        this.#writing = false
        this.#wake(false)
        this.kick()
      },
    )
  }

  #fail(error: FileError): FileError {
    if (this.error !== undefined) return this.error
    this.error = error
    this.#wake(true)
    this.#options.onError?.(error)
    return error
  }

  #wake(all: boolean): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
    if (!all && this.queuedBytes > this.#boundBytes / 2) return
    const space = this.#spaceWaiters
    this.#spaceWaiters = []
    for (const resolve of space) resolve()
  }
}
