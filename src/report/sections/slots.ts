/** How keys lie in the slots of a cluster, whether they are in one or not. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import { countOf, formatCount, formatSize, percent } from '../../bytes/figures-text.js'
import { columnChart } from '../charts.js'
import { html, type Html } from '../html.js'
import { nameHtml } from '../names.js'
import { count, partOf, share, size, table, text } from '../tables.js'

const RANGES = 64

export function slotSection(report: MemoryReport): Html {
  const { slots } = report
  const width = slots.keys.length / RANGES
  const ranges = Array.from({ length: RANGES }, (_, at) => {
    const from = at * width
    return {
      label: `${from}-${from + width - 1}`,
      keys: sum(slots.keys, from, width),
      memory: sum(slots.memory, from, width),
    }
  })
  const chart = columnChart(
    'Memory by range of hash slots',
    ranges.map(({ label, keys, memory }) => ({
      label,
      value: memory,
      title: `slots ${label}: ${countOf(keys, 'key')}, ${formatSize(memory)}`,
    })),
  )
  const columns = (title: string) => [
    { title },
    { title: 'Keys', align: 'right' as const },
    { title: 'Memory', align: 'right' as const },
    { title: 'Share', align: 'right' as const },
    { title: '' },
  ]
  const largest = table(
    'Hash slots with most memory',
    columns('Slot'),
    slots.largest.map((row) => [
      text(String(row.slot)),
      count(row.keys),
      size(row.memory),
      ...share(row.memory, report.memory),
    ]),
  )
  const tags =
    slots.tags.length === 0
      ? undefined
      : table(
          slots.tagsExact ? 'Hash tags with most memory' : 'Hash tags with most memory, at least',
          columns('Tag'),
          slots.tags.map((row) => [
            html`{${nameHtml(row.tag)}}`,
            count(row.keys),
            size(row.memory),
            ...share(row.memory, report.memory),
          ]),
        )
  const figures = table(
    'Memory by range of hash slots',
    [{ title: 'Slots' }, { title: 'Keys', align: 'right' }, { title: 'Memory', align: 'right' }],
    ranges.map((row) => [text(row.label), count(row.keys), size(row.memory)]),
  )
  return html`<p class="quiet">
      In a cluster the keys would lie in ${formatCount(slots.used)} of
      ${formatCount(slots.keys.length)} hash slots. With a hash tag:
      ${countOf(slots.taggedKeys, 'key')}, ${percent(partOf(slots.taggedMemory, report.memory))} of
      the memory.
    </p>
    <figure class="wide">
      ${chart}
      <p class="axis"><span>slot 0</span><span>${formatCount(slots.keys.length - 1)}</span></p>
    </figure>
    <div class="pairs">${largest}${tags}</div>
    <details>
      <summary>Figures of the chart</summary>
      ${figures}
    </details>`
}

function sum(column: Float64Array, from: number, width: number): number {
  let total = 0
  for (let at = from; at < from + width; at += 1) total += column[at]!
  return total
}
