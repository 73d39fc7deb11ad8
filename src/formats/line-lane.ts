/**
 * Lines for strings by the kernel (kernels/assembly/string-lines.ts), hundreds of thousands a call. The
 * part of a line that all strings of a shape share is made here, once.
 */
import { LINE_TEXT_BYTES, MAX_LINE_HEAD_BYTES, MAX_LINE_TEXTS } from '../kernels/abi.js'
import type { ByteKernel } from '../kernels/kernel.js'
import { STRING_SHAPES, type StringBatch } from '../rdb/lane/lane.js'

/** One at a time for a kernel: the areas are the kernel's. */
export class LineLane {
  readonly #kernel: ByteKernel
  readonly #order: 0 | 1
  readonly #slots: Uint16Array
  #slotCount = 0
  #headLength = 0

  /** @param order 0: head, key, text, time; 1: head, text, time or `-`, space, key */
  constructor(kernel: ByteKernel, order: 0 | 1) {
    this.#kernel = kernel
    this.#order = order
    const at = kernel.exports.lineSlots()
    this.#slots = new Uint16Array(kernel.memory.buffer, at, STRING_SHAPES).fill(0)
  }

  belongsTo(kernel: ByteKernel): boolean {
    return this.#kernel === kernel
  }

  /** ASCII; false: it is too long for here. */
  setHead(text: string): boolean {
    if (text.length > MAX_LINE_HEAD_BYTES) return false
    const at = this.#kernel.exports.lineHead()
    this.#headLength = this.#kernel.memory.write(text, at, MAX_LINE_HEAD_BYTES, 'latin1')
    return true
  }

  /** The first row that has no line; the lines are `out`. */
  write(rows: StringBatch, first: number): number {
    return this.#kernel.exports.writeLines(first, rows.count, this.#order, this.#headLength)
  }

  get outStart(): number {
    return this.#kernel.exports.linesOut()
  }

  get outEnd(): number {
    return this.#kernel.exports.linesEnd()
  }

  /** True where the shape has a text, or one can be given to it. */
  takes(shape: number): boolean {
    return shape < STRING_SHAPES && this.#slots[shape] === 0 && this.#slotCount < MAX_LINE_TEXTS
  }

  /** ASCII; a longer text than fits is left out. */
  setText(shape: number, text: string): boolean {
    if (text.length >= LINE_TEXT_BYTES) return false
    const { memory, exports } = this.#kernel
    const at = exports.lineTexts() + this.#slotCount * LINE_TEXT_BYTES
    memory.write(text, at, 'latin1')
    memory[at + LINE_TEXT_BYTES - 1] = text.length
    this.#slotCount += 1
    this.#slots[shape] = this.#slotCount
    return true
  }
}
