/**
 * The forms in which keys can be written: ONE table.
 *
 * To add one: (1) its file here, with a `KeyFormat`; (2) a row and its name below; (3) a line of README and of
 * the help of `export`. Names, extensions, refusals and tests of all rows follow from the table.
 */
import { CSV } from './csv.js'
import { JSON_ARRAY, JSON_LINES } from './json-format.js'
import type { KeyFormat } from './key-format.js'
import { PARQUET } from './parquet/parquet-format.js'
import { RDB } from './rdb/rdb-format.js'
import { RESP } from './resp-format.js'

export const KEY_FORMATS = {
  jsonl: JSON_LINES,
  json: JSON_ARRAY,
  resp: RESP,
  csv: CSV,
  rdb: RDB,
  parquet: PARQUET,
} as const satisfies Record<KeyFormatName, KeyFormat>

export type KeyFormatName = 'jsonl' | 'json' | 'resp' | 'csv' | 'rdb' | 'parquet'

export const KEY_FORMAT_NAMES = Object.keys(KEY_FORMATS) as readonly KeyFormatName[]

/**
 * The format that a file's name asks for (without `.gz` and the like): undefined where it has no
 * extension, `unknown` where no format has that.
 */
export function formatOfName(name: string): KeyFormatName | 'unknown' | undefined {
  const extension = /[^/\\]\.([^./\\]+)$/.exec(name)?.[1]?.toLowerCase()
  if (extension === undefined) return undefined
  const found = KEY_FORMAT_NAMES.find((each) => KEY_FORMATS[each].extensions.includes(extension))
  return found ?? 'unknown'
}
