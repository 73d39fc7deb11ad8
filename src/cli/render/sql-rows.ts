/** Rows of an answer in SQL: a table for people, CSV, or an object a line. */
import { csvField } from '../../formats/csv.js'
import type { SqlColumn, SqlValue } from '../../verbs/sql/options.js'
import { jsonLine, safeLine } from '../guard.js'
import { renderTable, type TableLook } from './inspect-table.js'
import { stringWidth } from './table.js'

const MAX_CELL_CHARS = 200
const LEAST_CELL_CHARS = 12
const NUMBER = /INT|DECIMAL|DOUBLE|FLOAT/
/** Half of a number or of a moment is another one. */
const UNCUT = /INT|DECIMAL|DOUBLE|FLOAT|TIME|DATE|BOOLEAN/

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

/** With a line break at its end. Texts are shortened until a line of the terminal holds a row. */
export function sqlTable(
  columns: readonly SqlColumn[],
  rows: readonly (readonly SqlValue[])[],
  look: TableLook,
): { text: string; isCut: boolean } {
  const heads = columns.map(({ name, type }) => ({
    title: safeLine(name),
    align: NUMBER.test(type) && !type.includes('[') ? ('right' as const) : ('left' as const),
  }))
  const texts = rows.map((row) =>
    row.map((value) => (value === null ? null : safeLine(textOf(value)))),
  )
  const widths = heads.map(({ title }, index) =>
    texts.reduce(
      (most, row) => Math.max(most, stringWidth(row[index] ?? 'NULL')),
      stringWidth(title),
    ),
  )
  const isText = columns.map(({ type }) => !UNCUT.test(type) || type.includes('['))
  const room = widthsThatFit(widths, isText, look.columns ?? Infinity)
  const cells = texts.map((row) =>
    row.map((text, index) => (text === null ? look.chalk.dim('NULL') : cut(text, room[index]!))),
  )
  const isCut = texts.some((row) => row.some((text, at) => stringWidth(text ?? '') > room[at]!))
  return { text: `${renderTable(heads, cells, look)}\n`, isCut }
}

/** The widest text gives first, down to what can still be told apart. */
function widthsThatFit(
  wanted: readonly number[],
  isText: readonly boolean[],
  columns: number,
): readonly number[] {
  const widths = wanted.map((width, at) => (isText[at] ? Math.min(width, MAX_CELL_CHARS) : width))
  // Each has a blank before and behind it; the whole begins with one.
  const excess = (): number => widths.reduce((sum, width) => sum + width + 2, 1) - columns
  while (excess() > 0) {
    let widest = -1
    for (const [at, width] of widths.entries()) {
      const canGive = isText[at] === true && width > LEAST_CELL_CHARS
      if (canGive && width > (widths[widest] ?? 0)) widest = at
    }
    if (widest < 0) break
    widths[widest] = widths[widest]! - 1
  }
  return widths
}

function cut(text: string, width: number): string {
  if (stringWidth(text) <= width) return text
  let kept = ''
  let used = 0
  for (const char of text) {
    used += stringWidth(char)
    if (used > width - 1) break
    kept += char
  }
  return `${kept}…`
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
