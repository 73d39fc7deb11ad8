/** What became of the keys between two sources: as text, and as the object of `--json`. */
import { printableText, textOrBase64 } from '../../bytes/key-text.js'
import { percent, signedCount, signedSize } from '../../bytes/figures-text.js'
import {
  changeOf,
  growthLines,
  type GrowthLine,
  type GrowthRow,
  type GrowthTable,
  type GrownKey,
} from '../../verbs/growth/options.js'
import { countOf, formatCount, formatSize } from '../units.js'
import { bar, renderTable, type Column, type TableLook } from './inspect-table.js'

const PREFIX_LINES = 20
/** Of JSON. */
const MOST_LINES = 1000
const PLAIN_NAME_CHARS = 200
const MIN_NAME_CHARS = 16
const TAKEN_BY_FIGURES = 60

/** All its tables, with titles. */
export function renderGrowth(table: GrowthTable, look: TableLook): string {
  const { total } = table
  const sections: [string, string | undefined][] = [
    ['What changed', changes(table, look)],
    ['By prefix', byPrefix(table, look)],
    [
      'By type',
      rows(
        'type',
        named(table.types, (type) => printableText(type)),
        look,
      ),
    ],
    [
      'By database',
      table.databases.length < 2 ? undefined : rows('db', named(table.databases, String), look),
    ],
    ['By time left', total.before.keys + total.now.keys === 0 ? undefined : byTtl(table, look)],
    ['Grown most', keys(table.grown, look)],
    ['Largest new keys', keys(table.created, look)],
    ['Largest keys gone', keys(table.gone, look)],
    ['Shrunk most', keys(table.shrunk, look)],
  ]
  return sections
    .flatMap(([title, text]) =>
      text === undefined ? [] : [`${look.chalk.bold.cyan(title)}\n${text}`],
    )
    .join('\n\n')
}

const right = (title: string, spare?: number): Column => ({
  title,
  align: 'right',
  ...(spare === undefined ? {} : { spare }),
})

function changes({ total, retyped }: GrowthTable, look: TableLook): string {
  const share =
    total.before.memory === 0
      ? ''
      : ` (${changeOf(total) > 0 ? '+' : ''}${percent(changeOf(total) / total.before.memory)})`
  const lines: [string, string, string][] = [
    ['keys before', formatCount(total.before.keys), formatSize(total.before.memory)],
    ['new', signedCount(total.created.keys), signedSize(total.created.memory)],
    ['gone', signedCount(-total.gone.keys), signedSize(-total.gone.memory)],
    ['grown', formatCount(total.grown.keys), signedSize(total.grown.memory)],
    ['shrunk', formatCount(total.shrunk.keys), signedSize(-total.shrunk.memory)],
    ['keys now', formatCount(total.now.keys), `${formatSize(total.now.memory)}${share}`],
  ]
  const table = renderTable([{ title: '' }, right('keys'), right('memory')], lines, look)
  const notes: string[] = []
  if (total.expired.keys > 0) {
    notes.push(
      `of those gone, ${countOf(total.expired.keys, 'key')} had come to the end of their time`,
    )
  }
  if (retyped > 0) notes.push(`${countOf(retyped, 'key')} changed type: by type gone and new`)
  return [table, ...notes.map((note) => (look.rich ? ` ${note}` : note))].join('\n')
}

function byPrefix({ prefixes }: GrowthTable, look: TableLook): string | undefined {
  const lines = growthLines(prefixes, PREFIX_LINES)
  if (lines.length === 0) return undefined
  return rows(
    'prefix',
    lines.map((line): [string, GrowthRow] => [lineName(line, look), line.row]),
    look,
  )
}

function lineName({ kind, prefix, prefixes, depth }: GrowthLine, look: TableLook): string {
  if (kind === 'no-prefix') return '(no prefix)'
  if (kind === 'others') return `(${formatCount(prefixes)} others)`
  return '  '.repeat(depth) + printableText(prefix, nameRoom(look))
}

