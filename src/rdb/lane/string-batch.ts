/** What the kernel has taken apart (kernels/assembly/rows.ts), as columns over its memory. */
import { Buffer } from 'node:buffer'
import {
  MAX_ROWS,
  ROW_BYTES,
  ROW_COMMON_SHIFT,
  ROW_COMPRESSED,
  ROW_EXPIRE_AT,
  ROW_EXPIRES,
  ROW_FLAGS,
  ROW_HYPERLOGLOG,
  ROW_INTEGER,
  ROW_KEY,
  ROW_KEY_BYTES,
  ROW_SEPARATORS,
  ROW_SHAPE,
  ROW_VALUE_BYTES,
} from '../../kernels/abi.js'
import type { ByteKernel } from '../../kernels/kernel.js'
import type { StringBatch } from './lane.js'

/** A row in the views of them. */
const WORDS = ROW_BYTES >> 2
const DOUBLES = ROW_BYTES >> 3
const NO_WORDS = new Uint32Array(0)
const NO_DOUBLES = new Float64Array(0)

export class KernelStringBatch implements StringBatch {
  count = 0
  dbnum = 0
  firstIndex = 0
  bytes: Buffer = Buffer.alloc(0)
  readonly #separatorByte: number
  #kernel: ByteKernel | undefined
  #words: Uint32Array = NO_WORDS
  #doubles: Float64Array = NO_DOUBLES

  constructor(separatorByte: number) {
    this.#separatorByte = separatorByte
  }

  /** Reads records from bytes[start, end) in the kernel's memory; returns where the rest begins. */
  read(kernel: ByteKernel, start: number, end: number): number {
    if (this.#kernel !== kernel) this.#view(kernel)
    this.count = kernel.exports.readStringRows(start, end, this.#separatorByte)
    return kernel.exports.stringRowsEnd()
  }

  keyStart(index: number): number {
    return this.#words[index * WORDS + (ROW_KEY >> 2)]!
  }

  keyEnd(index: number): number {
    return this.keyStart(index) + this.#words[index * WORDS + (ROW_KEY_BYTES >> 2)]!
  }

  separators(index: number): number {
    return this.#words[index * WORDS + (ROW_SEPARATORS >> 2)]!
  }

  shape(index: number): number {
    return this.#words[index * WORDS + (ROW_SHAPE >> 2)]!
  }

  valueBytes(index: number): number {
    return this.#words[index * WORDS + (ROW_VALUE_BYTES >> 2)]!
  }

  commonBytes(index: number): number {
    return this.#words[index * WORDS + (ROW_FLAGS >> 2)]! >>> ROW_COMMON_SHIFT
  }

  isInteger(index: number): boolean {
    return (this.#words[index * WORDS + (ROW_FLAGS >> 2)]! & ROW_INTEGER) !== 0
  }

  isCompressed(index: number): boolean {
    return (this.#words[index * WORDS + (ROW_FLAGS >> 2)]! & ROW_COMPRESSED) !== 0
  }

  isHyperLogLog(index: number): boolean {
    return (this.#words[index * WORDS + (ROW_FLAGS >> 2)]! & ROW_HYPERLOGLOG) !== 0
  }

  hasExpiry(index: number): boolean {
    return (this.#words[index * WORDS + (ROW_FLAGS >> 2)]! & ROW_EXPIRES) !== 0
  }

  expireAtMs(index: number): number {
    return this.#doubles[index * DOUBLES + (ROW_EXPIRE_AT >> 3)]!
  }

  #view(kernel: ByteKernel): void {
    this.#kernel = kernel
    this.bytes = kernel.memory
    const at = kernel.exports.stringRows()
    const { buffer } = kernel.memory
    this.#words = new Uint32Array(buffer, at, MAX_ROWS * WORDS)
    this.#doubles = new Float64Array(buffer, at, MAX_ROWS * DOUBLES)
  }
}
