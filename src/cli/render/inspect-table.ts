/**
 * Tables of the inspect summary: with rules and colours in a terminal, plain aligned columns in a
 * pipe. Figures are aligned to the right, bars show shares.
 */
import type { Talk } from '../talk.js'
import type { ChalkInstance } from 'chalk'
import { createTable, stringWidth } from './table.js'

export interface Column {
  title: string
  align?: 'left' | 'right'
  /** Left out where the terminal is too narrow for all: the lowest first. */
  spare?: number
}

export interface TableLook {
  /** True for a terminal. */
  rich: boolean
  chalk: ChalkInstance
  /** What a line may take; undefined: as much as it likes. */
  columns?: number | undefined
}

const BAR_CELLS = 12
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** A bar of eighths of a character; `share` is 0…1. */
export function bar(share: number): string {
  const eighths = Math.max(share > 0 ? 1 : 0, Math.round(share * BAR_CELLS * 8))
  const whole = Math.min(BAR_CELLS, eighths >> 3)
  const rest = whole === BAR_CELLS ? '' : EIGHTHS[eighths & 7]!
  return ('█'.repeat(whole) + rest).padEnd(BAR_CELLS)
}

/** Of a table on stdout. */
export function lookOf(talk: Pick<Talk, 'richOut' | 'out' | 'columns'>): TableLook {
  return { rich: talk.richOut, chalk: talk.out, columns: talk.columns }
}

/** Lines without the last line break. */
export function renderTable(
  all: readonly Column[],
  allRows: readonly (readonly string[])[],
  { rich, chalk, columns: room }: TableLook,
): string {
  if (!rich) return plainTable(all, allRows)
  const kept = columnsThatFit(all, allRows, room ?? Infinity)
  const columns = kept.map((index) => all[index]!)
  const rows = allRows.map((row) => kept.map((index) => row[index] ?? ''))
  const table = createTable({
    head: columns.map((column) => chalk.bold(column.title)),
    colAligns: columns.map((column) => column.align ?? 'left'),
    style: { head: [], border: [], 'padding-left': 1, 'padding-right': 1 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: ' ',
      // A blank here would be a rule: an empty line below each row.
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '',
    },
  })
  for (const row of rows) table.push(row)
  const lines = table.toString().split('\n')
  const width = lines.reduce((widest, line) => Math.max(widest, visibleLength(line)), 0)
  lines.splice(1, 0, chalk.dim(`  ${'─'.repeat(Math.max(0, width - 2))}`))
  return lines.map((line) => line.trimEnd()).join('\n')
}

function plainTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = widthsOf(columns, rows)
  return [columns.map((column) => column.title), ...rows]
    .map((row) =>
      row
        .map((cell, index) => {
          const gap = ' '.repeat(widths[index]! - visibleLength(cell))
          return columns[index]!.align === 'right' ? gap + cell : cell + gap
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Which columns are shown, by their indices. */
function columnsThatFit(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  room: number,
): number[] {
  const widths = widthsOf(columns, rows)
  let kept = columns.map((_, index) => index)
  // Each has a blank before and behind it; the whole begins with one.
  const isTooWide = (): boolean => kept.reduce((sum, index) => sum + widths[index]! + 2, 1) > room
  while (isTooWide()) {
    const spare = kept.filter((index) => columns[index]!.spare !== undefined)
    if (spare.length === 0) break
    const least = spare.reduce((left, right) =>
      columns[right]!.spare! < columns[left]!.spare! ? right : left,
    )
    kept = kept.filter((index) => index !== least)
  }
  return kept
}

function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[]): number[] {
  return columns.map(({ title }, index) =>
    rows.reduce(
      (width, row) => Math.max(width, visibleLength(row[index] ?? '')),
      visibleLength(title),
    ),
  )
}

/** Cells of a terminal, without escape sequences. */
function visibleLength(text: string): number {
  return PLAIN.test(text) ? text.length : stringWidth(text)
}

const PLAIN = /^[ -~]*$/
