/**
 * Everything `inspect` counts, as a visitor of the RDB parser: memory, types, encodings, databases,
 * times to live, the largest keys, the prefixes. Values are only walked (SKIP): nothing is
 * allocated for a key, except for the few that are kept.
 */
import { Buffer } from 'node:buffer'
import type { RdbFamily } from '../rdb/numbers.js'
import { STRING_SHAPES, type RdbLane, type StringBatch } from '../rdb/lane/lane.js'
import {
  DEPTH,
  KIND,
  KIND_NAMES,
  typeNameOf,
  type Depth,
  type KeyHeader,
  type NoticeCode,
  type LostRegion,
  type RdbStart,
  type RdbVisitor,
  type Slice,
  type ValueStats,
} from '../rdb/visitor.js'
import {
  SUMS,
  type AnalysisOptions,
  type AnalysisState,
  type AnalyzedKey,
  type AnalyzedStrings,
} from './analysis-options.js'
import { ENCODING, ENCODING_NAMES, MemoryEncoding, type Encoding } from './encoding.js'
import { MemoryModel } from './memory-model.js'
import { PrefixTree } from './prefix-tree.js'
import { StringCosts } from './string-costs.js'
import { keyFacts, TopKeys, type KeyFacts } from './top-keys.js'
import {
  Sums,
  TtlHistogram,
  type DatabaseRow,
  type Row,
  type TtlRow,
  type TypeRow,
} from './totals.js'

export type { AnalysisState, AnalyzedKey, AnalyzedStrings } from './analysis-options.js'

/** Unknown AUX fields are kept too, but a hostile file may have millions. */
const MAX_AUX_FIELDS = 1000
const MAX_AUX_BYTES = 4096
/** The last moment that a Date can hold. */
const MAX_UNIX_SECONDS = 8.64e12

class CurrentKey implements AnalyzedKey {
  header!: KeyHeader
  stats!: ValueStats
  type = ''
  encoding = ''
  memory = 0
}

class CurrentStrings implements AnalyzedStrings {
  rows!: StringBatch
  encodings = new Uint8Array(0)
  memory = new Float64Array(0)
  /** Sums of one call, by `ENCODING`: a string has one of the first three. */
  readonly encodingKeys = new Float64Array(3)
  readonly encodingMemory = new Float64Array(3)
}

export class KeyAnalysis implements RdbVisitor {
  readonly lane: RdbLane

  keys = 0
  expires = 0
  memory = 0
  /** What INFO would call used_memory_dataset. */
  dataset = 0
  functions = 0
  /** Keys that were read and that the filter left out. */
  filteredOut = 0
  family: RdbFamily = 'redis'
  rdbVersion = 0
  /** AUX fields as text; of those that repeat the last. */
  readonly auxFields = new Map<string, string>()
  readonly prefixes: PrefixTree | undefined
  readonly top: TopKeys

  readonly #options: AnalysisOptions
  readonly #ttl: TtlHistogram
  readonly #kindSums = new Sums()
  readonly #encodingSums = new Sums()
  readonly #moduleRows = new Map<string, number>()
  readonly #databaseRows = new Map<number, DatabaseRow>()
  #database: DatabaseRow = { keys: 0, expires: 0, memory: 0 }
  #databaseNumber = -1
  readonly #encoding = new MemoryEncoding()
  #model: MemoryModel | undefined
  #counted = true
  readonly #current = new CurrentKey()
  readonly #strings = new CurrentStrings()
  #stringCosts: StringCosts | undefined

  constructor(options: AnalysisOptions) {
    this.#options = options
    this.#ttl = new TtlHistogram(options.nowMs)
    this.top = new TopKeys(options.top)
    this.prefixes = options.prefixes === undefined ? undefined : new PrefixTree(options.prefixes)
    const asksEach = options.wantsKey !== undefined || options.wantsMemory !== undefined
    const tellsEach = options.onKey !== undefined && options.onStrings === undefined
    this.lane = {
      // Only where each key need not be asked about or told by itself.
      strings: asksEach || tellsEach ? undefined : (batch) => this.#addStrings(batch),
      separatorByte: options.prefixes?.separator?.[0],
      weights: {
        ofKind: (kind) => this.memoryModel.plainWeights(kind),
        add: (strings, weight) => this.#model!.plainRun(strings, weight),
      },
    }
  }

  start(start: RdbStart): void {
    this.#encoding.start(start)
    this.family = start.family
    this.rdbVersion = start.version
  }

  aux(name: Slice, value: Slice): void {
    this.#encoding.aux(name, value)
    if (this.auxFields.size < MAX_AUX_FIELDS) this.auxFields.set(auxText(name), auxText(value))
  }

  functionLibrary(): void {
    this.functions += 1
  }

  functionPreGa(): void {
    this.functions += 1
  }

  key(header: KeyHeader): Depth {
    this.memoryModel.begin(header)
    const current = this.#current
    current.type = typeNameOf(header)
    this.#counted = this.#options.wantsKey?.(header, current.type) ?? true
    return DEPTH.SKIP
  }

  packed(blobBytes: number): void {
    this.#model!.packed(blobBytes)
  }

