/** What `inspect --report` adds: in JSON all of it, as text the tables that fit a terminal. */
import { printableText, textOrBase64 } from '../../bytes/key-text.js'
import { largestNodes } from '../../report/tree-data.js'
import type { InspectResult } from '../../verbs/inspect/options.js'
import { countOf, formatCount, formatDuration, formatSize } from '../units.js'
import { renderTable, type Column, type TableLook } from './inspect-table.js'

type Report = NonNullable<InspectResult['report']>
type PrefixNode = Report['prefixes']
type PrefixSums = PrefixNode['own']
type RankedKey = Report['tops']['memory'][number]

/** Of the tree of prefixes; those left out are in `other` of what they are in. */
const MOST_NODES = 2000

/** Names and shapes are a contract with scripts. */
export function reportObject(report: Report): object {
  const { slots, tops } = report
  const kept = new Set(largestNodes(report.prefixes, MOST_NODES))
  return {
    asOf: report.asOfMs,
    dated: report.isDated,
    keys: report.keys,
    memory: report.memory,
    types: Object.fromEntries(report.types.map(({ type, ...row }) => [type, row])),
    ttl: Object.fromEntries(report.ttl.map(({ name, ...row }) => [name, row])),
    hours: report.hours,
    prefixes: prefixObject(report.prefixes, kept),
    thresholds: Object.fromEntries(report.thresholds.map(({ type, ...row }) => [type, row])),
    ...(report.idle === undefined ? {} : { idle: report.idle }),
    ...(report.frequency === undefined ? {} : { frequency: report.frequency }),
    top: {
      memory: tops.memory.map(keyObject),
      elements: tops.elements.map(keyObject),
      longest: tops.longest.map(keyObject),
      ...(tops.idle.length === 0 ? {} : { idle: tops.idle.map(keyObject) }),
      ...(tops.frequency.length === 0 ? {} : { frequency: tops.frequency.map(keyObject) }),
    },
    slots: {
      used: slots.used,
      largest: slots.largest,
      taggedKeys: slots.taggedKeys,
      taggedMemory: slots.taggedMemory,
      tagsExact: slots.tagsExact,
      tags: slots.tags.map(({ tag, ...row }) => ({ ...textOrBase64('tag', tag), ...row })),
    },
  }
}

function prefixObject(node: PrefixNode, kept: ReadonlySet<PrefixNode>): object {
  const { prefix, merged, own, children, ...sums } = node
  const shown = children.filter((child) => kept.has(child))
  const left = children.filter((child) => !kept.has(child))
  return {
    ...textOrBase64('prefix', prefix),
    ...sums,
    ...(merged > 0 ? { merged } : {}),
    ...(own.keys > 0 ? { own } : {}),
    ...(left.length > 0 ? { other: { prefixes: left.length, ...sumOf(left) } } : {}),
    ...(shown.length > 0 ? { children: shown.map((child) => prefixObject(child, kept)) } : {}),
  }
}

function sumOf(nodes: readonly PrefixSums[]): Omit<PrefixSums, 'types'> {
  const sum = (of: (node: PrefixSums) => number): number =>
    nodes.reduce((total, node) => total + of(node), 0)
  return {
    keys: sum((node) => node.keys),
    memory: sum((node) => node.memory),
    lastingKeys: sum((node) => node.lastingKeys),
    lastingMemory: sum((node) => node.lastingMemory),
    soonKeys: sum((node) => node.soonKeys),
    soonMemory: sum((node) => node.soonMemory),
    largest: nodes.reduce((most, { largest }) => Math.max(most, largest), 0),
  }
}

function keyObject({ rank, facts }: RankedKey): object {
  return {
    rank,
    db: facts.dbnum,
    ...textOrBase64('key', facts.key),
    type: facts.type,
    encoding: facts.encoding,
    memory: facts.memory,
    elements: facts.elements,
    expireAt: facts.expireAtMs === -1 ? null : facts.expireAtMs,
  }
}

