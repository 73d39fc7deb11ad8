/** What the kernel has taken apart (kernels/assembly/rows.ts), as columns over its memory. */
import { Buffer } from 'node:buffer'
import type { ByteKernel } from '../../kernels/kernel.js'
import type { StringBatch } from './lane.js'

/** As kernels/assembly/rows.ts has them. */
const MAX_ROWS = 1024
const WORDS = 8
const FLAG = { INTEGER: 1, COMPRESSED: 2, EXPIRES: 4, HYPERLOGLOG: 8 } as const
const COMMON_SHIFT = 8
const NO_WORDS = new Uint32Array(0)
const NO_DOUBLES = new Float64Array(0)

export class KernelStringBatch implements StringBatch {
  count = 0
  dbnum = 0
  bytes: Buffer = Buffer.alloc(0)
  private readonly separatorByte: number
  private kernel: ByteKernel | undefined
  private words: Uint32Array = NO_WORDS
  private doubles: Float64Array = NO_DOUBLES

  constructor(separatorByte: number) {
    this.separatorByte = separatorByte
  }

  /** Reads records from bytes[start, end) in the kernel's memory; returns where the rest begins. */
  read(kernel: ByteKernel, start: number, end: number): number {
    if (this.kernel !== kernel) this.view(kernel)
    this.count = kernel.exports.readStringRows(start, end, this.separatorByte)
    return kernel.exports.stringRowsEnd()
  }

  keyStart(index: number): number {
    return this.words[index * WORDS]!
  }

  keyEnd(index: number): number {
    return this.words[index * WORDS]! + this.words[index * WORDS + 1]!
  }

  separators(index: number): number {
    return this.words[index * WORDS + 6]!
  }

  shape(index: number): number {
    return this.words[index * WORDS + 7]!
  }

  valueBytes(index: number): number {
    return this.words[index * WORDS + 2]!
  }

  commonBytes(index: number): number {
    return this.words[index * WORDS + 3]! >>> COMMON_SHIFT
  }

  isInteger(index: number): boolean {
    return (this.words[index * WORDS + 3]! & FLAG.INTEGER) !== 0
  }

  isCompressed(index: number): boolean {
    return (this.words[index * WORDS + 3]! & FLAG.COMPRESSED) !== 0
  }

  isHyperLogLog(index: number): boolean {
    return (this.words[index * WORDS + 3]! & FLAG.HYPERLOGLOG) !== 0
  }

  hasExpiry(index: number): boolean {
    return (this.words[index * WORDS + 3]! & FLAG.EXPIRES) !== 0
  }

  expireAtMs(index: number): number {
    return this.doubles[index * 4 + 2]!
  }

  private view(kernel: ByteKernel): void {
    this.kernel = kernel
    this.bytes = kernel.memory
    const at = kernel.exports.stringRows()
    const { buffer } = kernel.memory
    this.words = new Uint32Array(buffer, at, MAX_ROWS * WORDS)
    this.doubles = new Float64Array(buffer, at, MAX_ROWS * 4)
  }
}
