/**
 * The view of `tail --stats`: on a terminal a screen that refreshes, in a pipe a block of lines
 * an interval, with --json an object a line.
 */
import type { StatsRow, TailStats } from '../../verbs/tail/watch.js'
import { jsonLine, safeText } from '../guard.js'
import type { Io } from '../io.js'
import type { Talk } from '../talk.js'
import { countOf, formatCount, formatDuration, formatSize } from '../units.js'

const ROWS = 10

export class TailStatsView {
  readonly #talk: Talk
  readonly #io: Io
  readonly #refreshes: boolean
  readonly #isTotal: boolean
  #opened = false

  /** @param isTotal figures of all that was kept, in place of those a second */
  constructor(talk: Talk, io: Io, isTotal = false) {
    this.#talk = talk
    this.#io = io
    this.#isTotal = isTotal
    this.#refreshes = io.stdoutIsTty && !talk.json && !isTotal
  }

  show(stats: TailStats): void {
    if (this.#talk.json) {
      this.#io.stdout.write(jsonLine({ event: 'stats', time: new Date().toISOString(), ...stats }))
      return
    }
    const text = safeText(this.#render(stats), this.#talk.out.level > 0)
    if (!this.#refreshes) {
      this.#io.stdout.write(`${text}\n`)
      return
    }
    // Home, and each line cleared to its end: no flicker.
    if (!this.#opened) this.#io.stdout.write('\u001b[2J\u001b[?25l')
    this.#opened = true
    this.#io.stdout.write(`\u001b[H${text.replaceAll('\n', '\u001b[K\n')}\u001b[J`)
  }

  /** Gives the cursor back. */
  end(): void {
    if (this.#opened) this.#io.stdout.write('\u001b[?25h')
    this.#opened = false
  }

  #render(stats: TailStats): string {
    const span = stats.intervalMs / 1000
    const seconds = this.#isTotal ? undefined : span
    const { out } = this.#talk
    const lag = stats.lagBytes === undefined ? '' : `, ${formatSize(stats.lagBytes)} behind`
    const average = `${rate(stats.commands, span)} commands/s, ${formatSize(stats.bytes / span)}/s`
    const lines = [
      out.bold(
        this.#isTotal
          ? `${countOf(stats.commands, 'command')}, ${formatSize(stats.bytes)} in ${formatDuration(stats.intervalMs)} (${average})`
          : `${average}, offset ${stats.replOffset}${lag}`,
      ),
    ]
    const per = this.#isTotal ? '' : '/s'
    let isBound = false
    for (const [title, rows] of [
      ['command', stats.byCommand],
      ['prefix', stats.byPrefix],
      ['key', stats.byKey],
      ['db', stats.byDb],
      ['minute', stats.byMinute],
    ] as const) {
      if (rows.length === 0) continue
      lines.push(
        '',
        out.dim(
          `${title.padEnd(32)} ${`commands${per}`.padStart(12)} ${`bytes${per}`.padStart(12)}`,
        ),
      )
      const most = title === 'minute' ? rows.length : ROWS
      for (const row of rows.slice(0, most)) lines.push(line(row, seconds))
      if (rows.length > most) lines.push(out.dim(`… ${formatCount(rows.length - most)} more`))
      isBound ||= rows.some(({ error }) => error !== undefined)
    }
    if (isBound) {
      lines.push('', out.dim('≤: more names than are held; counted too high by some at most'))
    }
    return `${lines.join('\n')}\n`
  }
}

function line(row: StatsRow, seconds: number | undefined): string {
  const name = (row.name.length > 32 ? `${row.name.slice(0, 31)}…` : row.name).padEnd(32)
  const bytes = formatSize(row.bytes / (seconds ?? 1)).padStart(12)
  const count = seconds === undefined ? formatCount(row.commands) : rate(row.commands, seconds)
  return `${name} ${`${row.error === undefined ? '' : '≤ '}${count}`.padStart(12)} ${bytes}`
}

function rate(count: number, seconds: number): string {
  const perSecond = count / seconds
  return perSecond < 10 ? perSecond.toFixed(1) : String(Math.round(perSecond))
}
