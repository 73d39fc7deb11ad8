/** `rrep tail --stats --html FILE`: what passed, as one page, written when the run ends. */
import { Buffer } from 'node:buffer'
import { printable } from '../../../bytes/printable.js'
import { renderTraffic } from '../../../report/traffic-page.js'
import { writePage } from '../../../report/write-page.js'
import type { TrafficOptions } from '../../../verbs/tail/options.js'
import { askQuestions, shellQuote, sourceText } from '../page-questions.js'
import { packageVersion } from '../../package-file.js'
import type { TailCommandOptions } from './options.js'
import type { Talk } from '../../talk.js'
import { countOf } from '../../units.js'

type Report = Parameters<TrafficOptions['onReport']>[0]

export class TrafficPage {
  gaps = 0
  readonly traffic: TrafficOptions
  readonly #output: string
  readonly #source: string
  readonly #name: string
  readonly #isFiltered: boolean
  readonly #talk: Talk
  #report: Report | undefined

  /** @param named as it was typed */
  constructor(named: string | undefined, name: string, options: TailCommandOptions, talk: Talk) {
    const { html = '-', command, count, db, match, noMatch, regex } = options
    this.#output = html
    this.#source = sourceText(named)
    this.#name = name
    this.#isFiltered = [command, count, db, match, noMatch, regex].some(
      (each) => each !== undefined,
    )
    this.#talk = talk
    this.traffic = { onReport: (report) => (this.#report = report) }
  }

  /** However the run ended: what passed until then. Throws FileError. */
  async write(): Promise<void> {
    const report = this.#report
    if (report === undefined) return
    const source = this.#source
    const output = this.#output
    const page = renderTraffic(
      { name: this.#name, traffic: report, gaps: this.gaps, isFiltered: this.#isFiltered },
      {
        ask: askQuestions(source),
        madeBy: `rrep tail ${source} --stats --html ${shellQuote(output)}`,
        version: packageVersion(),
        nowMs: Date.now(),
      },
    )
    await writePage(output === '-' ? this.#talk.stdout(false) : output, page)
    const shown = printable(Buffer.from(output))
    if (output !== '-') this.#talk.say(`${shown}: ${countOf(report.commands, 'write command')}`)
  }
}
