/**
 * Columns of a block into the vectors of DuckDB, whole stretches at once. A call of the addon for each
 * text would cost more than all the rest. So the texts of a stretch are given to the vector as one, and its
 * rows are made to point into that, in the form that DuckDB's C API gives a string: length, then up to 12
 * bytes, or 4 bytes and an address. They live as long as the one does: as the vector.
 */
import type { Column } from '../protocol.js'
import { MOST_INLINE_BYTES, STRING_BYTES, type Bindings, type Vector } from './database.js'

const TWO_TO_32 = 2 ** 32
const MS = 1000
/** The last moment that a Date can hold: DuckDB holds it, too. */
const MAX_UNIX_MS = 8.64e15

export class Vectors {
  readonly #db: Bindings
  #numbers = new Uint32Array(2 * 2048)
  #strings = new Uint32Array(4 * 2048)
  #stringBytes = new Uint8Array(this.#strings.buffer)
  readonly #masks = new Uint8Array(2048 / 8)
  /** By the list of words: each as a string. */
  readonly #words = new WeakMap<readonly string[], Uint32Array>()

  constructor(db: Bindings) {
    this.#db = db
  }

  /** Rows [from, from + count) of the column. */
  fill(vector: Vector, column: Column, from: number, count: number): void {
    switch (column.kind) {
      case 'integer':
        this.#copy(vector, column.values, from, count)
        return
      case 'bigint':
        this.#bigints(vector, column.values, from, count, column.isCount === true)
        return
      case 'time':
        this.#times(vector, column.values, from, count)
        return
      case 'word':
        this.#fillWords(vector, column.values, this.#wordsOf(column.words), from, count)
        return
      case 'text':
        this.#texts(vector, column.bytes, column.ends, from, count)
        if (column.nulls !== undefined) this.#nulls(vector, column.nulls, from, count)
        return
      case 'texts':
        this.#lists(vector, column, from, count)
    }
  }

