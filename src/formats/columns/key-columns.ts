/**
 * What `--csv` says of each key, as columns: many keys at once, numbers in arrays, names as bytes one
 * behind another. For forms that are made of columns: Parquet, tables of a database.
 */
import { Buffer } from 'node:buffer'
import { ENCODING_NAMES } from '../../analyze/encoding.js'
import type { AnalyzedKey, AnalyzedStrings } from '../../analyze/key-analysis.js'
import { printable } from '../../bytes/printable.js'
import { KIND, KIND_NAMES } from '../../rdb/visitor.js'
import { kernelOf } from '../../kernels/kernel.js'
import { putVisible } from '../line-text.js'
import { ColumnLane } from './column-lane.js'

/** Mean length of a name that a new block has room for. */
const NAME_BYTES = 48
/** A block is handed out before its names are longer than this. */
const MAX_BLOCK_NAME_BYTES = 16 << 20
/** Of one call of the kernel at most. */
const LANE_NAME_BYTES = 1 << 18
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
  readonly #make: (bytes: number) => ArrayBufferLike

  /** `isShared`: another thread may look at it, too. */
  constructor(rows: number, isShared = false) {
    const make = (bytes: number): ArrayBufferLike =>
      isShared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)
    this.databases = new Int32Array(make(4 * rows))
    this.types = new Uint16Array(make(2 * rows))
    this.encodings = new Uint8Array(make(rows))
    this.memory = new Float64Array(make(8 * rows))
    this.elements = new Float64Array(make(8 * rows))
    this.largest = new Float64Array(make(8 * rows))
    this.expiries = new Float64Array(make(8 * rows))
    this.nameEnds = new Uint32Array(make(4 * rows))
    this.names = Buffer.from(make(rows * NAME_BYTES))
    this.#make = make
  }

  /** Room for so many bytes of names behind those that are there. */
  roomForNames(bytes: number): void {
    const from = this.namesEnd
    if (from + bytes <= this.names.length) return
    const longer = Buffer.from(this.#make(Math.max(from + bytes, 2 * this.names.length)))
    this.names.copy(longer, 0, 0, from)
    this.names = longer
  }

  get namesEnd(): number {
    return this.count === 0 ? 0 : this.nameEnds[this.count - 1]!
  }
}

export type KeyColumn =
  'databases' | 'types' | 'encodings' | 'memory' | 'elements' | 'largest' | 'expiries' | 'names'

export interface KeyColumnsOptions {
  /** Takes a block, and gives the one to go on in, which may be the same. */
  onFull: (block: KeyBlock) => KeyBlock
  /** Columns that somebody looks at; the others hold anything. Default: all. */
  wants?: (column: KeyColumn) => boolean
  /** The first block. */
  newBlock?: () => KeyBlock
}

/** Fills blocks: hooks for a KeyAnalysis. */
export class KeyColumns {
  /** By place. */
  readonly types: string[] = [...KIND_NAMES]
  readonly #typePlaces = new Map(this.types.map((name, place) => [name, place]))
  readonly #rows: number
  readonly #onFull: (block: KeyBlock) => KeyBlock
  readonly #hasNames: boolean
  readonly #wants: Readonly<Record<Exclude<KeyColumn, 'names'>, boolean>>
  #block: KeyBlock
  #lane: ColumnLane | undefined

  constructor(
    rows: number,
    { onFull, wants = () => true, newBlock = () => new KeyBlock(rows) }: KeyColumnsOptions,
  ) {
    this.#rows = rows
    this.#onFull = onFull
    this.#hasNames = wants('names')
    this.#wants = {
      databases: wants('databases'),
      types: wants('types'),
      encodings: wants('encodings'),
      memory: wants('memory'),
      elements: wants('elements'),
      largest: wants('largest'),
      expiries: wants('expiries'),
    }
    this.#block = newBlock()
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

  readonly addStrings = (strings: AnalyzedStrings): void => {
    const { rows } = strings
    const owner = kernelOf(rows.bytes)
    if (owner !== undefined && this.#lane?.belongsTo(owner) !== true) {
      this.#lane = new ColumnLane(owner)
    }
    for (let first = 0; first < rows.count;) {
      const taken = this.#lane === undefined ? 0 : this.#takeMany(this.#lane, strings, first)
      first += taken
      // A name that is not shown as it is.
      if (taken === 0) {
        this.#addString(strings, first)
        first += 1
      }
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

  /** As many as the kernel takes at once, and as there is room for. */
  #takeMany(lane: ColumnLane, { rows, encodings, memory }: AnalyzedStrings, first: number): number {
    const block = this.#blockFor(LANE_NAME_BYTES / ESCAPED_BYTES)
    const row = block.count
    const last = Math.min(rows.count, first + this.#rows - row)
    const base = block.namesEnd
    const taken = lane.take(first, last, base, this.#hasNames)
    if (taken === 0) return 0
    const end = row + taken
    const wants = this.#wants
    if (wants.databases) block.databases.fill(rows.dbnum, row, end)
    if (wants.types) block.types.fill(KIND.STRING, row, end)
    if (wants.encodings) block.encodings.set(encodings.subarray(first, first + taken), row)
    if (wants.memory) block.memory.set(memory.subarray(first, first + taken), row)
    if (wants.elements) block.elements.fill(1, row, end)
    if (wants.largest) block.largest.set(lane.lengths.subarray(0, taken), row)
    if (wants.expiries) block.expiries.set(lane.expiries.subarray(0, taken), row)
    block.nameEnds.set(lane.nameEnds.subarray(0, taken), row)
    if (this.#hasNames) lane.copyNames(lane.nameEnds[taken - 1]! - base, block.names, base)
    block.count = end
    return taken
  }

  #addString({ rows, encodings, memory }: AnalyzedStrings, index: number): void {
    const start = rows.keyStart(index)
    const end = rows.keyEnd(index)
    const block = this.#blockFor(end - start)
    const row = block.count
    block.databases[row] = rows.dbnum
    block.types[row] = KIND.STRING
    block.encodings[row] = encodings[index]!
    block.memory[row] = memory[index]!
    block.elements[row] = 1
    block.largest[row] = rows.valueBytes(index)
    block.expiries[row] = rows.hasExpiry(index) ? rows.expireAtMs(index) : Number.NaN
    this.#endRow(block, rows.bytes, start, end)
  }

  #blockFor(keyBytes: number): KeyBlock {
    const end = this.#block.namesEnd
    const room = ESCAPED_BYTES * keyBytes
    const isFull = this.#block.count === this.#rows
    if (isFull || (end > 0 && end + room > MAX_BLOCK_NAME_BYTES)) this.#next()
    const block = this.#block
    block.roomForNames(room)
    return block
  }

  #endRow(block: KeyBlock, bytes: Buffer, start: number, end: number): void {
    const at = block.namesEnd
    if (!this.#hasNames) {
      block.nameEnds[block.count] = at
      block.count += 1
      return
    }
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
