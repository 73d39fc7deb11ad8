/** The traffic report as one page: what was written, as `tail` with `traffic` counted it. */
import type { StatsRow } from '../analyze/traffic/command-stats.js'
import type { TrafficReport } from '../analyze/traffic/traffic.js'
import { countOf, formatCount, formatDuration, formatSize, percent } from '../bytes/figures-text.js'
import type { Finding } from './findings.js'
import { html, type Html } from './html.js'
import type { PageOptions, ReportQuestion } from './input.js'
import { nameHtml } from './names.js'
import { card, findingList, readableTime } from './sections/head.js'
import { timeOf, trafficSections } from './sections/traffic.js'
import { pageOf } from './shell.js'
import { partOf } from './tables.js'

export interface TrafficInput {
  /** A path or an address. */
  readonly name: string
  readonly traffic: TrafficReport
  /** How often something was missing in between. */
  readonly gaps: number
  /** Only some commands were asked for. */
  readonly isFiltered: boolean
}

export function renderTraffic(input: TrafficInput, options: PageOptions): string {
  const { name, traffic } = input
  return pageOf({
    brand: 'traffic report',
    name,
    title: `${formatCount(traffic.commands)} write commands`,
    head: html`${verdict(input)}${facts(traffic)}`,
    cards: cards(traffic),
    standingOut: standingOut(traffic, options),
    sections: [
      ...trafficSections(traffic),
      { id: 'method', title: 'What this is made of', body: method(traffic, options) },
    ],
    data: { prefixes: [], keys: [] },
    options,
  })
}

function verdict({ gaps, traffic, isFiltered }: TrafficInput): Html {
  const [look, said] =
    traffic.commands === 0
      ? ['fair', 'No write command passed.']
      : gaps > 0
        ? ['fair', `${countOf(gaps, 'time')} something is missing in between.`]
        : isFiltered
          ? ['good', 'Every write command of this time that passed the filter is counted.']
          : ['good', 'Every write command of this time is counted.']
  return html`<p class="verdict ${look}"><span class="dot" aria-hidden="true"></span>${said}</p>`
}

function facts(traffic: TrafficReport): Html {
  const rows: [string, string][] =
    traffic.fromMs < 0
      ? []
      : [
          ['From', readableTime(traffic.fromMs)],
          ['To', readableTime(traffic.toMs)],
        ]
  if (traffic.toReplOffset >= 0) {
    rows.push(['Offsets', `${traffic.fromReplOffset} to ${traffic.toReplOffset}`])
  }
  const list = rows.map(
    ([name, value]) =>
      html`<div>
        <dt>${name}</dt>
        <dd>${value}</dd>
      </div>`,
  )
  return html`<dl class="facts">${list}</dl>`
}

/** Undefined where the times are not known. */
function secondsOf({ fromMs, toMs }: TrafficReport): number | undefined {
  return fromMs < 0 ? undefined : (toMs - fromMs) / 1000 + 1
}

function cards(traffic: TrafficReport): Html {
  const seconds = secondsOf(traffic)
  const busiest = traffic.bins.reduce<(typeof traffic.bins)[number] | undefined>(
    (most, bin) => (bin.commands > (most?.commands ?? 0) ? bin : most),
    undefined,
  )
  const flushes = traffic.events.filter(({ command }) => command.startsWith('FLUSH')).length
  const list = [
    card(
      'Write commands',
      formatCount(traffic.commands),
      html`${seconds === undefined ? 'at unknown times' : `in ${formatDuration(seconds * 1000)}`}`,
    ),
    card(
      'Of stream',
      formatSize(traffic.bytes),
      html`${traffic.commands === 0 ? '' : `${formatSize(traffic.bytes / traffic.commands)} a command`}`,
    ),
    seconds === undefined
      ? undefined
      : card(
          'On average',
          `${formatRate(traffic.commands / seconds)}/s`,
          html`${formatSize(traffic.bytes / seconds)} a second`,
        ),
    busiest === undefined
      ? undefined
      : card(
          'Busiest',
          `${formatRate((busiest.commands * 1000) / traffic.binMs)}/s`,
          html`for ${formatDuration(traffic.binMs)} from ${readableTime(busiest.fromMs)}`,
        ),
    card(
      'Flushed',
      formatCount(flushes),
      html`${flushes === 0 ? 'no FLUSHALL, no FLUSHDB' : 'see what removed much'}`,
    ),
  ]
  return html`<dl class="cards">${list}</dl>`
}

function formatRate(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : formatCount(perSecond)
}

type Sentence = Pick<Finding, 'figure' | 'sentence' | 'question'>

