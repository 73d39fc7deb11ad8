/** What became of the keys since an older dump. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import {
  changeOf,
  growthLines,
  type GrowthLine,
  type GrownKey,
} from '../../analyze/growth/table.js'
import type { GrowthRow } from '../../analyze/growth/sums.js'
import {
  countOf,
  formatCount,
  formatDuration,
  signedCount,
  signedSize,
} from '../../bytes/figures-text.js'
import { bar } from '../charts.js'
import { html, type Html } from '../html.js'
import type { GrowthInput } from '../input.js'
import { baseName, nameHtml, nameText } from '../names.js'
import { count, partOf, size, table, text, type TableColumn } from '../tables.js'
import { readableTime } from './head.js'

const PREFIX_LINES = 40
const RIGHT = 'right' as const

const COLUMNS: readonly TableColumn[] = [
  { title: 'Keys', align: RIGHT },
  { title: 'Change', align: RIGHT },
  { title: 'Memory', align: RIGHT },
  { title: 'Change', align: RIGHT },
  { title: '' },
  { title: 'New', align: RIGHT },
  { title: 'Gone', align: RIGHT },
  { title: 'Grown', align: RIGHT },
  { title: 'Shrunk', align: RIGHT },
]

export function growthSection({ table: growth, older }: GrowthInput, report: MemoryReport): Html {
  const { total } = growth
  const most = Math.max(
    ...[...growth.prefixes.children, ...growth.types.map(([, row]) => row)].map(changed),
    1,
  )
  const rowOf = (name: Html, row: GrowthRow): Html[] => [
    name,
    count(row.now.keys),
    html`${signedCount(row.now.keys - row.before.keys)}`,
    size(row.now.memory),
    html`${signedSize(changeOf(row))}`,
    bar(partOf(changed(row), most), changeOf(row) > 0 ? 'warm' : 'data'),
    size(row.created.memory),
    size(row.gone.memory),
    size(row.grown.memory),
    size(row.shrunk.memory),
  ]
  const lines = growthLines(growth.prefixes, PREFIX_LINES)
  const expired =
    total.expired.keys === 0
      ? ''
      : ` Of those gone, ${formatCount(total.expired.keys)} were past their time.`
  return html`<p class="quiet">
      ${since(older, report)} Every key of both was compared with itself.
    </p>
    <p>
      ${countOf(total.created.keys, 'new key')}, ${formatCount(total.gone.keys)} gone,
      ${formatCount(total.grown.keys)} grown, ${formatCount(total.shrunk.keys)}
      shrunk.${expired}${
        growth.retyped === 0
          ? ''
          : ` ${countOf(growth.retyped, 'key')} changed type: by type gone and new.`
      }
    </p>
    ${table(
      'Change by prefix',
      [{ title: 'Prefix' }, ...COLUMNS],
      lines.map((line) => rowOf(lineName(line), line.row)),
    )}${table(
      'Change by type',
      [{ title: 'Type' }, ...COLUMNS],
      growth.types.map(([type, row]) => rowOf(text(nameText(type ?? 'others')), row)),
    )}${
      growth.databases.length < 2
        ? undefined
        : table(
            'Change by database',
            [{ title: 'DB' }, ...COLUMNS],
            growth.databases.map(([db, row]) => rowOf(text(String(db ?? 'others')), row)),
          )
    }${byTimeLeft(growth)}
    <div class="stacked">
      ${keyTable('Keys that grew most', growth.grown)}${keyTable('Largest new keys', growth.created)}${keyTable('Largest keys that are gone', growth.gone)}${keyTable('Keys that shrank most', growth.shrunk)}
    </div>`
}

function changed(row: GrowthRow): number {
  return Math.abs(changeOf(row))
}

function since(older: GrowthInput['older'], report: MemoryReport): Html {
  const name = html`<bdi class="name">${nameText(baseName(older.file))}</bdi>`
  const damaged = older.complete
    ? undefined
    : html` It is damaged: keys behind the damage are missing.`
  if (older.madeMs === undefined)
    return html`Since ${name}, which does not say when it was made.${damaged}`
  const ms = report.asOfMs - older.madeMs
  const span =
    ms >= 0 ? `${formatDuration(ms)} before this one` : `${formatDuration(-ms)} after this one`
  return html`Since ${name}, made ${readableTime(older.madeMs)}, ${span}.${damaged}`
}

function lineName({ kind, prefix, prefixes, depth }: GrowthLine): Html {
  if (kind === 'no-prefix') return html`<em>no prefix</em>`
  if (kind === 'others') return html`<em>${formatCount(prefixes)} others</em>`
  return html`${'\u2003'.repeat(depth)}${nameHtml(prefix)}`
}

function byTimeLeft({ ttl }: GrowthInput['table']): Html {
  return table(
    'Change by time left',
    [
      { title: 'Time left' },
      { title: 'Keys then', align: RIGHT },
      { title: 'Keys', align: RIGHT },
      { title: 'Memory then', align: RIGHT },
      { title: 'Memory', align: RIGHT },
      { title: 'Change', align: RIGHT },
    ],
    ttl
      .filter(({ before, now }) => before.keys + now.keys > 0)
      .map(({ name, before, now }) => [
        text(name === 'none' ? 'no expiry' : name),
        count(before.keys),
        count(now.keys),
        size(before.memory),
        size(now.memory),
        html`${signedSize(now.memory - before.memory)}`,
      ]),
  )
}

function keyTable(caption: string, keys: readonly GrownKey[]): Html | undefined {
  if (keys.length === 0) return undefined
  return table(
    caption,
    [
      { title: 'Key' },
      { title: 'Change', align: RIGHT },
      { title: 'Then', align: RIGHT },
      { title: 'Now', align: RIGHT },
      { title: 'Type' },
      { title: 'DB', align: RIGHT },
    ],
    keys.map(({ key, before, now, type, db }) => [
      nameHtml(key),
      html`${signedSize(now - before)}`,
      size(before),
      size(now),
      text(nameText(type)),
      text(String(db)),
    ]),
  )
}