  #copy(vector: Vector, values: Int32Array, from: number, count: number): void {
    // The addon takes no memory that is shared.
    this.#numbers.set(values.subarray(from, from + count))
    this.#db.copy_data_to_vector(vector, 0, this.#numbers.buffer, 0, 4 * count)
  }

  #bigints(
    vector: Vector,
    values: Float64Array,
    from: number,
    count: number,
    isCount: boolean,
  ): void {
    const numbers = this.#numbers
    let isWhole = true
    for (let row = 0; row < count; row += 1) {
      const value = values[from + row]!
      // As two's complement in two halves; NaN gives 0.
      numbers[2 * row] = value
      numbers[2 * row + 1] = Math.floor(value / TWO_TO_32)
      if (!(value >= 0)) isWhole = false
    }
    this.#db.copy_data_to_vector(vector, 0, numbers.buffer, 0, 8 * count)
    if (!isWhole) {
      this.#validity(vector, count, (row) =>
        isCount ? values[from + row]! >= 0 : !Number.isNaN(values[from + row]!),
      )
    }
  }

  /** Microseconds, as two halves that no double is exact enough for at once. */
  #times(vector: Vector, values: Float64Array, from: number, count: number): void {
    const numbers = this.#numbers
    let isWhole = true
    for (let row = 0; row < count; row += 1) {
      let ms = values[from + row]!
      if (Number.isNaN(ms)) {
        isWhole = false
        continue
      }
      ms = Math.max(-MAX_UNIX_MS, Math.min(MAX_UNIX_MS, ms))
      const high = Math.floor(ms / TWO_TO_32)
      const low = (ms - high * TWO_TO_32) * MS
      const carry = Math.floor(low / TWO_TO_32)
      numbers[2 * row] = low - carry * TWO_TO_32
      numbers[2 * row + 1] = high * MS + carry
    }
    this.#db.copy_data_to_vector(vector, 0, numbers.buffer, 0, 8 * count)
    if (!isWhole) this.#validity(vector, count, (row) => !Number.isNaN(values[from + row]!))
  }

  #fillWords(
    vector: Vector,
    values: Uint8Array | Uint16Array,
    words: Uint32Array,
    from: number,
    count: number,
  ): void {
    const strings = this.#strings
    for (let row = 0, to = 0; row < count; row += 1, to += 4) {
      const word = 4 * values[from + row]!
      strings[to] = words[word]!
      strings[to + 1] = words[word + 1]!
      strings[to + 2] = words[word + 2]!
      strings[to + 3] = words[word + 3]!
    }
    this.#db.copy_data_to_vector(vector, 0, strings.buffer, 0, STRING_BYTES * count)
  }

  #texts(vector: Vector, bytes: Uint8Array, ends: Uint32Array, from: number, count: number): void {
    if (count === 0) return
    const start = from === 0 ? 0 : ends[from - 1]!
    const base = this.#keep(vector, bytes.subarray(start, ends[from + count - 1]))
    const strings = this.#strings
    const inline = this.#stringBytes
    let at = start
    for (let row = 0, to = 0; row < count; row += 1, to += 4) {
      const end = ends[from + row]!
      const length = end - at
      strings[to] = length
      if (length <= MOST_INLINE_BYTES) {
        strings[to + 1] = 0
        strings[to + 2] = 0
        strings[to + 3] = 0
        for (let into = 4 * to + 4; at < end; at += 1, into += 1) inline[into] = bytes[at]!
        continue
      }
      strings[to + 1] =
        bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      const low = base.low + at - start
      strings[to + 2] = low
      strings[to + 3] = low >= TWO_TO_32 ? base.high + 1 : base.high
      at = end
    }
    this.#db.copy_data_to_vector(vector, 0, strings.buffer, 0, STRING_BYTES * count)
  }

  /** Gives the texts to the vector as one; where that lies. */
  #keep(vector: Vector, bytes: Uint8Array): { low: number; high: number } {
    // No row of so little can be longer than what a string holds itself.
    if (bytes.length <= MOST_INLINE_BYTES) return { low: 0, high: 0 }
    this.#db.vector_assign_string_element_len(vector, 0, bytes)
    const { buffer, byteOffset } = this.#db.vector_get_data(vector, STRING_BYTES)
    const [length, , low, high] = new Uint32Array(buffer, byteOffset, 4)
    if (length !== bytes.length) throw new Error('this DuckDB holds strings in another form')
    return { low: low!, high: high! }
  }

  #lists(
    vector: Vector,
    { bytes, ends, listEnds }: Extract<Column, { kind: 'texts' }>,
    from: number,
    count: number,
  ): void {
    const first = from === 0 ? 0 : listEnds[from - 1]!
    const texts = count === 0 ? 0 : listEnds[from + count - 1]! - first
    const entries = this.#strings
    let at = first
    for (let row = 0; row < count; row += 1) {
      const end = listEnds[from + row]!
      entries[4 * row] = at - first
      entries[4 * row + 1] = 0
      entries[4 * row + 2] = end - at
      entries[4 * row + 3] = 0
      at = end
    }
    this.#db.copy_data_to_vector(vector, 0, entries.buffer, 0, STRING_BYTES * count)
    this.#db.list_vector_reserve(vector, texts)
    this.#db.list_vector_set_size(vector, texts)
    if (4 * texts > this.#strings.length) {
      this.#strings = new Uint32Array(4 * texts)
      this.#stringBytes = new Uint8Array(this.#strings.buffer)
    }
    this.#texts(this.#db.list_vector_get_child(vector), bytes, ends, first, texts)
  }

  #nulls(vector: Vector, nulls: Uint8Array, from: number, count: number): void {
    if (nulls.subarray(from, from + count).includes(1)) {
      this.#validity(vector, count, (row) => nulls[from + row] === 0)
    }
  }

  #validity(vector: Vector, count: number, isValid: (row: number) => boolean): void {
    const masks = this.#masks.fill(0)
    for (let row = 0; row < count; row += 1) {
      if (isValid(row)) masks[row >> 3]! |= 1 << (row & 7)
    }
    this.#db.vector_ensure_validity_writable(vector)
    const bytes = 8 * Math.ceil(count / 64)
    this.#db.copy_data_to_vector_validity(vector, 0, masks.buffer, 0, bytes)
  }

  #wordsOf(words: readonly string[]): Uint32Array {
    let known = this.#words.get(words)
    if (known === undefined) {
      known = new Uint32Array(4 * words.length)
      const bytes = new Uint8Array(known.buffer)
      for (const [place, word] of words.entries()) {
        const text = Buffer.from(word).subarray(0, MOST_INLINE_BYTES)
        known[4 * place] = text.length
        bytes.set(text, STRING_BYTES * place + 4)
      }
      this.#words.set(words, known)
    }
    return known
  }
}
