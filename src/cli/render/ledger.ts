/** The ledger of a replay, for people: what was read, written, skipped, failed, by db and type. */
import type { LedgerReport, ReplayResult } from '../../verbs/replay/run.js'
import type { Talk } from '../talk.js'
import { formatCount, formatDuration } from '../units.js'
import { renderTable, type Column } from './inspect-table.js'

/** Failures shown by name; `--json` has up to a thousand. */
const SHOWN_FAILURES = 20

const COLUMNS: readonly Column[] = [
  { title: 'db', align: 'right' },
  { title: 'type' },
  { title: 'read', align: 'right' },
  { title: 'written', align: 'right' },
  { title: 'skipped', align: 'right' },
  { title: 'failed', align: 'right' },
  { title: 'expired', align: 'right' },
]

export function renderLedger(ledger: LedgerReport, talk: Talk): string[] {
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
      `commands: ${formatCount(commands.read)} read, ${formatCount(commands.written)} written` +
        part(commands.skipped, 'skipped') +
        part(commands.failed, 'failed') +
        part(left, 'left out'),
    )
  }
  for (const [what, count] of Object.entries(ledger.notes)) {
    lines.push(`note: ${what}: ${formatCount(count)}`)
  }
  lines.push(...renderLosses(ledger))
  return lines
}

/** What is not in the target: parts that it cannot hold, and failures by name. */
export function renderLosses(ledger: LedgerReport): string[] {
  const lines: string[] = []
  for (const [what, count] of Object.entries(ledger.notHeld)) {
    lines.push(`not held by the target: ${what}: ${formatCount(count)}`)
  }
  for (const failure of ledger.failures.slice(0, SHOWN_FAILURES)) {
    const type = failure.type === '' ? '' : ` (${failure.type})`
    const command = failure.command === undefined ? '' : ` ${failure.command}:`
    lines.push(`failed: db ${failure.db} ${failure.key}${type}:${command} ${failure.reason}`)
  }
  const more = ledger.failures.length - SHOWN_FAILURES + ledger.failuresOmitted
  if (more > 0) lines.push(`… and ${formatCount(more)} more (--json names up to 1000)`)
  return lines
}

/** The last line: what it comes to. */
export function describeOutcome(result: ReplayResult): string {
  const { keys, commands } = result.ledger
  const parts = [
    ...(keys.read > 0 ? [`${formatCount(keys.written)} of ${formatCount(keys.read)} keys`] : []),
    ...(commands.read > 0 ? [`${formatCount(commands.written)} commands`] : []),
  ]
  const what = parts.length === 0 ? 'nothing' : parts.join(' and ')
  const where = result.replOffset === undefined ? '' : `, up to offset ${result.replOffset}`
  const how = result.complete ? '' : ': not everything was written'
  return `${what} written in ${formatDuration(result.durationMs)}${where}${how}`
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
      ])
    }
  }
  return renderTable(COLUMNS, rows, talk.richErr, talk.err)
}

function part(count: number, what: string): string {
  return count === 0 ? '' : `, ${formatCount(count)} ${what}`
}
