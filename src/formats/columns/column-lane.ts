/** Columns of strings by the kernel (kernels/assembly/string-columns.ts), hundreds a call. */
import type { Buffer } from 'node:buffer'
import { MAX_ROWS } from '../../kernels/abi.js'
import type { ByteKernel } from '../../kernels/kernel.js'

/** One at a time for a kernel: the areas are the kernel's. */
export class ColumnLane {
  /** Of the last call, by row from its first on. */
  readonly nameEnds: Uint32Array
  readonly lengths: Float64Array
  readonly expiries: Float64Array
  readonly #kernel: ByteKernel
  readonly #names: number

  constructor(kernel: ByteKernel) {
    this.#kernel = kernel
    const { exports, memory } = kernel
    this.nameEnds = new Uint32Array(memory.buffer, exports.columnEnds(), MAX_ROWS)
    this.lengths = new Float64Array(memory.buffer, exports.columnLengths(), MAX_ROWS)
    this.expiries = new Float64Array(memory.buffer, exports.columnExpiries(), MAX_ROWS)
    this.#names = exports.linesOut()
  }

  belongsTo(kernel: ByteKernel): boolean {
    return this.#kernel === kernel
  }

  /** How many rows from `first` on were taken; their names end `base` and more bytes behind. */
  take(first: number, last: number, base: number, hasNames: boolean): number {
    return this.#kernel.exports.stringColumns(first, last, base, hasNames ? 1 : 0) - first
  }

  copyNames(length: number, out: Buffer, at: number): void {
    this.#kernel.memory.copy(out, at, this.#names, this.#names + length)
  }
}
