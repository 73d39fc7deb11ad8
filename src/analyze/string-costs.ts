/**
 * Encoding and memory of strings by their sizes. Files hold few different pairs of short lengths,
 * millions of times: those are reckoned once.
 */
import { STRING_SHAPES, type StringBatch } from '../rdb/lane/lane.js'
import { ENCODING, type Encoding, type MemoryEncoding } from './encoding.js'
import type { MemoryModel } from './memory-model.js'

export class StringCosts {
  /** Bytes of the last string asked for. */
  memory = 0
  readonly #rules: MemoryEncoding
  readonly #model: MemoryModel
  /** By shape: what `of` would say. 0: not known yet. */
  readonly memories = new Float64Array(STRING_SHAPES)
  readonly encodings = new Uint8Array(STRING_SHAPES)

  constructor(rules: MemoryEncoding, model: MemoryModel) {
    this.#rules = rules
    this.#model = model
  }

  /** Sets `memory` and returns the encoding. */
  of(rows: StringBatch, row: number): Encoding {
    const shape = rows.shape(row)
    if (shape >= STRING_SHAPES) return this.#reckon(rows, row)
    this.memory = this.memories[shape]!
    if (this.memory === 0) {
      this.encodings[shape] = this.#reckon(rows, row)
      this.memories[shape] = this.memory
    }
    return this.encodings[shape]! as Encoding
  }

  #reckon(rows: StringBatch, row: number): Encoding {
    const keyLength = rows.keyEnd(row) - rows.keyStart(row)
    const length = rows.valueBytes(row)
    const hasExpiry = rows.hasExpiry(row)
    let encoding: Encoding = ENCODING.INT
    if (!rows.isInteger(row)) {
      encoding = rows.isHyperLogLog(row)
        ? ENCODING.RAW
        : this.#rules.text(keyLength, hasExpiry, length)
    }
    this.memory = Math.round(this.#model.stringKey(keyLength, hasExpiry, length, encoding))
    return encoding
  }
}