function named<T>(
  table: readonly (readonly [T | undefined, GrowthRow])[],
  text: (name: T) => string,
): [string, GrowthRow][] {
  return table.map(([name, row]) => [name === undefined ? '(others)' : text(name), row])
}

function rows(title: string, lines: readonly [string, GrowthRow][], look: TableLook): string {
  const most = Math.max(...lines.map(([, row]) => Math.abs(changeOf(row))), 1)
  const columns: Column[] = [
    { title },
    right('keys', 6),
    right('+-', 7),
    right('memory'),
    right('+-'),
    ...(look.rich ? [{ title: '', spare: 1 }] : []),
    right('new', 5),
    right('gone', 4),
    right('grown', 3),
    right('shrunk', 2),
  ]
  return renderTable(
    columns,
    lines.map(([name, row]) => {
      const change = changeOf(row)
      const colour = change > 0 ? look.chalk.yellow : look.chalk.green
      return [
        name,
        formatCount(row.now.keys),
        signedCount(row.now.keys - row.before.keys),
        formatSize(row.now.memory),
        signedSize(change),
        ...(look.rich ? [colour(bar(Math.abs(change) / most))] : []),
        formatSize(row.created.memory),
        formatSize(row.gone.memory),
        formatSize(row.grown.memory),
        formatSize(row.shrunk.memory),
      ]
    }),
    look,
  )
}

function byTtl({ ttl }: GrowthTable, look: TableLook): string {
  return renderTable(
    [
      { title: 'time left' },
      right('keys before'),
      right('now'),
      right('memory before'),
      right('now'),
      right('+-'),
    ],
    ttl
      .filter(({ before, now }) => before.keys + now.keys > 0)
      .map(({ name, before, now }) => [
        name === 'none' ? 'no expiry' : name,
        formatCount(before.keys),
        formatCount(now.keys),
        formatSize(before.memory),
        formatSize(now.memory),
        signedSize(now.memory - before.memory),
      ]),
    look,
  )
}

function keys(list: readonly GrownKey[], look: TableLook): string | undefined {
  if (list.length === 0) return undefined
  return renderTable(
    [
      right('+-'),
      right('before', 2),
      right('now', 3),
      { title: 'type', spare: 1 },
      right('db'),
      { title: 'key' },
    ],
    list.map(({ key, before, now, type, db }) => [
      signedSize(now - before),
      formatSize(before),
      formatSize(now),
      printableText(type),
      String(db),
      key.length === 0 ? '""' : printableText(key, nameRoom(look)),
    ]),
    look,
  )
}

function nameRoom({ rich, columns }: TableLook): number {
  if (!rich || columns === undefined) return PLAIN_NAME_CHARS
  return Math.max(MIN_NAME_CHARS, columns - TAKEN_BY_FIGURES)
}

/** Names and shapes are a contract with scripts. */
export function growthObject(table: GrowthTable): object {
  const list = (all: readonly GrownKey[]): object[] =>
    all.map(({ key, ...rest }) => ({ ...textOrBase64('key', key), ...rest }))
  const others = (name: string | number | undefined): string => String(name ?? '(others)')
  return {
    total: table.total,
    prefixes: growthLines(table.prefixes, MOST_LINES).map(
      ({ kind, prefix, prefixes, depth, merged, row }) => ({
        ...(kind === 'prefix' ? textOrBase64('prefix', prefix) : { prefix: null, kind }),
        depth,
        ...(kind === 'others' ? { prefixes } : {}),
        ...(merged > 0 ? { merged } : {}),
        ...rowObject(row),
      }),
    ),
    types: Object.fromEntries(table.types.map(([name, row]) => [others(name), row])),
    databases: Object.fromEntries(table.databases.map(([name, row]) => [others(name), row])),
    ttl: Object.fromEntries(table.ttl.map(({ name, ...row }) => [name, row])),
    retyped: table.retyped,
    grown: list(table.grown),
    shrunk: list(table.shrunk),
    created: list(table.created),
    gone: list(table.gone),
  }
}

function rowObject({ before, now, created, gone, expired, grown, shrunk }: GrowthRow): GrowthRow {
  return { before, now, created, gone, expired, grown, shrunk }
}
