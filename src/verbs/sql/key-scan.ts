/** The keys of a source, as the table `keys`: read anew for each scan of a query. */
import { ENCODING_NAMES } from '../../analyze/encoding.js'
import { KeyAnalysis } from '../../analyze/key-analysis.js'
import { KeyBlock, KeyColumns, type KeyColumn } from '../../formats/columns/key-columns.js'
import { KIND } from '../../rdb/visitor.js'
import { dbOfSource, type Source } from '../../source/classify.js'
import { compileKeyFilter, withAddressDb } from '../../source/key-filter.js'
import { filterHooks } from '../inspect/filter-hooks.js'
import { openForReading, readKeys } from '../inspect/run.js'
import type { OpenKeys } from '../keys/open.js'
import type { Feed } from './feed.js'
import type { SqlOptions, SqlRead } from './options.js'
import { TABLES, type Column } from './protocol.js'

/** Many of what DuckDB takes at once. */
const ROWS_OF_BLOCK = 8 * 2048

const placeOf = (name: string): number => TABLES.keys.findIndex((each) => each.name === name)
const PLACES: Readonly<Record<KeyColumn, number>> = {
  databases: placeOf('database'),
  types: placeOf('type'),
  names: placeOf('key'),
  memory: placeOf('size_in_bytes'),
  encodings: placeOf('encoding'),
  elements: placeOf('num_elements'),
  largest: placeOf('len_largest_element'),
  expiries: placeOf('expiry'),
}

/** The keys of one source, opened when they are asked for first. */
export class KeySource {
  readonly #source: Source
  readonly #options: SqlOptions
  #opened: Promise<OpenKeys> | undefined
  #isRead = false

  constructor(source: Source, options: SqlOptions) {
    this.#source = source
    this.#options = options
  }

  /** Sends all rows; `wanted` are the columns that are looked at. */
  async scan(feed: Feed, wanted: readonly number[], signal: AbortSignal): Promise<SqlRead> {
    this.#opened ??= openForReading(this.#source, { ...this.#options, isReadTwice: true })
    const keys = await this.#opened
    const isFirst = !this.#isRead
    this.#isRead = true
    const rdb = isFirst ? keys.rdb : await keys.again()
    try {
      // They are used again and again.
      const spare: KeyBlock[] = []
      const newBlock = (): KeyBlock => spare.pop() ?? new KeyBlock(ROWS_OF_BLOCK, true)
      const columns = new KeyColumns(ROWS_OF_BLOCK, {
        wants: (column) => wanted.includes(PLACES[column]),
        newBlock,
        onFull: (block) => {
          const sent = columnsOf(block, columns.types, wanted)
          feed.send(block.count, sent, () => spare.push(block))
          return newBlock()
        },
      })
      const modules: Record<string, number> = {}
      const visitor = this.#visitor(columns, modules)
      const outcome = await readKeys(keys, rdb, visitor, {
        salvage: this.#options.salvage,
        walkElements: wanted.includes(PLACES.largest) || wanted.includes(PLACES.memory),
        signal,
        drain: () => feed.drain(),
        onProgress: this.#options.onProgress,
      })
      columns.flush()
      return { ...outcome, functions: visitor.functions, modules }
    } finally {
      if (!isFirst) rdb.close()
    }
  }

  async close(): Promise<void> {
    try {
      ;(await this.#opened)?.close()
    } catch {
      // It was told where it was opened.
    }
  }

  #visitor(columns: KeyColumns, modules: Record<string, number>): KeyAnalysis {
    const { filter } = this.#options
    const chosen = withAddressDb(filter, dbOfSource(this.#source))
    const nowMs = Date.now()
    return new KeyAnalysis({
      nowMs,
      top: 0,
      ...filterHooks(compileKeyFilter(chosen), chosen, nowMs),
      onKey: (key) => {
        const { kind, moduleName } = key.header
        if (kind === KIND.MODULE) modules[moduleName] = (modules[moduleName] ?? 0) + 1
        columns.add(key)
      },
      onStrings: columns.addStrings,
    })
  }
}

function columnsOf(
  block: KeyBlock,
  types: readonly string[],
  wanted: readonly number[],
): (Column | undefined)[] {
  const all: readonly Column[] = [
    { kind: 'integer', values: block.databases },
    { kind: 'word', values: block.types, words: types },
    { kind: 'text', bytes: block.names, ends: block.nameEnds },
    { kind: 'bigint', values: block.memory },
    { kind: 'word', values: block.encodings, words: ENCODING_NAMES },
    { kind: 'bigint', values: block.elements },
    { kind: 'bigint', values: block.largest, isCount: true },
    { kind: 'time', values: block.expiries },
  ]
  return all.map((column, place) => (wanted.includes(place) ? column : undefined))
}
