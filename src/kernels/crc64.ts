/**
 * The checksum of RDB files and DUMP payloads: CRC-64 "Jones", stored as 8 bytes little endian.
 *
 * `Crc64` runs over bytes as they come; `crc64` takes one piece. Over a payload together with its
 * own 8 trailing checksum bytes the register ends as 0, so a reader need not hold anything back
 * (a stored 0 means "not computed" and leaves the register as it was plus eight zero bytes).
 */
import { crc64Plain, type Crc64Halves } from '../bytes/crc64-plain.js'
import { kernelOf, sharedKernel, type ByteKernel } from './kernel.js'

/** For fewer bytes a call into wasm, and the copy, cost more than they save. */
const PLAIN_BELOW_BYTES = 64

export class Crc64 {
  readonly #register: Crc64Halves = { low: 0, high: 0 }
  /** Whose memory the last bytes were in: reads mostly go to one buffer. */
  #buffer: ArrayBufferLike | undefined
  #kernel: ByteKernel | undefined

  /**
   * Takes bytes[start, end). Synchronous; nothing of `bytes` is kept. Bytes in the memory of a
   * ByteKernel are read in place (5 GB/s for blocks of 1 MB), others copied first; the fewer calls
   * the better: below 128 KB a call the rate falls to a quarter.
   */
  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (end - start < PLAIN_BELOW_BYTES) {
      crc64Plain(this.#register, bytes, start, end)
      return
    }
    if (bytes.buffer !== this.#buffer) {
      this.#buffer = bytes.buffer
      this.#kernel = kernelOf(bytes)
    }
    if (this.#kernel !== undefined) {
      this.#run(this.#kernel, bytes.byteOffset + start, end - start)
      return
    }
    const kernel = sharedKernel()
    for (let at = start; at < end; at += kernel.stagingBytes) {
      const piece = Math.min(kernel.stagingBytes, end - at)
      kernel.memory.set(bytes.subarray(at, at + piece), kernel.stagingAddress)
      this.#run(kernel, kernel.stagingAddress, piece)
    }
  }

  #run(kernel: ByteKernel, address: number, length: number): void {
    const register = this.#register
    register.low = kernel.exports.crc64(register.low, register.high, address, length)
    register.high = kernel.exports.crc64High()
  }

  /** The checksum so far, unsigned. Makes a BigInt: not for hot paths, see `matches`. */
  get value(): bigint {
    const { low, high } = this.#register
    return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  }

  /** True when the register is 0, as it is behind a payload and its own checksum. */
  get isZero(): boolean {
    return (this.#register.low | this.#register.high) === 0
  }

  /** Compares with the 8 bytes little endian at bytes[at], which must exist. */
  matches(bytes: Uint8Array, at: number): boolean {
    return (
      readInt32(bytes, at) === this.#register.low &&
      readInt32(bytes, at + 4) === this.#register.high
    )
  }

  /** Writes the checksum as 8 bytes little endian to bytes[at]. */
  writeTo(bytes: Uint8Array, at: number): void {
    writeInt32(bytes, at, this.#register.low)
    writeInt32(bytes, at + 4, this.#register.high)
  }

  reset(): void {
    this.#register.low = 0
    this.#register.high = 0
  }
}

/** The checksum of bytes[start, end), unsigned. */
export function crc64(bytes: Uint8Array, start = 0, end = bytes.length): bigint {
  const crc = new Crc64()
  crc.update(bytes, start, end)
  return crc.value
}

function readInt32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}