  plain(lengthBytes: number): void {
    this.#model!.plain(lengthBytes)
  }

  keyEnd(header: KeyHeader, stats: ValueStats): void {
    if (!this.#counted) {
      this.filteredOut += 1
      return
    }
    const model = this.#model!
    const encoding = this.#encoding.of(header, stats)
    // Whole bytes: so sums are those of the rows that are told, by whatever they are grouped.
    const memory = Math.round(model.bytes(header, stats, encoding))
    if (this.#options.wantsMemory?.(memory) === false) {
      this.filteredOut += 1
      return
    }
    this.#count(header, stats, encoding, memory)
    if (this.#options.onKey !== undefined) {
      const current = this.#current
      current.header = header
      current.stats = stats
      current.encoding = ENCODING_NAMES[encoding]!
      current.memory = memory
      this.#options.onKey(current)
    }
  }

  notice(code: NoticeCode, message: string, byteOffset: number): void {
    this.#options.onNotice?.(code, message, byteOffset)
  }

  lost(region: LostRegion): void {
    this.#options.onLost?.(region)
  }

  /** When the dump was made, unix ms; undefined where it does not say, or not before its keys. */
  get madeMs(): number | undefined {
    const madeSeconds = Number(this.auxFields.get('ctime'))
    return madeSeconds > 0 && madeSeconds < MAX_UNIX_SECONDS ? madeSeconds * 1000 : undefined
  }

  /** For the server that wrote the file, as its AUX fields say. */
  get memoryModel(): MemoryModel {
    this.#model ??= new MemoryModel(this.#encoding.writer)
    return this.#model
  }

  /** Bytes of the databases' own tables: what the servers call overhead. */
  get tableBytes(): number {
    let bytes = 0
    for (const row of this.#databaseRows.values()) {
      bytes += this.memoryModel.tableBytes(row.keys, row.expires)
    }
    return bytes
  }

