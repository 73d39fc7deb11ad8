/** The beginning: is it sound, how much is it, what stands out. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import { formatCount, formatSize, percent } from '../../bytes/figures-text.js'
import { stackedBar, type Part } from '../charts.js'
import { findings, type Finding } from '../findings.js'
import { html, type Html } from '../html.js'
import type { PageOptions, ReportInput, ReportOptions, ReportQuestion } from '../input.js'
import { nameHtml, nameText } from '../names.js'
import { partOf } from '../tables.js'

/** Cards with figures, and a bar where parts make a whole. */
export function cards(input: ReportInput, report: MemoryReport): Html {
  const lasting = report.prefixes
  const past = report.ttl.find(({ name }) => name === 'expired')
  const [largest] = report.tops.memory
  const used = Number(input.aux.get('used-mem'))
  const list = [
    card(
      'Keys',
      formatCount(report.keys),
      html`${input.databases.length === 1 ? 'in one database' : `in ${formatCount(input.databases.length)} databases`}`,
    ),
    card(
      'Memory of keys',
      formatSize(report.memory),
      used > 0
        ? html`${percent(partOf(report.memory, used))} of the ${formatSize(used)} in use`
        : html`estimated`,
    ),
    card(
      'Never expires',
      percent(partOf(lasting.lastingMemory, report.memory)),
      html`${formatSize(lasting.lastingMemory)} in ${formatCount(lasting.lastingKeys)} keys`,
      [{ share: partOf(lasting.lastingMemory, report.memory), look: 'warm' }],
    ),
    card(
      'Past their time',
      formatCount(past?.keys ?? 0),
      past === undefined || past.keys === 0
        ? html`nothing waits to be deleted`
        : html`${formatSize(past.memory)} not yet deleted`,
    ),
    largest === undefined
      ? undefined
      : card('Largest key', formatSize(largest.rank), html`${nameHtml(largest.facts.key)}`),
  ]
  return html`<dl class="cards">${list}</dl>`
}

export function card(title: string, figure: string, note: Html, parts?: readonly Part[]): Html {
  return html`<div class="card">
    <dt>${title}</dt>
    <dd class="figure">${figure}</dd>
    <dd class="note">${note}</dd>
    ${parts === undefined ? undefined : html`<dd class="inbar">${stackedBar(parts)}</dd>`}
  </div>`
}

/** One line: can the file be trusted, and what is it. */
export function verdict(input: ReportInput): Html {
  const [look, text] = verdictOf(input)
  return html`<p class="verdict ${look}"><span class="dot" aria-hidden="true"></span>${text}</p>`
}

function verdictOf(input: ReportInput): [string, string] {
  if (!input.complete) {
    return input.lostRegions > 0
      ? [
          'bad',
          `Damaged: ${formatCount(input.lostRegions)} stretches could not be read; the figures are of all others.`,
        ]
      : ['bad', 'Damaged: the figures are of what came before the damage.']
  }
  const partial =
    input.filteredOut > 0
      ? ` ${formatCount(input.filteredOut)} keys were left out by a filter.`
      : ''
  const behind =
    input.commandsLeftOut > 0
      ? ` ${formatCount(input.commandsLeftOut)} commands behind the snapshot are not in it.`
      : ''
  if (input.checksum === 'absent') {
    return ['fair', `Read to its end; the server wrote no checksum.${partial}${behind}`]
  }
  return ['good', `Sound: read to its end, the checksum is right.${partial}${behind}`]
}

/** File, server, time, as a list of terms. */
export function facts(input: ReportInput, report: MemoryReport): Html {
  const { aux } = input
  const version = aux.get('valkey-ver') ?? aux.get('redis-ver')
  const family = aux.has('valkey-ver') || input.family === 'valkey' ? 'Valkey' : 'Redis'
  const rows: [string, Html][] = [
    ['Server', html`${family} ${nameText(version ?? 'of a version it does not say')}`],
    [
      report.isDated ? 'Made' : 'Read',
      html`<time datetime="${isoTime(report.asOfMs)}">${readableTime(report.asOfMs)}</time>`,
    ],
    ['File', html`${formatSize(input.bytes)}, RDB ${input.rdbVersion}`],
  ]
  if (input.functions > 0) rows.push(['Functions', html`${formatCount(input.functions)}`])
  const list = rows.map(
    ([name, value]) =>
      html`<div>
        <dt>${name}</dt>
        <dd>${value}</dd>
      </div>`,
  )
  return html`<dl class="facts">${list}</dl>`
}

/** The sentences, as a list. */
export function standingOut(
  input: ReportInput,
  report: MemoryReport,
  options: ReportOptions,
): Html {
  const list = findings(input, report)
  if (list.length === 0) return html`<p class="quiet">There is no key.</p>`
  return findingList(list, options)
}

export function findingList(
  list: readonly Pick<Finding, 'figure' | 'sentence' | 'question'>[],
  options: PageOptions,
): Html {
  const items = list.map(
    ({ figure, sentence, question }) =>
      html`<li>
        <span class="lead">${figure}</span>
        <div>
          <p>${sentence}</p>
          ${command(question, options)}
        </div>
      </li>`,
  )
  return html`<ol class="findings">
    ${items}
  </ol>`
}

/** How to ask on, where it can be asked. */
function command(question: ReportQuestion | undefined, { ask }: PageOptions): Html | undefined {
  const text = question === undefined ? undefined : ask?.(question)
  if (text === undefined) return undefined
  return html`<p class="command"><code>${text}</code></p>`
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

export function readableTime(ms: number): string {
  return isoTime(ms)
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC')
}
