/**
 * What `--csv` says of each key, as columns: many keys at once, numbers in arrays, names as bytes one
 * behind another. For forms that are made of columns: Parquet, tables of a database.
 */
import { Buffer } from 'node:buffer'
import { ENCODING_NAMES } from '../../analyze/encoding.js'
import type { AnalyzedKey, AnalyzedStrings } from '../../analyze/key-analysis.js'
import { printable } from '../../bytes/printable.js'
import { KIND, KIND_NAMES } from '../../rdb/visitor.js'
import { putVisible } from '../line-text.js'

/** Mean length of a name that a new block has room for. */
const NAME_BYTES = 48
/** A block is handed out before its names are longer than this. */
const MAX_BLOCK_NAME_BYTES = 16 << 20
/** Longest form of a byte: `\xff`. */
const ESCAPED_BYTES = 4
/** Names of types beside our own are the file's: a hostile one may have any number of them. */
const MAX_TYPES = 1000

/** One row a key; only the first `count` count. */
export class KeyBlock {
  count = 0
  readonly databases: Int32Array
  /** Places in `KeyColumns.types`. */
  readonly types: Uint16Array
  /** Places in ENCODING_NAMES. */
  readonly encodings: Uint8Array
  /** Bytes of memory. */
  readonly memory: Float64Array
  readonly elements: Float64Array
  /** Longest element in bytes; -1 where it is not known. */
  readonly largest: Float64Array
  /** Unix ms; NaN for none. */
  readonly expiries: Float64Array
  /** As `printable` shows them. */
  names: Buffer
  /** Of each name; it begins where the one before ends. */
  readonly nameEnds: Uint32Array

  constructor(rows: number) {
    this.databases = new Int32Array(rows)
    this.types = new Uint16Array(rows)
    this.encodings = new Uint8Array(rows)
    this.memory = new Float64Array(rows)
    this.elements = new Float64Array(rows)
    this.largest = new Float64Array(rows)
    this.expiries = new Float64Array(rows)
    this.nameEnds = new Uint32Array(rows)
    this.names = Buffer.allocUnsafeSlow(rows * NAME_BYTES)
  }

  get namesEnd(): number {
    return this.count === 0 ? 0 : this.nameEnds[this.count - 1]!
  }
}

/** Fills blocks: hooks for a KeyAnalysis. */
export class KeyColumns {
  /** By place. */
  readonly types: string[] = [...KIND_NAMES]
  readonly #typePlaces = new Map(this.types.map((name, place) => [name, place]))
  readonly #rows: number
  readonly #onFull: (block: KeyBlock) => KeyBlock
  #block: KeyBlock

  /** `onFull` gives the block to go on in, which may be the same. */
  constructor(rows: number, onFull: (block: KeyBlock) => KeyBlock) {
    this.#rows = rows
    this.#onFull = onFull
    this.#block = new KeyBlock(rows)
  }

  readonly add = ({ header, stats, type, encoding, memory }: AnalyzedKey): void => {
    const block = this.#blockFor(header.key.end - header.key.start)
    const row = block.count
    block.databases[row] = header.dbnum
    block.types[row] = this.#placeOf(type)
    block.encodings[row] = ENCODING_NAMES.indexOf(encoding)
    block.memory[row] = memory
    block.elements[row] = stats.elements
    block.largest[row] = stats.largestElementBytes
    block.expiries[row] = header.hasExpiry ? header.expireAtMs : Number.NaN
    this.#endRow(block, header.key.bytes, header.key.start, header.key.end)
  }

  readonly addStrings = ({ rows, encodings, memory }: AnalyzedStrings): void => {
    for (let index = 0; index < rows.count; index += 1) {
      const start = rows.keyStart(index)
      const end = rows.keyEnd(index)
      const block = this.#blockFor(end - start)
      const row = block.count
      block.databases[row] = rows.dbnum
      block.types[row] = KIND.STRING
      block.encodings[row] = encodings[index]!
      block.memory[row] = Math.round(memory[index]!)
      block.elements[row] = 1
      block.largest[row] = rows.valueBytes(index)
      block.expiries[row] = rows.hasExpiry(index) ? rows.expireAtMs(index) : Number.NaN
      this.#endRow(block, rows.bytes, start, end)
    }
  }

  /** Hands out what is there. */
  flush(): void {
    if (this.#block.count > 0) this.#next()
  }

  #next(): void {
    this.#block = this.#onFull(this.#block)
    this.#block.count = 0
  }

  #blockFor(keyBytes: number): KeyBlock {
    const end = this.#block.namesEnd
    const room = ESCAPED_BYTES * keyBytes
    const isFull = this.#block.count === this.#rows
    if (isFull || (end > 0 && end + room > MAX_BLOCK_NAME_BYTES)) this.#next()
    const block = this.#block
    const from = block.namesEnd
    if (from + room > block.names.length) {
      const longer = Buffer.allocUnsafeSlow(Math.max(from + room, 2 * block.names.length))
      block.names.copy(longer, 0, 0, from)
      block.names = longer
    }
    return block
  }

  #endRow(block: KeyBlock, bytes: Buffer, start: number, end: number): void {
    const at = block.namesEnd
    const plainEnd = putVisible(bytes, start, end, block.names, at)
    const to = plainEnd >= 0 ? plainEnd : at + block.names.write(printable(bytes, start, end), at)
    block.nameEnds[block.count] = to
    block.count += 1
  }

  #placeOf(type: string): number {
    const known = this.#typePlaces.get(type)
    if (known !== undefined) return known
    if (this.types.length === MAX_TYPES) return KIND.MODULE
    this.types.push(type)
    this.#typePlaces.set(type, this.types.length - 1)
    return this.types.length - 1
  }
}
