/** How large keys are: powers of two, one chart a type, and the figures behind it. */
import type { MemoryReport, TypeSizes } from '../../analyze/distributions/distributions.js'
import type { SizeClass } from '../../analyze/distributions/spread.js'
import { countOf, formatSize } from '../../bytes/figures-text.js'
import { columnChart } from '../charts.js'
import { html, type Html } from '../html.js'
import { nameHtml, nameText } from '../names.js'
import { count, size, table, text } from '../tables.js'
import { lookOf } from './types.js'

const MAX_CHARTS = 12

export function sizeSection(report: MemoryReport): Html {
  const shown = report.types.slice(0, MAX_CHARTS)
  const first = Math.min(...shown.map(({ sizes }) => sizes[0]?.from ?? Infinity))
  const last = Math.max(...shown.map(({ sizes }) => sizes.at(-1)?.from ?? 0))
  const charts = shown.map((row, at) => chart(row, at, first, last))
  const tables = shown.map((row) =>
    table(
      `${nameText(row.type)}: keys by size`,
      [{ title: 'Size' }, { title: 'Keys', align: 'right' }, { title: 'Memory', align: 'right' }],
      row.sizes.map((each) => [text(rangeText(each)), count(each.keys), size(each.memory)]),
    ),
  )
  const percentiles = table(
    'Percentiles by type',
    [
      { title: 'Type' },
      ...['50 %', '90 %', '99 %', 'Largest'].map((title) => ({ title, align: 'right' as const })),
      ...['Elements 50 %', '90 %', '99 %', 'Most'].map((title) => ({
        title,
        align: 'right' as const,
      })),
    ],
    report.types.map(({ type, memoryPercentiles: memory, elementsPercentiles: elements }) => [
      nameHtml(type),
      size(memory.p50),
      size(memory.p90),
      size(memory.p99),
      size(memory.max),
      count(elements.p50),
      count(elements.p90),
      count(elements.p99),
      count(elements.max),
    ]),
  )
  return html`<div class="multiples">${charts}</div>
    ${percentiles}
    <details>
      <summary>Figures of the charts</summary>
      <div class="pairs">${tables}</div>
    </details>`
}

/** All charts have the same classes, so that they compare. */
function chart(row: TypeSizes, at: number, first: number, last: number): Html {
  const columns: { label: string; value: number; title: string }[] = []
  for (let from = first; from <= last; from = from === 0 ? 1 : from * 2) {
    const found = row.sizes.find((each) => each.from === from)
    const keys = found?.keys ?? 0
    const range = rangeText({ from, keys, memory: found?.memory ?? 0 })
    columns.push({
      label: range,
      value: keys,
      title: `${range}: ${countOf(keys, 'key')}, ${formatSize(found?.memory ?? 0)}`,
    })
  }
  return html`<figure>
    <figcaption><b>${nameText(row.type)}</b> ${countOf(row.keys, 'key')}</figcaption>
    ${columnChart(`Keys of type ${nameText(row.type)} by size`, columns, lookOf(at))}
    <p class="axis"><span>${formatSize(first)}</span><span>${formatSize(last * 2)}</span></p>
  </figure>`
}

function rangeText({ from }: SizeClass): string {
  return from === 0 ? '0' : `${formatSize(from)} to ${formatSize(from * 2)}`
}
