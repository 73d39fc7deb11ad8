/**
 * The kernel that digests are made in (kernels/assembly/digest.ts), with the memory it needs: the
 * input, so that stretches of it are digested where they lie, and what becomes of the digests.
 */
import type { Buffer } from 'node:buffer'
import { DIGEST_BUCKETS, DIGEST_SECRET_BYTES, SUM_BYTES } from '../kernels/abi.js'
import { ByteKernel, type KernelExports } from '../kernels/kernel.js'
import type { Slice } from '../rdb/visitor.js'

const SCRATCH_BYTES = 1 << 16
const OUTPUT_BYTES = 1 << 18

export class DigestKernel {
  readonly kernel: ByteKernel
  readonly exports: KernelExports
  /** To be read into. */
  readonly input: Buffer
  /** Of each bucket SUM_BYTES, for both sides of a comparison. */
  readonly sums: { readonly a: Buffer; readonly b: Buffer }
  /** Of each bucket 1 if its keys are to be told. */
  readonly suspects: Buffer
  /** Records of keys, each with its name behind. */
  readonly output: Buffer
  readonly #scratch: Buffer

  /** @param secret random bytes: without them nobody can prepare values that collide */
  constructor(inputBytes: number, secret: Uint8Array) {
    const sumBytes = DIGEST_BUCKETS * SUM_BYTES
    const bytes = inputBytes + 2 * sumBytes + DIGEST_BUCKETS + OUTPUT_BYTES + SCRATCH_BYTES
    const kernel = new ByteKernel(bytes)
    this.kernel = kernel
    this.exports = kernel.exports
    this.input = kernel.allocateInput(inputBytes)
    this.sums = { a: kernel.allocate(sumBytes), b: kernel.allocate(sumBytes) }
    this.suspects = kernel.allocate(DIGEST_BUCKETS)
    this.output = kernel.allocate(OUTPUT_BYTES)
    this.#scratch = kernel.allocate(SCRATCH_BYTES)
    this.#scratch.set(secret.subarray(0, DIGEST_SECRET_BYTES))
    this.exports.digestSecret(this.#scratch.byteOffset)
  }

  /** Takes in a string from any memory. */
  string({ bytes, start, end }: Slice): void {
    const { exports } = this
    const scratch = this.#scratch
    if (bytes.buffer === scratch.buffer) {
      exports.digestString(bytes.byteOffset + start, end - start)
    } else if (end - start <= SCRATCH_BYTES) {
      bytes.copy(scratch, 0, start, end)
      exports.digestString(scratch.byteOffset, end - start)
    } else {
      exports.digestPartsBegin(end - start)
      this.part(bytes, start, end)
      exports.digestPartsEnd()
    }
  }

  part(bytes: Buffer, start: number, end: number): void {
    const { exports } = this
    const scratch = this.#scratch
    if (bytes.buffer === scratch.buffer) {
      exports.digestPart(bytes.byteOffset + start, end - start)
      return
    }
    for (let at = start; at < end; at += SCRATCH_BYTES) {
      const piece = bytes.copy(scratch, 0, at, Math.min(end, at + SCRATCH_BYTES))
      exports.digestPart(scratch.byteOffset, piece)
    }
  }

  /** Begins with a key; returns its bucket. */
  key(name: Slice, dbnum: number): number {
    const { exports } = this
    exports.digestBegin()
    this.string(name)
    return exports.digestKeyEnd(dbnum)
  }
}
