/**
 * Whole blocks of a file, written past the system's page cache (O_DIRECT): a dump of many gigabytes
 * then does not push out what the server on the same machine has cached, and costs a tenth of the
 * processor's time. Bytes gather in a block of aligned memory until it is full.
 *
 * Not every system and file system can do it, and a slow disk needs the cache to keep up with the
 * link: whoever uses this keeps an ordinary way to write beside it.
 */
import type { Buffer } from 'node:buffer'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { allocatePages } from '../kernels/kernel.js'

export const BLOCK_BYTES = 1 << 20
/** Addresses, offsets and lengths must be multiples of what the device has as a block. */
const ALIGNMENT_BYTES = 4096
/** The rate is measured over so many blocks, */
const WINDOW_BLOCKS = 16
/** and below so many bytes per ms the cache does better. */
const SLOW_BYTES_PER_MS = 200_000

export class DirectBlocks {
  /** Bytes taken but not written. */
  pending = 0
  /** The disk is slower than the cache would be. */
  isSlow = false
  readonly block: Buffer
  readonly #fd: number
  #windowBlocks = 0
  #windowMs = 0

  /** Opens an existing file a second time; undefined where that cannot be. */
  static open(path: string): DirectBlocks | undefined {
    // Not on macOS, for one.
    const { O_DIRECT } = constants as { O_DIRECT?: number }
    if (O_DIRECT === undefined) return undefined
    try {
      const block = allocatePages(BLOCK_BYTES)
      return new DirectBlocks(openSync(path, constants.O_WRONLY | O_DIRECT), block)
    } catch {
      return undefined
    }
  }

  private constructor(fd: number, block: Buffer) {
    this.#fd = fd
    this.block = block
  }

  /** Takes what there is room for of bytes[start, end); returns how much. */
  take(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(end - start, BLOCK_BYTES - this.pending)
    this.block.set(bytes.subarray(start, start + count), this.pending)
    this.pending += count
    return count
  }

  get isFull(): boolean {
    return this.pending === BLOCK_BYTES
  }

  /**
   * Writes the full block at this offset, a multiple of BLOCK_BYTES; returns how many bytes of it
   * are in the file. Fewer than all: the rest has to go the ordinary way, which tells the reason.
   */
  writeOut(byteOffset: number): number {
    const startMs = performance.now()
    let written = 0
    try {
      while (written < BLOCK_BYTES && written % ALIGNMENT_BYTES === 0) {
        const left = BLOCK_BYTES - written
        const count = writeSync(this.#fd, this.block, written, left, byteOffset + written)
        if (count === 0) break
        written += count
      }
    } catch {
      // Unable (EINVAL), or the disk is full: see above.
    }
    if (written === BLOCK_BYTES) {
      this.pending = 0
      this.#measure(performance.now() - startMs)
    }
    return written
  }

  close(): void {
    closeSync(this.#fd)
  }

  #measure(elapsedMs: number): void {
    this.#windowBlocks += 1
    this.#windowMs += elapsedMs
    if (this.#windowBlocks < WINDOW_BLOCKS) return
    this.isSlow = WINDOW_BLOCKS * BLOCK_BYTES < SLOW_BYTES_PER_MS * this.#windowMs
    this.#windowBlocks = 0
    this.#windowMs = 0
  }
}
