/**
 * What stands out: three to eight sentences, each with a number, those about most bytes first.
 * Which figures are worth a sentence is decided here and nowhere else.
 */
import type { MemoryReport } from '../analyze/distributions/distributions.js'
import { changeOf } from '../analyze/growth/table.js'
import type { PrefixNode } from '../analyze/distributions/prefix-figures.js'
import { countOf, formatCount, formatSize, percent, signedSize } from '../bytes/figures-text.js'
import { html, type Html } from './html.js'
import type { ReportInput, ReportQuestion } from './input.js'
import { baseName, nameHtml } from './names.js'
import { partOf } from './tables.js'
import { largestNodes } from './tree-data.js'

export interface Finding {
  /** What it is about; the order of sentences. */
  readonly bytes: number
  /** In front of the sentence. */
  readonly figure: string
  readonly sentence: Html
  readonly question: ReportQuestion
}

const MOST = 8
const FEWEST = 3
const LARGE_KEY_SHARE = 0.05
const LARGE_PREFIX_SHARE = 0.1
const PREFIX_SENTENCES = 3
const WORTH_SAVING_SHARE = 0.005
const STORM_SHARE = 0.25
const STORM_KEYS_SHARE = 0.02
const HOT_SLOT_SHARE = 0.05
/** Fewer keys than this lie unevenly anyway. */
const MANY_KEYS = 1000
/** What any server needs for itself is not worth a word. */
const MUCH_BYTES = 64 << 20
const IDLE_CLASSES = ['<90d', '>=90d']

export function findings(input: ReportInput, report: MemoryReport): Finding[] {
  if (report.keys === 0) return []
  const found = [
    ...growth(input),
    ...prefixes(report),
    ...largeKey(report),
    ...thresholds(report),
    ...expired(report),
    ...storm(report),
    ...idle(report),
    ...slots(report),
    ...beside(input, report),
  ]
  found.sort((a, b) => b.bytes - a.bytes)
  const more = found.length < FEWEST ? general(report).slice(0, FEWEST - found.length) : []
  return [...found, ...more].slice(0, MOST)
}

function prefixes(report: MemoryReport): Finding[] {
  return topLevel(report)
    .filter((node) => node.memory >= report.memory * LARGE_PREFIX_SHARE)
    .slice(0, PREFIX_SENTENCES)
    .map((node) => {
      const expiring = node.keys - node.lastingKeys
      const lasting =
        expiring === 0
          ? 'none has an expiry'
          : node.lastingKeys === 0
            ? 'all of them expire'
            : `${percent(partOf(node.lastingMemory, node.memory))} of it never expires`
      return {
        bytes: node.memory,
        figure: percent(partOf(node.memory, report.memory)),
        sentence: html`${nameHtml(node.prefix)} holds ${formatSize(node.memory)} in
        ${countOf(node.keys, 'key')}; ${lasting}.`,
        question: { about: 'prefix', prefix: node.prefix, onlyLasting: false },
      }
    })
}

/** Of what has an older dump beside it: all together, and the prefix that did most of it. It was asked
 * for, so it comes first. */
function growth({ growth: input }: ReportInput): Finding[] {
  if (input === undefined) return []
  const { total, prefixes } = input.table
  const by = changeOf(total)
  const [most] = prefixes.children
  if (by === 0 && total.created.keys + total.gone.keys === 0) return []
  const where =
    most === undefined || changeOf(most) === 0
      ? undefined
      : html` The largest change is in ${nameHtml(most.prefix)}, ${signedSize(changeOf(most))}.`
  return [
    {
      bytes: Number.POSITIVE_INFINITY,
      figure: by < 0 ? `−${formatSize(-by)}` : `+${formatSize(by)}`,
      sentence: html`${by < 0 ? 'Less' : 'More'} than in ${nameHtml(baseName(input.older.file))}:
      ${countOf(total.created.keys, 'new key')}, ${formatCount(total.gone.keys)} gone.${where}`,
      question: { about: 'growth', older: input.older.file },
    },
  ]
}

/** The largest prefixes none of which is part of another. */
function topLevel(report: MemoryReport): PrefixNode[] {
  return largestNodes(report.prefixes, 200).filter((node) =>
    report.prefixes.children.includes(node),
  )
}

function largeKey(report: MemoryReport): Finding[] {
  const [first] = report.tops.memory
  if (first === undefined || first.rank < report.memory * LARGE_KEY_SHARE) return []
  const { facts } = first
  return [
    {
      bytes: first.rank,
      figure: percent(partOf(first.rank, report.memory)),
      sentence: html`One key, the ${facts.type} ${nameHtml(facts.key)}, takes
      ${formatSize(first.rank)} with ${countOf(facts.elements, 'element')}.`,
      question: { about: 'key', key: facts.key },
    },
  ]
}

