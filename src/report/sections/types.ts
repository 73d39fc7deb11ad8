/** Types, encodings, and what higher limits of encodings would save. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import type { ThresholdClass, TypeThresholds } from '../../analyze/distributions/thresholds.js'
import { formatCount, formatSize, percent } from '../../bytes/figures-text.js'
import { stackedBar } from '../charts.js'
import { html, type Html } from '../html.js'
import type { ReportInput } from '../input.js'
import { nameHtml, nameText } from '../names.js'
import { count, partOf, share, size, table, text } from '../tables.js'

/** So many types have a colour of their own. */
const LOOKS = 6

export function typeSection(input: ReportInput, report: MemoryReport): Html {
  const parts = report.types.map((row, at) => ({
    share: partOf(row.memory, report.memory),
    look: lookOf(at),
  }))
  const keys = report.types.slice(0, LOOKS).map(
    (row, at) =>
      html`<li>
        <i class="swatch ${lookOf(at)}" aria-hidden="true"></i>${nameText(row.type)}
        <b>${percent(partOf(row.memory, report.memory))}</b>
      </li>`,
  )
  const types = table(
    'Memory by type',
    [
      { title: 'Type' },
      { title: 'Keys', align: 'right' },
      { title: 'Memory', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
      { title: 'Half below', align: 'right' },
      { title: '99 % below', align: 'right' },
      { title: 'Largest', align: 'right' },
      { title: 'Most elements', align: 'right' },
    ],
    report.types.map((row) => [
      nameHtml(row.type),
      count(row.keys),
      size(row.memory),
      ...share(row.memory, report.memory),
      size(row.memoryPercentiles.p50),
      size(row.memoryPercentiles.p99),
      size(row.memoryPercentiles.max),
      count(row.elementsPercentiles.max),
    ]),
  )
  const encodings = table(
    'Memory by encoding',
    [
      { title: 'Encoding' },
      { title: 'Keys', align: 'right' },
      { title: 'Elements', align: 'right' },
      { title: 'Memory', align: 'right' },
      { title: 'Share', align: 'right' },
      { title: '' },
    ],
    input.encodings.map(([name, row]) => [
      text(name),
      count(row.keys),
      count(row.elements),
      size(row.memory),
      ...share(row.memory, report.memory),
    ]),
  )
  return html`<div class="whole">
      ${stackedBar(parts)}
      <ul class="keys">
        ${keys}
      </ul>
    </div>
    ${types}${encodings}${whatIf(report)}${classTables(report.thresholds)}`
}

export function lookOf(index: number): string {
  return `t${Math.min(index, LOOKS)}`
}

function whatIf(report: MemoryReport): Html {
  const rows = report.thresholds.flatMap(({ type, whatIf: settings, wouldFit }) => [
    ...(wouldFit.keys > 0
      ? [
          [
            html`<span>${type}: within the limits, yet not packed</span>`,
            html`a restart`,
            count(wouldFit.keys),
            size(wouldFit.memory),
            size(wouldFit.saves),
          ],
        ]
      : []),
    ...settings.map((each) => [
      html`<code>${each.setting}</code>`,
      html`${formatCount(each.now)} → ${formatCount(each.proposed)}`,
      count(each.keys),
      size(each.memory),
      size(each.saves),
    ]),
  ])
  const heading = html`<h3>What if limits were higher?</h3>`
  if (rows.length === 0) {
    return html`${heading}
      <p class="quiet">No key would be packed by a higher limit.</p>`
  }
  return html`${heading}
    <p class="quiet">
      Packed values take less memory and more time: each access walks the whole value. Limits now
      are the defaults, or more where packed values show it.
    </p>
    ${table(
      'Keys that a higher limit would pack',
      [
        { title: 'Setting' },
        { title: 'Change', align: 'right' },
        { title: 'Keys', align: 'right' },
        { title: 'Memory now', align: 'right' },
        { title: 'Saves about', align: 'right' },
      ],
      rows,
    )}`
}

function classTables(thresholds: readonly TypeThresholds[]): Html {
  const tables = thresholds.map(
    ({ type, byElements, byLongest }) =>
      html`${classTable(`${type}: by elements`, byElements, formatCount)}${classTable(`${type}: by longest element`, byLongest, formatSize)}`,
  )
  if (tables.length === 0) return html``
  return html`<details>
    <summary>Packed and not packed, by class</summary>
    <div class="pairs">${tables}</div>
  </details>`
}

function classTable(
  caption: string,
  classes: readonly ThresholdClass[],
  format: (bound: number) => string,
): Html {
  const rows = classes
    .map((row, at) => ({ row, above: classes[at - 1]?.upTo ?? 0 }))
    .filter(({ row }) => row.packedKeys + row.looseKeys > 0)
    .map(({ row, above }) => [
      text(row.upTo === Infinity ? `above ${format(above)}` : `to ${format(row.upTo)}`),
      count(row.packedKeys),
      size(row.packedMemory),
      count(row.looseKeys),
      size(row.looseMemory),
    ])
  return table(
    caption,
    [
      { title: 'Class' },
      { title: 'Packed', align: 'right' },
      { title: 'Memory', align: 'right' },
      { title: 'Not packed', align: 'right' },
      { title: 'Memory', align: 'right' },
    ],
    rows,
  )
}
