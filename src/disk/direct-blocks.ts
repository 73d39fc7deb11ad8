/**
 * Whole blocks of a file, written past the system's page cache (O_DIRECT): a dump of many gigabytes
 * then does not push out what the server on the same machine has cached, and costs a tenth of the
 * processor's time. Bytes gather in a block of aligned memory until it is full; it is then on its way to
 * the disk while the next one fills, so that the disk and the link work at the same time.
 *
 * Not every system and file system can do it, and a slow disk needs the cache to keep up with the
 * link: whoever uses this keeps an ordinary way to write beside it.
 */
import { Buffer } from 'node:buffer'
import { closeSync, constants, openSync, write, writeSync } from 'node:fs'
import { allocatePages } from '../kernels/kernel.js'

export const BLOCK_BYTES = 1 << 20
const BLOCKS = 4
/** Addresses, offsets and lengths must be multiples of what the device has as a block. */
const ALIGNMENT_BYTES = 4096
/** The rate is measured over so many blocks, */
const WINDOW_BLOCKS = 16
/** and below so many bytes per ms of work the cache does better. */
const SLOW_BYTES_PER_MS = 200_000

/** On its way, or come to nothing from `written` on. */
export interface SentBlock {
  readonly bytes: Buffer
  readonly byteOffset: number
  written: number
}

export class DirectBlocks {
  /** Bytes taken but not sent. */
  pending = 0
  /** The disk is slower than the cache would be. */
  isSlow = false
  /** What could not be written, not even in part beyond `written`: it has to go the ordinary way, which
   * tells the reason. */
  readonly failed: SentBlock[] = []
  block: Buffer
  readonly #fd: number
  readonly #free: Buffer[]
  readonly #sent = new Set<SentBlock>()
  #isClosed = false
  #windowBlocks = 0
  #windowMs = 0
  #busySinceMs = 0
  #waiting: (() => void)[] = []

  /** Opens an existing file a second time; undefined where that cannot be. */
  static open(path: string): DirectBlocks | undefined {
    // Not on macOS, for one.
    const { O_DIRECT } = constants as { O_DIRECT?: number }
    if (O_DIRECT === undefined) return undefined
    try {
      const memory = allocatePages(BLOCKS * BLOCK_BYTES)
      return new DirectBlocks(openSync(path, constants.O_WRONLY | O_DIRECT), memory)
    } catch {
      return undefined
    }
  }

  private constructor(fd: number, memory: Buffer) {
    this.#fd = fd
    this.#free = Array.from({ length: BLOCKS }, (_, at) =>
      memory.subarray(at * BLOCK_BYTES, (at + 1) * BLOCK_BYTES),
    )
    this.block = this.#free.pop()!
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

  /** Blocks on their way. */
  get sent(): Iterable<SentBlock> {
    return this.#sent
  }

  /** Where the first byte stands that is not in the file; `sentBytes` where all are that were sent. */
  fileBytes(sentBytes: number): number {
    let bytes = sentBytes
    for (const { byteOffset } of this.#sent) bytes = Math.min(bytes, byteOffset)
    for (const { byteOffset } of this.failed) bytes = Math.min(bytes, byteOffset)
    return bytes
  }

  get isIdle(): boolean {
    return this.#sent.size === 0
  }

  /** The full block is on its way to this offset, a multiple of BLOCK_BYTES. Where all others still are,
   * it is written at once: this never waits for them. */
  send(byteOffset: number): void {
    const block: SentBlock = { bytes: this.block, byteOffset, written: 0 }
    this.pending = 0
    if (this.#sent.size === 0) this.#busySinceMs = performance.now()
    const next = this.#free.pop()
    if (next === undefined) {
      // The block stays, unless it is still needed.
      this.#writeNow(block)
      if (block.written < BLOCK_BYTES) this.block = Buffer.from(this.block)
      this.#measure()
      return
    }
    this.block = next
    this.#sent.add(block)
    this.#write(block)
  }

  /** Undefined: there is room. Else resolves when there is. */
  drain(): Promise<void> | undefined {
    if (this.#free.length > 0) return undefined
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    while (this.#sent.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** What is on its way comes there, or not. */
  close(): void {
    this.#isClosed = true
    if (this.#sent.size === 0) closeSync(this.#fd)
  }

  #write(block: SentBlock): void {
    const { bytes, byteOffset, written } = block
    const left = BLOCK_BYTES - written
    write(this.#fd, bytes, written, left, byteOffset + written, (error, count) => {
      if (error === null) block.written += count
      const goesOn = error === null && count > 0 && block.written % ALIGNMENT_BYTES === 0
      if (goesOn && block.written < BLOCK_BYTES) this.#write(block)
      else this.#done(block)
    })
  }

  #done(block: SentBlock): void {
    this.#sent.delete(block)
    if (block.written === BLOCK_BYTES) this.#free.push(block.bytes)
    else this.failed.push(block)
    this.#measure()
    if (this.#isClosed && this.#sent.size === 0) closeSync(this.#fd)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #writeNow(block: SentBlock): void {
    try {
      while (block.written < BLOCK_BYTES && block.written % ALIGNMENT_BYTES === 0) {
        const { bytes, byteOffset, written } = block
        const left = BLOCK_BYTES - written
        const count = writeSync(this.#fd, bytes, written, left, byteOffset + written)
        if (count === 0) break
        block.written += count
      }
    } catch {
      // Unable (EINVAL), or the disk is full: see `failed`.
    }
    if (block.written < BLOCK_BYTES) this.failed.push(block)
  }

  /** Only while something is on its way: a link that brings little makes no disk slow. */
  #measure(): void {
    const nowMs = performance.now()
    this.#windowMs += nowMs - this.#busySinceMs
    this.#busySinceMs = nowMs
    this.#windowBlocks += 1
    if (this.#windowBlocks < WINDOW_BLOCKS) return
    this.isSlow = WINDOW_BLOCKS * BLOCK_BYTES < SLOW_BYTES_PER_MS * this.#windowMs
    this.#windowBlocks = 0
    this.#windowMs = 0
  }
}
