/** The ledger of a replay, for people: what was read, written, skipped, failed, by db and type. */
import type { LedgerReport, ReplayResult } from '../../verbs/replay/run.js'
import type { Talk } from '../talk.js'
import { formatCount, formatDuration } from '../units.js'
import { renderTable, type Column } from './inspect-table.js'

/** Reasons of failures shown; `--json` has a hundred, and a thousand failures by name. */
const SHOWN_REASONS = 20

/** What can be done about a failure, by its reason. */
const REASON_HINTS: readonly (readonly [reason: RegExp, hint: string])[] = [
  [/^the key exists in the target/, '--on-conflict skip leaves such keys, replace overwrites them'],
  [/^OOM\b/, 'raise maxmemory of the target, or load less (--match, --db)'],
]

function columns(ledger: LedgerReport): readonly Column[] {
  const titles = ['read', ledger.dryRun ? 'would write' : 'written', 'skipped', 'failed', 'expired']
  if (ledger.keys.unknown > 0) titles.push('unknown')
  return [
    { title: 'db', align: 'right' },
    { title: 'type' },
    ...titles.map((title): Column => ({ title, align: 'right' })),
  ]
}

function renderLedger(ledger: LedgerReport, talk: Talk): string[] {
  const lines: string[] = []
  const { keys, commands, functions } = ledger
  if (keys.read > 0) lines.push(keyTable(ledger, talk))
  if (functions.read > 0) {
    lines.push(
      `functions: ${formatCount(functions.read)} read, ${formatCount(functions.written)} written` +
        part(functions.skipped, 'skipped') +
        part(functions.failed, 'failed'),
    )
  }
  if (commands.read > 0) {
    const left = Object.values(commands.leftOut).reduce((sum, count) => sum + count, 0)
    lines.push(
      `commands: ${formatCount(commands.read)} read, ${formatCount(commands.written)} ` +
        (ledger.dryRun ? 'would be written' : 'written') +
        part(commands.skipped, 'skipped') +
        part(commands.failed, 'failed') +
        part(left, 'left out') +
        part(commands.unknown, 'unknown'),
    )
  }
  for (const [what, count] of Object.entries(ledger.notes)) {
    lines.push(`note: ${what}: ${formatCount(count)}`)
  }
  lines.push(...renderLosses(ledger))
  const evicted = ledger.target?.evicted ?? 0
  if (evicted > 0) {
    const policy = ledger.target?.policy
    lines.push(
      `the target has thrown out ${plural(evicted, 'key')} meanwhile for want of memory` +
        (policy === undefined ? '' : ` (maxmemory-policy ${policy})`),
    )
  }
  return lines
}

/** Says the ledger; its table is of our own making and has colours and lines. */
export function tellLedger(ledger: LedgerReport, talk: Talk): void {
  for (const line of renderLedger(ledger, talk)) {
    if (line.includes('\n')) talk.show(line)
    else talk.say(line)
  }
}

/** Behind the ledger of a run that broke off: what the target holds, and the way on. */
export function describePart(ledger: LedgerReport): string | undefined {
  if (ledger.target === undefined || ledger.dryRun) return undefined
  const { keys } = ledger.target
  if (keys === 0) return 'the target holds no keys'
  const isPart = ledger.keys.written + ledger.keys.unknown + ledger.commands.written > 0
  if (!isPart) return `the target holds ${plural(keys, 'key')}; nothing was written`
  return (
    `the target holds a part: ${plural(keys, 'key')}. To begin anew: --empty-target, ` +
    'or --on-conflict replace'
  )
}

function plural(count: number, what: string): string {
  return `${formatCount(count)} ${what}${count === 1 ? '' : 's'}`
}

/** What is not in the target: parts that it cannot hold, and failures by reason. */
export function renderLosses(ledger: LedgerReport): string[] {
  const lines: string[] = []
  for (const [what, count] of Object.entries(ledger.notHeld)) {
    lines.push(`not held by the target: ${what}: ${formatCount(count)}`)
  }
  const shown = ledger.failureReasons.slice(0, SHOWN_REASONS)
  for (const { command, reason, count, example } of shown) {
    const what = command === undefined || command === '' ? reason : `${command}: ${reason}`
    const where = `db ${example.db}${example.key === '' ? '' : ` ${example.key}`}`
    const hint = REASON_HINTS.find(([pattern]) => pattern.test(reason))?.[1]
    lines.push(
      count === 1
        ? `failed: ${where}: ${what}`
        : `failed: ${formatCount(count)} times: ${what} (first: ${where})`,
    )
    if (hint !== undefined) lines.push(`  hint: ${hint}`)
  }
  const more = ledger.failureReasons.length - shown.length
  if (more > 0) lines.push(`… and ${plural(more, 'reason')} more (--json has them)`)
  return lines
}

/** The last line: what it comes to. */
export function describeOutcome(result: ReplayResult): string {
  const { keys, commands } = result.ledger
  const parts = [
    ...(keys.read > 0 ? [`${formatCount(keys.written)} of ${formatCount(keys.read)} keys`] : []),
    ...(commands.read > 0 ? [plural(commands.written, 'command')] : []),
  ]
  const what = parts.length === 0 ? 'nothing' : parts.join(' and ')
  const where = result.replOffset === undefined ? '' : `, up to offset ${result.replOffset}`
  const how = result.complete ? '' : ': not everything was written'
  const verb = result.ledger.dryRun ? 'would be written, read in' : 'written in'
  return `${what} ${verb} ${formatDuration(result.durationMs)}${where}${how}`
}

function keyTable(ledger: LedgerReport, talk: Talk): string {
  const red = (count: number): string => (count === 0 ? '0' : talk.err.red(formatCount(count)))
  const rows: string[][] = []
  for (const [db, types] of Object.entries(ledger.databases)) {
    for (const [type, counts] of Object.entries(types)) {
      rows.push([
        db,
        type,
        formatCount(counts.read),
        formatCount(counts.written),
        formatCount(counts.skipped),
        red(counts.failed),
        formatCount(counts.expired),
        ...(ledger.keys.unknown > 0 ? [red(counts.unknown)] : []),
      ])
    }
  }
  return renderTable(columns(ledger), rows, { rich: talk.richErr, chalk: talk.err })
}

function part(count: number, what: string): string {
  return count === 0 ? '' : `, ${formatCount(count)} ${what}`
}
