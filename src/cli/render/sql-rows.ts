/** Rows of an answer in SQL: a table for people, CSV, or an object a line. */
import { csvField } from '../../formats/csv.js'
import type { SqlColumn, SqlValue } from '../../verbs/sql/options.js'
import { jsonLine, safeLine } from '../guard.js'
import { renderTable, type TableLook } from './inspect-table.js'

const MAX_CELL_CHARS = 200
const NUMBER = /INT|DECIMAL|DOUBLE|FLOAT/

export function csvHead(columns: readonly SqlColumn[]): string {
  return `${columns.map(({ name }) => csvField(name)).join(',')}\n`
}

/** NULL is nothing, an empty text is `""`. */
export function csvRow(columns: readonly SqlColumn[], row: readonly SqlValue[]): string {
  const fields = row.map((value, index) => {
    if (value === null) return ''
    return csvField(textOf(value), columns[index]!.type === 'VARCHAR')
  })
  return `${fields.join(',')}\n`
}

export function jsonRow(columns: readonly SqlColumn[], row: readonly SqlValue[]): string {
  const object: Record<string, unknown> = {}
  for (const [index, { name }] of columns.entries()) object[name] = jsonValue(row[index]!)
  return jsonLine(object)
}

/** What EXPLAIN gives is a drawing, wherever it goes. */
export function drawingOf(
  columns: readonly SqlColumn[],
  rows: readonly (readonly SqlValue[])[],
): string | undefined {
  if (!columns.some(({ name }) => name === 'explain_value')) return undefined
  return rows.map((row) => `${textOf(row.at(-1)!).trimEnd()}\n`).join('')
}

/** With a line break at its end. */
export function sqlTable(
  columns: readonly SqlColumn[],
  rows: readonly (readonly SqlValue[])[],
  look: TableLook,
): string {
  const heads = columns.map(({ name, type }) => ({
    title: safeLine(name),
    align: NUMBER.test(type) && !type.includes('[') ? ('right' as const) : ('left' as const),
  }))
  const cells = rows.map((row) => row.map((value) => cellOf(value, look)))
  return `${renderTable(heads, cells, look)}\n`
}

function cellOf(value: SqlValue, { chalk }: TableLook): string {
  if (value === null) return chalk.dim('NULL')
  const text = safeLine(textOf(value))
  if (text.length <= MAX_CELL_CHARS) return text
  return `${Array.from(text)
    .slice(0, MAX_CELL_CHARS - 1)
    .join('')}…`
}

function textOf(value: SqlValue): string {
  if (typeof value !== 'object') return String(value)
  return value === null ? '' : JSON.stringify(jsonValue(value))
}

/** JSON has no numbers beyond doubles: larger integers are text, NaN and infinity null. */
function jsonValue(value: SqlValue): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(jsonValue)
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, jsonValue(each)]))
}
