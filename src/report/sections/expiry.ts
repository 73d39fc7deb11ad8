/** When keys go: classes of time left, and the next day by the hour. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import { countOf, formatSize } from '../../bytes/figures-text.js'
import { columnChart } from '../charts.js'
import { html, type Html } from '../html.js'
import { count, share, size, table, text } from '../tables.js'
import { readableTime } from './head.js'

const NAMES: Readonly<Record<string, string>> = {
  expired: 'past their time',
  '<1h': 'less than an hour',
  '<1d': 'less than a day',
  '<7d': 'less than a week',
  '<30d': 'less than 30 days',
  '>=30d': '30 days or more',
  none: 'no expiry',
}

export function expirySection(report: MemoryReport): Html {
  const classes = table(
    'Keys by time left',
    [
      { title: 'Time left' },
      { title: 'Keys', align: 'right' },
      { title: 'Memory', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
    ],
    report.ttl.map((row) => [
      text(NAMES[row.name] ?? row.name),
      count(row.keys),
      size(row.memory),
      ...share(row.memory, report.memory, row.name === 'none' ? 'warm' : 'data'),
    ]),
  )
  return html`<p class="quiet">
      As of ${readableTime(report.asOfMs)}, when the dump was
      ${report.isDated ? 'made' : 'read: it does not say when it was made'}.
    </p>
    ${classes}${day(report)}`
}

function day(report: MemoryReport): Html {
  const total = report.hours.reduce((sum, { keys }) => sum + keys, 0)
  const heading = html`<h3>The next 24 hours</h3>`
  if (total === 0) {
    return html`${heading}
      <p class="quiet">No key expires within a day of that moment.</p>`
  }
  const chart = columnChart(
    'Keys that expire, by hour',
    report.hours.map(({ hour, keys, memory }) => ({
      label: `${hour + 1}`,
      value: keys,
      title: `hour ${hour + 1}: ${countOf(keys, 'key')}, ${formatSize(memory)}`,
    })),
  )
  const figures = table(
    'Keys that expire, by hour',
    [{ title: 'Hour' }, { title: 'Keys', align: 'right' }, { title: 'Memory', align: 'right' }],
    report.hours.map(({ hour, keys, memory }) => [text(`${hour + 1}`), count(keys), size(memory)]),
  )
  return html`${heading}
    <figure class="wide">
      ${chart}
      <p class="axis"><span>first hour</span><span>24th</span></p>
    </figure>
    <details>
      <summary>Figures of the chart</summary>
      ${figures}
    </details>`
}