function thresholds(report: MemoryReport): Finding[] {
  const found: Finding[] = []
  for (const { type, whatIf, wouldFit } of report.thresholds) {
    const question: ReportQuestion = { about: 'type', type }
    const best = whatIf.reduce<(typeof whatIf)[number] | undefined>(
      (most, each) => (each.saves > (most?.saves ?? 0) * 1.25 ? each : most),
      undefined,
    )
    if (best !== undefined && best.saves >= report.memory * WORTH_SAVING_SHARE) {
      found.push({
        bytes: best.saves,
        figure: `−${formatSize(best.saves)}`,
        sentence: html`<code>${best.setting} ${best.proposed}</code> in place of ${best.now} would
          pack ${keysOfType(best.keys, type)} of ${formatSize(best.memory)}, which saves about
          ${percent(partOf(best.saves, best.memory))}.`,
        question,
      })
    }
    if (wouldFit.saves >= report.memory * WORTH_SAVING_SHARE) {
      found.push({
        bytes: wouldFit.saves,
        figure: `−${formatSize(wouldFit.saves)}`,
        sentence: html`${keysOfType(wouldFit.keys, type)} would fit into a listpack as it is:
        ${formatSize(wouldFit.memory)} now, which a restart or a restore of the key shrinks.`,
        question,
      })
    }
  }
  return found
}

/** `1 hash`, `2 hashes`. */
function keysOfType(keys: number, type: string): string {
  return countOf(keys, type, type.endsWith('h') ? `${type}es` : `${type}s`)
}

function expired(report: MemoryReport): Finding[] {
  const past = report.ttl.find(({ name }) => name === 'expired')
  if (past === undefined || past.keys === 0) return []
  return [
    {
      bytes: past.memory,
      figure: formatCount(past.keys),
      sentence: html`${past.keys === 1 ? 'key was' : 'keys were'} past their time and not yet
      deleted when the dump was made: ${formatSize(past.memory)}.`,
      question: { about: 'expired' },
    },
  ]
}

function storm(report: MemoryReport): Finding[] {
  const total = report.hours.reduce((sum, { keys }) => sum + keys, 0)
  const worst = report.hours.reduce((most, each) => (each.keys > most.keys ? each : most))
  if (worst.keys < total * STORM_SHARE || worst.keys < report.keys * STORM_KEYS_SHARE) return []
  return [
    {
      bytes: worst.memory,
      figure: formatCount(worst.keys),
      sentence: html`${worst.keys === 1 ? 'key expires' : 'keys expire'} within one hour,
      ${worst.hour === 0 ? 'the first' : `hour ${worst.hour + 1}`} after the dump was made:
      ${percent(partOf(worst.keys, total))} of all that expire within a day,
      ${formatSize(worst.memory)}.`,
      question: { about: 'everything' },
    },
  ]
}

function idle(report: MemoryReport): Finding[] {
  const rows = report.idle?.filter(({ name }) => IDLE_CLASSES.includes(name)) ?? []
  const keys = rows.reduce((sum, row) => sum + row.keys, 0)
  const memory = rows.reduce((sum, row) => sum + row.memory, 0)
  if (memory < report.memory * LARGE_KEY_SHARE) return []
  return [
    {
      bytes: memory,
      figure: percent(partOf(memory, report.memory)),
      sentence: html`of the memory was not used for 30 days or longer: ${formatSize(memory)} in
      ${countOf(keys, 'key')}.`,
      question: { about: 'idle' },
    },
  ]
}

function slots(report: MemoryReport): Finding[] {
  const { largest, tags } = report.slots
  const [slot] = largest
  if (slot === undefined || report.keys < MANY_KEYS) return []
  const [tag] = tags
  if (tag !== undefined && tag.memory >= report.memory * HOT_SLOT_SHARE) {
    return [
      {
        bytes: tag.memory,
        figure: percent(partOf(tag.memory, report.memory)),
        sentence: html`is tied to one hash slot by the tag {${nameHtml(tag.tag)}}:
        ${countOf(tag.keys, 'key')}, ${formatSize(tag.memory)}. No resharding parts them.`,
        question: { about: 'tag', tag: tag.tag },
      },
    ]
  }
  return []
}

/** What the server held beside the keys. */
function beside(input: ReportInput, report: MemoryReport): Finding[] {
  const used = Number(input.aux.get('used-mem'))
  const rest = used - report.memory - input.tableMemory
  if (!(used > 0) || input.filteredOut > 0 || rest < used * 0.4 || rest < MUCH_BYTES) return []
  return [
    {
      bytes: rest,
      figure: formatSize(rest),
      sentence: html`of the server's ${formatSize(used)} are not data: its own start, buffers of
      replicas and clients, scripts. Fewer keys do not make them smaller.`,
      question: { about: 'everything' },
    },
  ]
}

/** Where nothing stands out, the sums that are worth knowing. */
function general(report: MemoryReport): Finding[] {
  const found: Finding[] = []
  const lasting = report.prefixes
  found.push({
    bytes: lasting.lastingMemory,
    figure: percent(partOf(lasting.lastingMemory, report.memory)),
    sentence: html`of the memory never expires: ${countOf(lasting.lastingKeys, 'key')} without an
    expiry.`,
    question: { about: 'lasting' },
  })
  const [type] = report.types
  if (type !== undefined) {
    found.push({
      bytes: type.memory,
      figure: percent(partOf(type.memory, report.memory)),
      sentence: html`is in keys of type ${type.type}; half of these take
      ${formatSize(type.memoryPercentiles.p50)} or less, the largest
      ${formatSize(type.memoryPercentiles.max)}.`,
      question: { about: 'type', type: type.type },
    })
  }
  const ten = report.tops.memory.slice(0, 10)
  const memory = ten.reduce((sum, { rank }) => sum + rank, 0)
  found.push({
    bytes: memory,
    figure: percent(partOf(memory, report.memory)),
    sentence: html`is in the ${ten.length === 1 ? 'largest key' : `${ten.length} largest keys`}:
    ${formatSize(memory)}.`,
    question: { about: 'largest' },
  })
  return found
}
