/** Hashes and names of strings by the kernel (kernels/assembly/name-hashes.ts), hundreds a call. */
import type { Buffer } from 'node:buffer'
import { HASH_SECRET_WORDS, HASHED_BYTES, HASHED_NAME, MAX_ROWS } from '../../kernels/abi.js'
import type { ByteKernel } from '../../kernels/kernel.js'

export const HASHED_WORDS = HASHED_BYTES >> 2
/** Where in those words the name's place is, behind the three hashes. */
export const HASHED_NAME_WORD = HASHED_NAME >> 2

/** One at a time for a kernel: the areas are the kernel's. */
export class NameHashLane {
  /** Of the last call, HASHED_WORDS by row from its first on. */
  readonly hashed: Int32Array
  readonly #kernel: ByteKernel
  readonly #names: number

  constructor(kernel: ByteKernel, secret: Uint32Array) {
    this.#kernel = kernel
    const { exports, memory } = kernel
    this.hashed = new Int32Array(memory.buffer, exports.nameHashes(), HASHED_WORDS * MAX_ROWS)
    this.#names = exports.linesOut()
    new Uint32Array(memory.buffer, exports.nameHashSecret(), HASH_SECRET_WORDS).set(secret)
  }

  belongsTo(kernel: ByteKernel): boolean {
    return this.#kernel === kernel
  }

  /** How many rows from `first` on were taken. */
  take(first: number, last: number, dbnum: number): number {
    return this.#kernel.exports.hashNames(first, last, dbnum) - first
  }

  /** Of the last call, each behind its length. */
  get names(): Buffer {
    return this.#kernel.memory.subarray(this.#names, this.#kernel.exports.hashedNamesEnd())
  }
}
