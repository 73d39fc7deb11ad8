/** The keys with most of something. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import type { AccessRow } from '../../analyze/distributions/access.js'
import type { RankedKey } from '../../analyze/top-keys.js'
import { formatDuration } from '../../bytes/figures-text.js'
import { html, type Html } from '../html.js'
import { nameHtml, nameText } from '../names.js'
import { count, share, size, table, text } from '../tables.js'
import { readableTime } from './head.js'

/** Of the tables behind the first. */
const MOST = 10

export function topSection(report: MemoryReport): Html {
  const { tops } = report
  const more = [
    keyTable('Keys with most elements', 'Elements', tops.elements, count),
    keyTable('Keys with the longest element', 'Longest', tops.longest, size),
    keyTable('Keys unused for longest', 'Idle', tops.idle, (seconds) =>
      text(formatDuration(seconds * 1000)),
    ),
    keyTable('Keys used most often', 'LFU counter', tops.frequency, count),
  ]
  return html`${keyTable('Keys with most memory', 'Memory', tops.memory, size)}${accessTable('Memory by idle time', 'Unused for', report.idle, report)}${accessTable('Memory by frequency of use', 'LFU counter', report.frequency, report)}
    <div class="stacked">${more}</div>`
}

function keyTable(
  caption: string,
  title: string,
  rows: readonly RankedKey[],
  show: (rank: number) => Html,
): Html | undefined {
  if (rows.length === 0) return undefined
  return table(
    caption,
    [
      { title: 'Key' },
      { title, align: 'right' },
      { title: 'Type' },
      { title: 'Encoding' },
      ...(title === 'Elements' ? [] : [{ title: 'Elements', align: 'right' as const }]),
      ...(title === 'Memory' ? [] : [{ title: 'Memory', align: 'right' as const }]),
      { title: 'Expires' },
      { title: 'DB', align: 'right' },
    ],
    rows
      .slice(0, title === 'Memory' ? undefined : MOST)
      .map(({ rank, facts }) => [
        nameHtml(facts.key),
        show(rank),
        text(nameText(facts.type)),
        text(facts.encoding),
        ...(title === 'Elements' ? [] : [count(facts.elements)]),
        ...(title === 'Memory' ? [] : [size(facts.memory)]),
        text(expiryText(facts.expireAtMs)),
        text(String(facts.dbnum)),
      ]),
  )
}

function accessTable(
  caption: string,
  title: string,
  rows: readonly AccessRow[] | undefined,
  report: MemoryReport,
): Html | undefined {
  if (rows === undefined) return undefined
  return table(
    caption,
    [
      { title },
      { title: 'Keys', align: 'right' },
      { title: 'Memory', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
    ],
    rows.map((row) => [
      text(row.name),
      count(row.keys),
      size(row.memory),
      ...share(row.memory, report.memory),
    ]),
  )
}

const MAX_DATE_MS = 8.64e15

function expiryText(expireAtMs: number): string {
  if (expireAtMs === -1) return 'never'
  return Math.abs(expireAtMs) > MAX_DATE_MS ? 'out of range' : readableTime(expireAtMs)
}
