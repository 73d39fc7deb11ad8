/**
 * The view of `tail --stats`: on a terminal a screen that refreshes, in a pipe a block of lines
 * an interval, with --json an object a line.
 */
import type { StatsRow, TailStats } from '../../verbs/tail/watch.js'
import { jsonLine, safeText } from '../guard.js'
import type { Io } from '../io.js'
import type { Talk } from '../talk.js'
import { formatSize } from '../units.js'

const ROWS = 10

export class TailStatsView {
  readonly #talk: Talk
  readonly #io: Io
  readonly #refreshes: boolean
  #opened = false

  constructor(talk: Talk, io: Io) {
    this.#talk = talk
    this.#io = io
    this.#refreshes = io.stdoutIsTty && !talk.json
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
    const seconds = stats.intervalMs / 1000
    const { out } = this.#talk
    const lag = stats.lagBytes === undefined ? '' : `, ${formatSize(stats.lagBytes)} behind`
    const lines = [
      out.bold(
        `${rate(stats.commands, seconds)} commands/s, ` +
          `${formatSize(stats.bytes / seconds)}/s, offset ${stats.replOffset}${lag}`,
      ),
    ]
    for (const [title, rows] of [
      ['command', stats.byCommand],
      ['prefix', stats.byPrefix],
      ['db', stats.byDb],
    ] as const) {
      if (rows.length === 0) continue
      lines.push(
        '',
        out.dim(`${title.padEnd(32)} ${'commands/s'.padStart(12)} ${'bytes/s'.padStart(12)}`),
      )
      for (const row of rows.slice(0, ROWS)) lines.push(line(row, seconds))
      if (rows.length > ROWS) lines.push(out.dim(`… ${rows.length - ROWS} more`))
    }
    return `${lines.join('\n')}\n`
  }
}

function line(row: StatsRow, seconds: number): string {
  const name = (row.name.length > 32 ? `${row.name.slice(0, 31)}…` : row.name).padEnd(32)
  const bytes = formatSize(row.bytes / seconds).padStart(12)
  return `${name} ${rate(row.commands, seconds).padStart(12)} ${bytes}`
}

function rate(count: number, seconds: number): string {
  const perSecond = count / seconds
  return perSecond < 10 ? perSecond.toFixed(1) : String(Math.round(perSecond))
}
