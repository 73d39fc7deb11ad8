/** The columns of `--csv` as Parquet has them, and blocks of keys as what its writer takes. */
import type { Buffer } from 'node:buffer'
import type { ColumnSource, ParquetWriter } from 'hyparquet-writer'
import { ENCODING_NAMES } from '../../analyze/encoding.js'
import type { KeyBlock } from '../columns/key-columns.js'

type Schema = ConstructorParameters<typeof ParquetWriter>[0]['schema']

/** The last moment that a Date can hold; microseconds hold it too. */
const MAX_UNIX_MS = 8.64e15
/** Numbers that come again and again. */
const KNOWN_NUMBERS = 4096

/** What DuckDB makes of the table `keys`, which may write it in our place. */
export const SCHEMA: Schema = [
  { name: 'keys', num_children: 8 },
  { name: 'database', type: 'INT32', converted_type: 'INT_32', repetition_type: 'OPTIONAL' },
  { name: 'type', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
  { name: 'key', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
  { name: 'size_in_bytes', type: 'INT64', converted_type: 'INT_64', repetition_type: 'OPTIONAL' },
  { name: 'encoding', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
  { name: 'num_elements', type: 'INT64', converted_type: 'INT_64', repetition_type: 'OPTIONAL' },
  {
    name: 'len_largest_element',
    type: 'INT64',
    converted_type: 'INT_64',
    repetition_type: 'OPTIONAL',
  },
  {
    name: 'expiry',
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
    repetition_type: 'OPTIONAL',
  },
]

/** In the order of the schema. Names and times hardly come twice: no dictionary is tried for them. */
export function columnsOf(block: KeyBlock, types: readonly string[]): ColumnSource[] {
  const { count } = block
  return [
    { name: 'database', data: block.databases.subarray(0, count) },
    { name: 'type', data: texts(block.types, types, count), statistics: false },
    { name: 'key', data: namesOf(block), encoding: 'PLAIN', statistics: false },
    { name: 'size_in_bytes', data: integers(block.memory, count) },
    { name: 'encoding', data: texts(block.encodings, ENCODING_NAMES, count), statistics: false },
    { name: 'num_elements', data: integers(block.elements, count) },
    { name: 'len_largest_element', data: integers(block.largest, count) },
    { name: 'expiry', data: times(block.expiries, count), encoding: 'PLAIN' },
  ]
}

function texts(places: ArrayLike<number>, names: readonly string[], count: number): string[] {
  const column = new Array<string>(count)
  for (let row = 0; row < count; row += 1) column[row] = names[places[row]!]!
  return column
}

function namesOf({ names, nameEnds, count }: KeyBlock): Buffer[] {
  const column = new Array<Buffer>(count)
  let start = 0
  for (let row = 0; row < count; row += 1) {
    const end = nameEnds[row]!
    column[row] = names.subarray(start, end)
    start = end
  }
  return column
}

const known: bigint[] = []

/** Null for what is negative. */
function integers(values: Float64Array, count: number): (bigint | null)[] {
  const column = new Array<bigint | null>(count)
  for (let row = 0; row < count; row += 1) {
    const value = values[row]!
    if (value < 0) column[row] = null
    else if (value < KNOWN_NUMBERS) column[row] = known[value] ??= BigInt(value)
    else column[row] = BigInt(value)
  }
  return column
}

/** Null for none; what no reader could show is the last moment that it can. */
function times(values: Float64Array, count: number): (bigint | null)[] {
  const column = new Array<bigint | null>(count)
  for (let row = 0; row < count; row += 1) {
    const ms = values[row]!
    column[row] = Number.isNaN(ms)
      ? null
      : BigInt(Math.max(-MAX_UNIX_MS, Math.min(MAX_UNIX_MS, ms))) * 1000n
  }
  return column
}
