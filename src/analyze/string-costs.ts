/**
 * Encoding and memory of strings by their sizes. Files hold few different pairs of short lengths,
 * millions of times: those are reckoned once.
 */
import type { StringRows } from '../rdb/visitor.js'
import { ENCODING, type Encoding, type MemoryEncoding } from './encoding.js'
import type { MemoryModel } from './memory-model.js'

/** Keys and values below this length are remembered. */
const LENGTH_BITS = 7
const LENGTHS = 1 << LENGTH_BITS
const KINDS = 6

export class StringCosts {
  /** Bytes of the last string asked for. */
  memory = 0
  private readonly rules: MemoryEncoding
  private readonly model: MemoryModel
  /** By kind of string, length of key, length of value; 0: not known yet. */
  private readonly memories = new Float64Array(KINDS * LENGTHS * LENGTHS)
  private readonly encodings = new Uint8Array(KINDS * LENGTHS * LENGTHS)

  constructor(rules: MemoryEncoding, model: MemoryModel) {
    this.rules = rules
    this.model = model
  }

  /** Sets `memory` and returns the encoding. */
  of(rows: StringRows, row: number): Encoding {
    const keyLength = rows.keyEnd(row) - rows.keyStart(row)
    const length = rows.valueBytes(row)
    if ((keyLength | length) >= LENGTHS) return this.reckon(rows, row)
    const form = rows.isInteger(row) ? 1 : rows.isHyperLogLog(row) ? 2 : 0
    const kind = form * 2 + (rows.hasExpiry(row) ? 1 : 0)
    const at = (((kind << LENGTH_BITS) | keyLength) << LENGTH_BITS) | length
    const memory = this.memories[at]!
    if (memory !== 0) {
      this.memory = memory
      return this.encodings[at]! as Encoding
    }
    const encoding = this.reckon(rows, row)
    this.memories[at] = this.memory
    this.encodings[at] = encoding
    return encoding
  }

  private reckon(rows: StringRows, row: number): Encoding {
    const keyLength = rows.keyEnd(row) - rows.keyStart(row)
    const length = rows.valueBytes(row)
    const hasExpiry = rows.hasExpiry(row)
    let encoding: Encoding = ENCODING.INT
    if (!rows.isInteger(row)) {
      encoding = rows.isHyperLogLog(row)
        ? ENCODING.RAW
        : this.rules.text(keyLength, hasExpiry, length)
    }
    this.memory = this.model.stringKey(keyLength, hasExpiry, length, encoding)
    return encoding
  }
}
