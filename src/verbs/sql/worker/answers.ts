/**
 * Rows of DuckDB as values of JavaScript that can be sent and shown. Texts and numbers are read as they
 * lie there; for all else the package `@duckdb/node-api` is loaded, which takes longer than many a query.
 */
import type * as duckdbModule from '@duckdb/node-api'
import type { DuckDBValue } from '@duckdb/node-api'
import type { SqlColumn, SqlValue } from '../protocol.js'
import {
  textsOf,
  Validity,
  type Bindings,
  type Chunk,
  type Database,
  type Result,
  type Vector,
} from './database.js'

type Api = typeof duckdbModule

/** Of types that are numbers as they lie there. */
const NUMBERS = {
  BOOLEAN: Uint8Array,
  TINYINT: Int8Array,
  UTINYINT: Uint8Array,
  SMALLINT: Int16Array,
  USMALLINT: Uint16Array,
  INTEGER: Int32Array,
  UINTEGER: Uint32Array,
  BIGINT: BigInt64Array,
  UBIGINT: BigUint64Array,
  HUGEINT: BigInt64Array,
  FLOAT: Float32Array,
  DOUBLE: Float64Array,
  TIMESTAMP_TZ: BigInt64Array,
} as const

/** What stands for infinity in either direction. */
const FOREVER_MICROS = 2n ** 63n - 1n
/** The last moment that a Date can hold. */
const MAX_UNIX_MS = 8.64e15

type PlainType = keyof typeof NUMBERS | 'VARCHAR'

export class Answers {
  readonly columns: readonly SqlColumn[]
  readonly #db: Bindings
  /** Undefined: one of them needs more. */
  readonly #plain: readonly PlainType[] | undefined
  readonly #loadApi: () => Api
  #api: Api | undefined

  constructor({ db }: Database, result: Result, loadApi: () => Api) {
    this.#db = db
    this.#loadApi = loadApi
    const indexes = Array.from({ length: db.column_count(result) }, (_, index) => index)
    const types = indexes.map((index) => plainTypeOf(db, db.column_type(result, index)))
    this.#plain = types.every((type) => type !== undefined) ? types : undefined
    this.columns = distinct(indexes.map((index) => db.column_name(result, index))).map(
      (name, index) => ({ name, type: nameOf(types[index]) ?? this.#typeName(result, index) }),
    )
  }

  rowsOf(chunk: Chunk): SqlValue[][] {
    const count = this.#db.data_chunk_get_size(chunk)
    const plain = this.#plain
    if (plain === undefined) {
      this.#api ??= this.#loadApi()
      const { DuckDBDataChunk } = this.#api
      const rows = new DuckDBDataChunk(chunk).getRows()
      return rows.map((row) => row.map((value) => this.#valueOf(value)))
    }
    const columns = plain.map((type, index) =>
      this.#valuesOf(type, this.#db.data_chunk_get_vector(chunk, index), count),
    )
    return Array.from({ length: count }, (_, row) => columns.map((column) => column[row]!))
  }

  #valuesOf(type: PlainType, vector: Vector, count: number): SqlValue[] {
    if (type === 'VARCHAR') return textsOf(this.#db, vector, count)
    const words = type === 'HUGEINT' ? 2 : 1
    const Kind = NUMBERS[type]
    const { buffer, byteOffset } = this.#db.vector_get_data(
      vector,
      count * words * Kind.BYTES_PER_ELEMENT,
    )
    const numbers = new Kind(buffer as ArrayBuffer, byteOffset, count * words)
    const validity = new Validity(this.#db, vector, count)
    return Array.from({ length: count }, (_, row) => {
      if (!validity.has(row)) return null
      const number = numbers[words * row]!
      if (type === 'BOOLEAN') return number !== 0
      if (type === 'TIMESTAMP_TZ') return timeText(number as bigint)
      if (type !== 'HUGEINT') return number
      return ((numbers[2 * row + 1] as bigint) << 64n) | BigInt.asUintN(64, number as bigint)
    })
  }

  #typeName(result: Result, index: number): string {
    this.#api ??= this.#loadApi()
    const type = this.#db.column_logical_type(result, index)
    return this.#api.DuckDBLogicalType.create(type).asType().toString()
  }

  #valueOf(value: DuckDBValue): SqlValue {
    if (typeof value !== 'object' || value === null) return value
    const api = this.#api!
    if (value instanceof api.DuckDBListValue || value instanceof api.DuckDBArrayValue) {
      return value.items.map((each) => this.#valueOf(each))
    }
    if (value instanceof api.DuckDBStructValue) {
      return Object.fromEntries(
        Object.entries(value.entries).map(([name, each]) => [name, this.#valueOf(each)]),
      )
    }
    if (value instanceof api.DuckDBMapValue) {
      return value.entries.map(({ key, value: of }) => ({
        key: this.#valueOf(key),
        value: this.#valueOf(of),
      }))
    }
    if (value instanceof api.DuckDBDecimalValue) return Number(value.toString())
    if (value instanceof api.DuckDBTimestampTZValue) return timeText(value.micros)
    return value.toString()
  }
}

function plainTypeOf(
  { Type }: Bindings,
  type: Bindings['Type'][keyof Bindings['Type']],
): PlainType | undefined {
  const names = ['VARCHAR', ...Object.keys(NUMBERS)] as PlainType[]
  return names.find((name) => Type[name] === type)
}

/** As rrep writes times: 2030-01-01T00:00:00.123Z, with microseconds where there are some. */
function timeText(micros: bigint): string {
  const ms = Number(micros / 1000n)
  if (micros === FOREVER_MICROS || micros === -FOREVER_MICROS) {
    return micros > 0n ? 'infinity' : '-infinity'
  }
  if (Math.abs(ms) > MAX_UNIX_MS || (micros < 0n && micros % 1000n !== 0n)) return String(micros)
  const text = new Date(ms).toISOString()
  const rest = Number(micros % 1000n)
  return rest === 0 ? text : `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`
}

function nameOf(type: PlainType | undefined): string | undefined {
  return type === 'TIMESTAMP_TZ' ? 'TIMESTAMP WITH TIME ZONE' : type
}

/** Objects have each name once. */
function distinct(names: readonly string[]): string[] {
  const counts = new Map<string, number>()
  return names.map((name) => {
    const count = counts.get(name) ?? 0
    counts.set(name, count + 1)
    return count === 0 ? name : `${name}:${count}`
  })
}
