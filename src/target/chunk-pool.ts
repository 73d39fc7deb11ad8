/**
 * The buffers that commands are written into and sent from: in a kernel's memory, where kernels
 * write them, as many as are usually in flight; each goes out as it is. What needs more, or is not
 * written there, is copied into others.
 */
import { Buffer } from 'node:buffer'
import type { ByteKernel } from '../kernels/kernel.js'

const MAX_FREE_COPIES = 4

export class ChunkPool {
  readonly #kernel: ByteKernel
  readonly #chunkBytes: number
  readonly #free: Buffer[]
  readonly #freeCopies: Buffer[] = []

  /** @param count chunks of so many bytes, which the kernel must have to allocate */
  constructor(kernel: ByteKernel, chunkBytes: number, count: number) {
    this.#kernel = kernel
    this.#chunkBytes = chunkBytes
    this.#free = Array.from({ length: count }, () => kernel.allocate(chunkBytes))
  }

  /** A chunk of the kernel's to write into, if one is left. */
  take(): Buffer | undefined {
    return this.#free.pop()
  }

  /** The bytes lie at the beginning of a chunk of the kernel's. */
  holds(bytes: Buffer): boolean {
    return bytes.buffer === this.#kernel.memory.buffer
  }

  copy(bytes: Buffer): Buffer {
    if (bytes.length > this.#chunkBytes) return Buffer.from(bytes)
    const chunk = this.#freeCopies.pop() ?? Buffer.allocUnsafeSlow(this.#chunkBytes)
    chunk.set(bytes)
    return bytes.length === chunk.length ? chunk : chunk.subarray(0, bytes.length)
  }

  /** What was taken or copied, or part of it from its beginning on: nobody looks at it any more. */
  giveBack(chunk: Buffer): void {
    const { buffer, byteOffset } = chunk
    if (this.holds(chunk)) {
      this.#free.push(Buffer.from(buffer, byteOffset, this.#chunkBytes))
    } else if (buffer.byteLength === this.#chunkBytes) {
      if (this.#freeCopies.length < MAX_FREE_COPIES) {
        this.#freeCopies.push(Buffer.from(buffer, 0, this.#chunkBytes))
      }
    }
  }
}