  /** Types with keys, those with most memory first. */
  types(): [string, TypeRow][] {
    const rows = [
      ...KIND_NAMES.map((name, kind): [string, number] => [name, kind]),
      ...this.#moduleRows,
    ]
    return byMemory(rows.map(([name, row]): [string, TypeRow] => [name, this.#kindSums.row(row)]))
  }

  encodings(): [string, Row][] {
    return byMemory(
      ENCODING_NAMES.map((name, index): [string, Row] => [name, this.#encodingSums.row(index)]),
    )
  }

  /** By number. */
  databases(): [number, DatabaseRow][] {
    return [...this.#databaseRows].sort(([a], [b]) => a - b)
  }

  ttlRows(): TtlRow[] {
    return this.#ttl.rows()
  }

  /** All that was counted, for `addState` of another one; can be sent to another thread. */
  state(): AnalysisState {
    const { keys, expires, memory, dataset, functions, filteredOut } = this
    return {
      ...{ keys, expires, memory, dataset, functions, filteredOut },
      kinds: this.#kindSums.state(),
      encodings: this.#encodingSums.state(),
      modules: [...this.#moduleRows],
      databases: [...this.#databaseRows],
      ttl: this.#ttl.state(),
      top: this.top.state(),
      prefixes: this.prefixes?.state(),
    }
  }

  /** Of other keys of the same dump. */
  addState(state: AnalysisState): void {
    for (const name of SUMS) this[name] += state[name]
    const rows = new Map(state.modules.map(([name, row]) => [row, this.#moduleRow(name)]))
    this.#kindSums.addState(state.kinds, (row) => rows.get(row) ?? row)
    this.#encodingSums.addState(state.encodings)
    for (const [dbnum, { keys, expires, memory }] of state.databases) {
      this.#selectDatabase(dbnum)
      this.#database.keys += keys
      this.#database.expires += expires
      this.#database.memory += memory
    }
    this.#ttl.addState(state.ttl)
    this.top.addState(state.top)
    if (state.prefixes !== undefined) this.prefixes?.addState(state.prefixes)
  }

  #count(header: KeyHeader, stats: ValueStats, encoding: Encoding, memory: number): void {
    const { prefixes, top } = this
    const current = this.#current
    this.keys += 1
    this.memory += memory
    this.dataset += memory + this.#model!.datasetDelta(header, stats, encoding)
    if (header.dbnum !== this.#databaseNumber) this.#selectDatabase(header.dbnum)
    const database = this.#database
    database.keys += 1
    database.memory += memory
    if (header.hasExpiry) {
      this.expires += 1
      database.expires += 1
    }
    const row = header.kind === KIND.MODULE ? this.#moduleRow(current.type) : header.kind
    this.#kindSums.add(row, stats.elements, memory)
    this.#encodingSums.add(encoding, stats.elements, memory)
    this.#ttl.add(header.hasExpiry, header.expireAtMs, memory)
    if (memory > this.#kindSums.largestMemory[row]! || top.wants(memory)) {
      const facts = this.#facts(header, stats, encoding, memory)
      const { index } = header
      if (memory > this.#kindSums.largestMemory[row]!) {
        this.#kindSums.setLargest(row, memory, facts, index)
      }
      if (top.wants(memory)) top.add(facts, memory, index)
    }
    if (prefixes !== undefined) {
      prefixes.add(header.key.bytes, header.key.start, header.key.end, memory)
    }
  }

  /** What `key` and `keyEnd` do, for a row of strings. */
  #addStrings(rows: StringBatch): void {
    const { prefixes } = this
    const ttl = this.#ttl
    const kindSums = this.#kindSums
    const encodingSums = this.#encodingSums
    const strings = this.#strings
    const model = this.memoryModel
    const costs = (this.#stringCosts ??= new StringCosts(this.#encoding, model))
    const { count } = rows
    if (strings.memory.length < count) {
      strings.memory = new Float64Array(count)
      strings.encodings = new Uint8Array(count)
    }
    const { encodings, memory } = strings
    const { encodingKeys, encodingMemory } = strings
    encodingKeys.fill(0)
    encodingMemory.fill(0)
    let keepAbove = this.#keepAbove
    let expires = 0
    let sum = 0
    let expiring = 0
    const { memories, encodings: encodingOf } = costs
    for (let row = 0; row < count; row += 1) {
      const shape = rows.shape(row)
      let keyMemory = 0
      let encoding: Encoding = ENCODING.INT
      // A look beyond the table's end would cost far more than the question.
      if (shape < STRING_SHAPES) {
        keyMemory = memories[shape]!
        encoding = encodingOf[shape]! as Encoding
      }
      if (keyMemory === 0) {
        encoding = costs.of(rows, row)
        keyMemory = costs.memory
      }
      encodings[row] = encoding
      memory[row] = keyMemory
      sum += keyMemory
      encodingKeys[encoding]! += 1
      encodingMemory[encoding]! += keyMemory
      if (rows.hasExpiry(row)) {
        expires += 1
        expiring += keyMemory
        ttl.add(true, rows.expireAtMs(row), keyMemory)
      }
      if (keyMemory > keepAbove) {
        this.#keepString(rows, row, encoding, keyMemory)
        keepAbove = this.#keepAbove
      }
    }
    prefixes?.addRows(rows, memory)
    for (const [encoding, keys] of encodingKeys.entries()) {
      encodingSums.addMany(encoding, keys, keys, encodingMemory[encoding]!)
    }
    ttl.addLasting(count - expires, sum - expiring)
    kindSums.addMany(KIND.STRING, count, count, sum)
    this.keys += count
    this.expires += expires
    this.memory += sum
    this.dataset +=
      sum + (count - expires) * model.stringDelta(false) + expires * model.stringDelta(true)
    if (rows.dbnum !== this.#databaseNumber) this.#selectDatabase(rows.dbnum)
    this.#database.keys += count
    this.#database.expires += expires
    this.#database.memory += sum
    if (this.#options.onStrings !== undefined) {
      strings.rows = rows
      this.#options.onStrings(strings)
    }
  }

  /** A string with more memory is the largest, or one of the `top`. */
  get #keepAbove(): number {
    return Math.min(this.#kindSums.largestMemory[KIND.STRING]!, this.top.threshold)
  }

  #keepString(rows: StringBatch, row: number, encoding: Encoding, memory: number): void {
    const facts: KeyFacts = {
      dbnum: rows.dbnum,
      key: Buffer.from(rows.bytes.subarray(rows.keyStart(row), rows.keyEnd(row))),
      type: KIND_NAMES[KIND.STRING]!,
      encoding: ENCODING_NAMES[encoding]!,
      memory,
      elements: 1,
      expireAtMs: rows.expireAtMs(row),
    }
    const { top } = this
    const kindSums = this.#kindSums
    const index = rows.firstIndex + row
    if (memory > kindSums.largestMemory[KIND.STRING]!) {
      kindSums.setLargest(KIND.STRING, memory, facts, index)
    }
    if (top.wants(memory)) top.add(facts, memory, index)
  }

  #facts(header: KeyHeader, stats: ValueStats, encoding: Encoding, memory: number): KeyFacts {
    const { type } = this.#current
    return keyFacts(header, stats, type, ENCODING_NAMES[encoding]!, memory)
  }

  #selectDatabase(dbnum: number): void {
    let row = this.#databaseRows.get(dbnum)
    if (row === undefined) {
      row = { keys: 0, expires: 0, memory: 0 }
      this.#databaseRows.set(dbnum, row)
    }
    this.#database = row
    this.#databaseNumber = dbnum
  }

  /** Modules have the rows behind those of the kinds, as they come. */
  #moduleRow(name: string): number {
    let row = this.#moduleRows.get(name)
    if (row === undefined) {
      row = KIND_NAMES.length + this.#moduleRows.size
      this.#moduleRows.set(name, row)
    }
    return row
  }
}

function byMemory<R extends Row>(rows: [string, R][]): [string, R][] {
  return rows.filter(([, row]) => row.keys > 0).sort(([, a], [, b]) => b.memory - a.memory)
}

/** Text of an AUX field; cut where it is longer than any server writes. */
function auxText(slice: Slice): string {
  const end = Math.min(slice.end, slice.start + MAX_AUX_BYTES)
  return slice.bytes.toString('utf8', slice.start, end)
}
