/** What was written: over time, by command, prefix, key and database, and what removed much at once. */
import type { StatsRow } from '../../analyze/traffic/command-stats.js'
import type { TrafficEvent, TrafficReport } from '../../analyze/traffic/traffic.js'
import { countOf, formatCount, formatDuration, formatSize } from '../../bytes/figures-text.js'
import { columnChart } from '../charts.js'
import { html, type Html } from '../html.js'
import type { ReportSection } from '../input.js'
import { nameHtml } from '../names.js'
import { count, share, size, table, text } from '../tables.js'
import { readableTime } from './head.js'

const MOST_ROWS = 25
const MOST_EVENTS = 50

export function trafficSections(traffic: TrafficReport): ReportSection[] {
  if (traffic.commands === 0) return []
  return [
    { id: 'time', title: 'Over time', body: overTime(traffic) },
    {
      id: 'commands',
      title: 'By command',
      body: by('Commands', 'Command', traffic.byCommand, traffic),
    },
    {
      id: 'written-prefixes',
      title: 'By prefix',
      body: by('Writes by prefix', 'Prefix', traffic.byPrefix, traffic),
    },
    {
      id: 'written-keys',
      title: 'By key',
      body: by('Keys written most often', 'Key', traffic.byKey, traffic),
    },
    ...(traffic.byDb.length < 2
      ? []
      : [
          {
            id: 'dbs',
            title: 'By database',
            body: by('Writes by database', 'DB', traffic.byDb, traffic),
          },
        ]),
    { id: 'removals', title: 'What removed much', body: removals(traffic) },
  ]
}

function overTime({ bins, binMs }: TrafficReport): Html {
  if (bins.length === 0) return html`<p class="quiet">The commands have no times.</p>`
  const span = formatDuration(binMs)
  const chart = (name: string, value: (bin: (typeof bins)[number]) => number, look: string): Html =>
    html`<h3>${name}</h3>
      <figure class="wide">
        ${columnChart(
          `${name} over time`,
          bins.map((bin) => ({
            label: '',
            value: value(bin),
            title: `${readableTime(bin.fromMs)}: ${countOf(bin.commands, 'command')}, ${formatSize(bin.bytes)}`,
          })),
          look,
        )}
        <p class="axis">
          <span>${readableTime(bins[0]!.fromMs)}</span
          ><span>${readableTime(bins.at(-1)!.fromMs)}</span>
        </p>
      </figure>`
  const figures = table(
    'Commands and bytes over time',
    [{ title: 'From' }, { title: 'Commands', align: 'right' }, { title: 'Bytes', align: 'right' }],
    bins.map(({ fromMs, commands, bytes }) => [
      text(readableTime(fromMs)),
      count(commands),
      size(bytes),
    ]),
  )
  return html`<p class="quiet">Each column is ${span}.</p>
    ${chart('Commands', ({ commands }) => commands, 'data')}${chart('Bytes', ({ bytes }) => bytes, 'warm')}
    <details>
      <summary>Figures of the charts</summary>
      ${figures}
    </details>`
}

function by(
  caption: string,
  title: string,
  rows: readonly StatsRow[],
  traffic: TrafficReport,
): Html {
  const isBound = rows.some(({ error }) => error !== undefined)
  const list = table(
    caption,
    [
      { title },
      { title: 'Commands', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
      { title: 'Bytes', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
      { title: 'Mean', align: 'right' },
    ],
    rows
      .slice(0, MOST_ROWS)
      .map(({ name, commands, bytes, error }) => [
        html`<bdi class="name">${name === '' ? '(empty)' : name}</bdi>`,
        error === undefined ? count(commands) : html`≤ ${formatCount(commands)}`,
        ...share(commands, traffic.commands),
        size(bytes),
        ...share(bytes, traffic.bytes, 'warm'),
        size(bytes / commands),
      ]),
  )
  return html`${list}${
    isBound
      ? html`<p class="quiet">
          There were more names than can be held: counts with ≤ are too high by some at most, and
          bytes are those since a name was held.
        </p>`
      : undefined
  }`
}

function removals({ events, eventsInAll, deletedKeys }: TrafficReport): Html {
  const deleted = html`<p class="quiet">
    DEL and UNLINK named ${countOf(deletedKeys, 'key')} in all; expired keys are among them, since a
    master sends a DEL for each.
  </p>`
  if (eventsInAll === 0) {
    return html`${deleted}
      <p>No FLUSHALL, FLUSHDB or SWAPDB, and no DEL of ten keys or more.</p>`
  }
  const shown = events.slice(0, MOST_EVENTS)
  const list = table(
    eventsInAll > shown.length
      ? `The first ${formatCount(shown.length)} of ${formatCount(eventsInAll)}`
      : 'FLUSHALL, FLUSHDB, SWAPDB, and DEL of ten keys or more',
    [
      { title: 'Command' },
      { title: 'When' },
      { title: 'Offset', align: 'right' },
      { title: 'DB', align: 'right' },
      { title: 'Keys named', align: 'right' },
    ],
    shown.map((event) => [
      nameHtml(event.command),
      text(timeOf(event)),
      text(String(event.replOffset)),
      text(event.db < 0 ? '?' : String(event.db)),
      event.keys === 0 ? text('') : count(event.keys),
    ]),
  )
  return html`${deleted}${list}`
}

export function timeOf({ unixMs }: Pick<TrafficEvent, 'unixMs'>): string {
  return unixMs < 0 ? 'unknown' : readableTime(unixMs)
}