/** Title and table of each section. */
export function reportTables(report: Report, look: TableLook): [string, string][] {
  const sections: [string, string][] = [['Sizes of keys by type', sizes(report, look)]]
  const limits = whatIf(report, look)
  if (limits !== undefined) sections.push(['What higher limits would save', limits])
  const hours = nextDay(report, look)
  if (hours !== undefined) sections.push(['Expiring in the next 24 hours', hours])
  if (report.tops.idle.length > 0) {
    sections.push([
      'Unused for longest',
      keyTable(report.tops.idle, 'idle', (rank) => formatDuration(rank * 1000), look),
    ])
  }
  if (report.tops.frequency.length > 0) {
    sections.push(['Used most often', keyTable(report.tops.frequency, 'LFU', formatCount, look)])
  }
  sections.push(['Longest elements', keyTable(report.tops.longest, 'longest', formatSize, look)])
  sections.push(['Hash slots', slots(report)])
  return sections
}

const right = (title: string): Column => ({ title, align: 'right' })

function sizes(report: Report, look: TableLook): string {
  const columns = [
    { title: 'type' },
    ...['50%', '90%', '99%', 'largest', 'elements 50%', '99%', 'most'].map(right),
  ]
  return renderTable(
    columns,
    report.types.map(({ type, memoryPercentiles: memory, elementsPercentiles: elements }) => [
      printableText(type),
      ...[memory.p50, memory.p90, memory.p99, memory.max].map(formatSize),
      ...[elements.p50, elements.p99, elements.max].map(formatCount),
    ]),
    look,
  )
}

function whatIf(report: Report, look: TableLook): string | undefined {
  const rows = report.thresholds.flatMap(({ type, whatIf: settings, wouldFit }) => [
    ...(wouldFit.keys === 0
      ? []
      : [
          [
            `${type}: fits as it is, once reloaded`,
            '',
            '',
            formatCount(wouldFit.keys),
            formatSize(wouldFit.memory),
            formatSize(wouldFit.saves),
          ],
        ]),
    ...settings.map((each) => [
      each.setting,
      formatCount(each.now),
      formatCount(each.proposed),
      formatCount(each.keys),
      formatSize(each.memory),
      formatSize(each.saves),
    ]),
  ])
  if (rows.length === 0) return undefined
  const columns = [
    { title: 'setting' },
    ...['now', 'then', 'keys', 'memory', 'saves about'].map(right),
  ]
  return renderTable(columns, rows, look)
}

function nextDay(report: Report, look: TableLook): string | undefined {
  const rows = report.hours.filter(({ keys }) => keys > 0)
  if (rows.length === 0) return undefined
  return renderTable(
    [right('hour'), right('keys'), right('memory')],
    rows.map(({ hour, keys, memory }) => [String(hour + 1), formatCount(keys), formatSize(memory)]),
    look,
  )
}

const MOST_KEYS = 10
const MAX_NAME_CHARS = 80

function keyTable(
  keys: readonly RankedKey[],
  title: string,
  format: (rank: number) => string,
  look: TableLook,
): string {
  return renderTable(
    [right(title), { title: 'type' }, right('memory'), right('db'), { title: 'key' }],
    keys
      .slice(0, MOST_KEYS)
      .map(({ rank, facts }) => [
        format(rank),
        printableText(facts.type),
        formatSize(facts.memory),
        String(facts.dbnum),
        facts.key.length === 0 ? '""' : printableText(facts.key, MAX_NAME_CHARS),
      ]),
    look,
  )
}

function slots({ slots: { used, largest, taggedKeys, taggedMemory, keys } }: Report): string {
  const [first] = largest
  const most =
    first === undefined
      ? ''
      : `; most in slot ${first.slot}: ${countOf(first.keys, 'key')}, ${formatSize(first.memory)}`
  return (
    `keys in ${formatCount(used)} of ${formatCount(keys.length)} slots${most}\n` +
    `with a hash tag: ${countOf(taggedKeys, 'key')}, ${formatSize(taggedMemory)}`
  )
}