const MUCH_OF_ALL = 0.2
const HOT_KEY_SHARE = 0.05
const LARGE_DELETE = 100
const MOST_SENTENCES = 8

function standingOut(traffic: TrafficReport, options: PageOptions): Html {
  if (traffic.commands === 0) return html`<p class="quiet">There is no command.</p>`
  const seconds = secondsOf(traffic)
  const found: Sentence[] = [
    ...removals(traffic),
    ...share(traffic.byKey, traffic, HOT_KEY_SHARE, (row) => ({
      figure: percent(partOf(row.commands, traffic.commands)),
      sentence: html`One key, ${nameHtml(row.name)}, was written
      ${countOf(row.commands, 'time')}${seconds === undefined ? '' : `, ${formatRate(row.commands / seconds)} a second`}.`,
      question: { about: 'written', key: Buffer.from(row.name) },
    })),
    ...share(traffic.byPrefix, traffic, MUCH_OF_ALL, (row) => ({
      figure: percent(partOf(row.commands, traffic.commands)),
      sentence: html`of the commands write
      ${row.name === '(none)' ? 'keys without a prefix' : nameHtml(row.name)}, and
      ${percent(partOf(row.bytes, traffic.bytes))} of the bytes: ${formatSize(row.bytes)}.`,
      question: belowPrefix(row.name),
    })),
    ...heavy(traffic),
    ...share(traffic.byCommand, traffic, MUCH_OF_ALL, (row) => ({
      figure: percent(partOf(row.commands, traffic.commands)),
      sentence: html`of the commands are ${row.name}: ${formatCount(row.commands)} with
      ${formatSize(row.bytes / row.commands)} each on average.`,
      question: { about: 'written', command: row.name },
    })),
  ]
  return findingList(found.slice(0, MOST_SENTENCES), options)
}

function removals({ events }: TrafficReport): Sentence[] {
  return events
    .filter(({ command, keys }) => command.startsWith('FLUSH') || keys >= LARGE_DELETE)
    .slice(0, 3)
    .map((event) => ({
      figure: event.keys === 0 ? event.command : `−${formatCount(event.keys)}`,
      sentence:
        event.keys === 0
          ? html`${event.command} at ${timeOf(event)}, offset ${event.replOffset}. The state before
            it can be had.`
          : html`${event.command} of ${formatCount(event.keys)} keys at ${timeOf(event)}, offset
            ${event.replOffset}.`,
      question: { about: 'before', replOffset: event.replOffset },
    }))
}

/** A prefix with far more of the bytes than of the commands. */
function heavy(traffic: TrafficReport): Sentence[] {
  const row = traffic.byPrefix.reduce<StatsRow | undefined>(
    (most, each) => (each.bytes > (most?.bytes ?? 0) ? each : most),
    undefined,
  )
  if (row === undefined) return []
  const ofBytes = partOf(row.bytes, traffic.bytes)
  const ofCommands = partOf(row.commands, traffic.commands)
  if (ofBytes < MUCH_OF_ALL || ofBytes < 2 * ofCommands || ofCommands >= MUCH_OF_ALL) return []
  return [
    {
      figure: formatSize(row.bytes),
      sentence: html`${percent(ofBytes)} of the bytes are written below ${nameHtml(row.name)}, by
      ${percent(ofCommands)} of the commands: ${formatSize(row.bytes / row.commands)} each.`,
      question: belowPrefix(row.name),
    },
  ]
}

function belowPrefix(name: string): ReportQuestion {
  return name === '(none)' ? { about: 'by-key' } : { about: 'written', prefix: Buffer.from(name) }
}

function share(
  rows: readonly StatsRow[],
  traffic: TrafficReport,
  least: number,
  sentence: (row: StatsRow) => Sentence,
): Sentence[] {
  const [most] = rows
  return most === undefined || most.commands < traffic.commands * least || most.error !== undefined
    ? []
    : [sentence(most)]
}

function method(traffic: TrafficReport, { nowMs }: PageOptions): Html {
  return html`<div class="prose">
    <p>
      These are the write commands as a master sends them to its replicas: a script or a transaction
      comes as what it did, an expired key as a DEL. A stream does not say which client wrote, and
      it has no reads.
    </p>
    <p>
      Bytes are those of the commands in the stream. A command counts for the prefix and the key of
      its first key. Of prefixes and keys the ten thousand most frequent ones are held.
    </p>
    <p>Read ${readableTime(nowMs)}${traffic.fromMs < 0 ? '; the commands have no times' : ''}.</p>
  </div>`
}
