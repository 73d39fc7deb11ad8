/** The memory report as one page: `inspect` with `report` has the figures. */
import { formatCount, formatSize } from '../bytes/figures-text.js'
import { html, type Html } from './html.js'
import type { ReportInput, ReportOptions, ReportSection } from './input.js'
import { nameText } from './names.js'
import { expirySection } from './sections/expiry.js'
import { growthSection } from './sections/growth.js'
import { cards, facts, readableTime, standingOut, verdict } from './sections/head.js'
import { memorySection } from './sections/memory.js'
import { prefixSection } from './sections/prefixes.js'
import { sizeSection } from './sections/sizes.js'
import { slotSection } from './sections/slots.js'
import { topSection } from './sections/tops.js'
import { typeSection } from './sections/types.js'
import { pageOf } from './shell.js'
import { treeRows } from './tree-data.js'

/** Throws RangeError where the inspection made no report. */
export function renderReport(input: ReportInput, options: ReportOptions): string {
  const { report } = input
  if (report === undefined) throw new RangeError('the inspection made no report')
  const isEmpty = report.keys === 0
  const sections: ReportSection[] = isEmpty
    ? []
    : [
        { id: 'prefixes', title: 'Where the memory goes', body: prefixSection(report) },
        { id: 'types', title: 'Types and encodings', body: typeSection(input, report) },
        { id: 'sizes', title: 'How large keys are', body: sizeSection(report) },
        { id: 'expiry', title: 'When keys expire', body: expirySection(report) },
        { id: 'keys', title: 'Keys that stand out', body: topSection(report) },
        { id: 'memory', title: 'Memory explained', body: memorySection(input, report) },
        { id: 'slots', title: 'Hash slots', body: slotSection(report) },
      ]
  if (input.growth !== undefined) {
    const body = growthSection(input.growth, report)
    sections.push({ id: 'growth', title: 'What grew', body })
  }
  sections.push(...(options.more ?? []), {
    id: 'method',
    title: 'How this was estimated',
    body: method(input, options),
  })
  return pageOf({
    brand: 'memory report',
    name: input.file,
    title: `${formatSize(report.memory)} in ${formatCount(report.keys)} keys`,
    head: html`${verdict(input)}${facts(input, report)}`,
    cards: cards(input, report),
    standingOut: standingOut(input, report, options),
    sections,
    data: {
      prefixes: treeRows(report.prefixes),
      keys: report.tops.memory.map(({ facts: key }) => nameText(key.key)),
    },
    options,
  })
}

function method(input: ReportInput, { nowMs }: ReportOptions): Html {
  const merged =
    'A prefix with very many continuations, as by an id, shows them as one, called *: the figures stay exact, only names are lost. '
  return html`<div class="prose">
    <p>
      The dump was read once, from front to end. Memory is what MEMORY USAGE would say of each key
      on the server that wrote it: objects, keys and values in the size classes of its allocator, on
      64 bits, tables as in a server at rest. Keys that the server wrote in a packed form are
      counted so.
    </p>
    <p>
      ${merged}Percentiles are at most 1.6 % too high. What a higher limit would save is the memory
      of a key now, less that of a listpack with the same strings; try it on one key before you
      change a server.
    </p>
    <p>
      Times to live are as of the moment that the dump names. Read ${readableTime(nowMs)} from
      <bdi class="name">${nameText(input.file)}</bdi>.
    </p>
  </div>`
}
