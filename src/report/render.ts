/**
 * The memory report as one page: a file that asks nothing of anybody. It reads without its script,
 * which adds the map, the search and the switch; style and script are allowed by their hashes only,
 * and what a dump says is text wherever it stands. `inspect` with `report` has the figures.
 */
import { createHash } from 'node:crypto'
import { formatCount, formatSize } from '../bytes/figures-text.js'
import { dataElement, html, textElement, type Html } from './html.js'
import type { ReportInput, ReportOptions, ReportSection } from './input.js'
import { baseName, nameHtml, nameText } from './names.js'
import { PAGE_SCRIPT, PAGE_STYLE } from './page.generated.js'
import { expirySection } from './sections/expiry.js'
import { growthSection } from './sections/growth.js'
import { cards, facts, readableTime, standingOut, verdict } from './sections/head.js'
import { memorySection } from './sections/memory.js'
import { prefixSection } from './sections/prefixes.js'
import { sizeSection } from './sections/sizes.js'
import { slotSection } from './sections/slots.js'
import { topSection } from './sections/tops.js'
import { typeSection } from './sections/types.js'
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
  const links = sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)
  const bodies = sections.map(
    ({ id, title, body }) =>
      html`<section id="${id}" aria-labelledby="${id}-title">
        <h2 id="${id}-title">${title}</h2>
        ${body}
      </section> `,
  )
  const data = {
    prefixes: treeRows(report.prefixes),
    keys: report.tops.memory.map(({ facts: key }) => nameText(key.key)),
  }
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy()}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>
          ${baseName(input.file)}: ${formatSize(report.memory)} in ${formatCount(report.keys)} keys
        </title>
        ${textElement('style', PAGE_STYLE)}
      </head>
      <body>
        <a class="skip" href="#main">Skip to the report</a>
        <header class="top">
          <div class="wrap">
            <p class="brand"><b>rrep</b> memory report</p>
            <button id="theme" type="button" hidden>Dark</button>
          </div>
        </header>
        <main id="main" class="wrap">
          <div class="title">
            <h1>${nameHtml(baseName(input.file))}</h1>
            ${verdict(input)}${facts(input, report)}
          </div>
          ${cards(input, report)}
          <section id="standing-out" aria-labelledby="standing-out-title">
            <h2 id="standing-out-title">What stands out</h2>
            ${standingOut(input, report, options)}
          </section>
          <nav class="contents" aria-label="Contents">
            <ul>
              ${links}
            </ul>
          </nav>
          ${bodies}
        </main>
        <footer><div class="wrap">${madeBy(options)}</div></footer>
        ${dataElement('data', data)} ${textElement('script', PAGE_SCRIPT)}
      </body>
    </html> `
  return page.text
}

function policy(): string {
  const hash = (text: string): string =>
    `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  return `default-src 'none'; script-src ${hash(PAGE_SCRIPT)}; style-src ${hash(PAGE_STYLE)}; base-uri 'none'; form-action 'none'`
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

function madeBy({ madeBy: line, version }: ReportOptions): Html {
  const name = version === undefined ? 'rrep' : `rrep ${version}`
  return html`<p>
    Made by ${name}${line === undefined ? undefined : html` with <code>${line}</code>`}. One file,
    no request to anywhere.
  </p>`
}
