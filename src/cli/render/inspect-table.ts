/**
 * Tables of the inspect summary: with rules and colours in a terminal, plain aligned columns in a
 * pipe. Figures are aligned to the right, bars show shares.
 */
import type { ChalkInstance } from 'chalk'
import { createTable } from './table.js'

export interface Column {
  title: string
  align?: 'left' | 'right'
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

/** 0.123 → `12.3%`; what is there but rounds to nothing is `<0.1%`. */
export function percent(share: number): string {
  if (share > 0 && share < 0.0005) return '<0.1%'
  return `${(share * 100).toFixed(1)}%`
}

/** Lines without the last line break. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  rich: boolean,
  chalk: ChalkInstance,
): string {
  if (!rich) return plainTable(columns, rows)
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
  for (const row of rows) table.push([...row])
  const lines = table.toString().split('\n')
  const width = lines.reduce((widest, line) => Math.max(widest, visibleLength(line)), 0)
  lines.splice(1, 0, chalk.dim(`  ${'─'.repeat(Math.max(0, width - 2))}`))
  return lines.map((line) => line.trimEnd()).join('\n')
}

function plainTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const all = [columns.map((column) => column.title), ...rows]
  const widths = columns.map((_, index) =>
    all.reduce((width, row) => Math.max(width, visibleLength(row[index] ?? '')), 0),
  )
  return all
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

/** Two cells wide: CJK, kana, hangul, full-width forms, pictures. No cell: marks over a letter. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}]/gu
const MARKS = /\p{M}/gu

/** Cells of a terminal, without escape sequences. */
function visibleLength(text: string): number {
  const bare = text
    .replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '')
    .replaceAll(MARKS, '')
  return Array.from(bare).length + (bare.match(WIDE)?.length ?? 0)
}
