/** What the server said it used, and how much of it this report explains. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import { stackedBar } from '../charts.js'
import { html, type Html } from '../html.js'
import type { ReportInput } from '../input.js'
import { count, partOf, share, size, table, text } from '../tables.js'

const MOST_DATABASES = 50

export function memorySection(input: ReportInput, report: MemoryReport): Html {
  const used = Number(input.aux.get('used-mem'))
  const known = report.memory + input.tableMemory
  const isWhole = input.filteredOut === 0 && input.complete
  const whole = used > 0 && isWhole ? Math.max(used, known) : known
  const rows: [string, number, string][] = [
    ['Keys and values', report.memory, 'data'],
    ['Tables of the databases', input.tableMemory, 'warm'],
  ]
  if (used > 0 && isWhole) {
    rows.push(['All else: the server itself, buffers, scripts', Math.max(0, used - known), 'else'])
  }
  const bar = stackedBar(rows.map(([, bytes, look]) => ({ share: partOf(bytes, whole), look })))
  const parts = table(
    used > 0 && isWhole ? 'Memory that was in use when the dump was made' : 'Estimated memory',
    [
      { title: 'What' },
      { title: 'Memory', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
    ],
    rows.map(([name, bytes, look]) => [text(name), size(bytes), ...share(bytes, whole, look)]),
  )
  return html`<div class="whole">${bar}</div>
    ${parts}${databases(input, report)}`
}

function databases(input: ReportInput, report: MemoryReport): Html | undefined {
  if (input.databases.length < 2) return undefined
  return table(
    input.databases.length > MOST_DATABASES
      ? `The first ${MOST_DATABASES} databases`
      : 'Memory by database',
    [
      { title: 'Database' },
      { title: 'Keys', align: 'right' },
      { title: 'With an expiry', align: 'right' },
      { title: 'Memory', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
    ],
    input.databases
      .slice(0, MOST_DATABASES)
      .map(([number, row]) => [
        text(String(number)),
        count(row.keys),
        count(row.expires),
        size(row.memory),
        ...share(row.memory, report.memory),
      ]),
  )
}
