/**
 * Which commands are shown, and how: by name, database and key, as lines, as figures, or handed to
 * the caller. The same for commands as they happen and for those that were kept.
 */
import { selectedDb } from '../../aof/aof-parser.js'
import { CommandStats } from '../../analyze/traffic/command-stats.js'
import { Traffic } from '../../analyze/traffic/traffic.js'
import { PatientOutput } from '../../disk/output/patient-output.js'
import { CommandFormatter, type CommandPlace } from '../../formats/command-format.js'
import { printable } from '../../bytes/printable.js'
import { CommandTable, KeyPositions } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { compileKeyFilter, type KeyFilter } from '../../source/key-filter.js'
import type { TailViewOptions } from './options.js'

/** PING, SELECT and REPLCONF are no writes. */
const PLUMBING = new Set(['PING', 'REPLCONF', 'SELECT'])

export class CommandView {
  /** Commands that passed. */
  shown = 0
  readonly table = new CommandTable()
  /** Keys are looked at: what the master's commands have for keys is worth asking. */
  readonly filtersKeys: boolean
  readonly output: PatientOutput | undefined
  readonly formatter: CommandFormatter | undefined
  readonly stats: CommandStats | undefined
  readonly #traffic: Traffic | undefined

  readonly #options: TailViewOptions
  readonly #onEnd: (error?: Error) => void
  readonly #positions = new KeyPositions()
  readonly #filter: KeyFilter
  readonly #names: Set<string> | undefined

  /** @param onEnd enough was shown, or it cannot be shown */
  constructor(options: TailViewOptions, onEnd: (error?: Error) => void) {
    this.#options = options
    this.#onEnd = onEnd
    const { commands, filter, output, stats } = options
    this.#filter = compileKeyFilter(filter)
    const { match, noMatch, regex } = filter ?? {}
    this.filtersKeys = (match?.length ?? 0) > 0 || (noMatch?.length ?? 0) > 0 || regex !== undefined
    this.#names =
      commands === undefined ? undefined : new Set(commands.map((name) => name.toUpperCase()))
    if (output !== undefined) {
      const { to, format, strings, boundBytes, patienceMs } = output
      const patient = new PatientOutput(to, {
        onError: (error) => onEnd(error),
        ...(boundBytes === undefined ? {} : { boundBytes }),
        ...(patienceMs === undefined ? {} : { patienceMs }),
      })
      this.output = patient
      this.formatter = new CommandFormatter(format, strings ?? 'text', (bytes, start, end) =>
        patient.append(bytes, start, end),
      )
    }
    if (stats !== undefined)
      this.stats = new CommandStats(this.table, stats.separator, stats.tables)
    const { traffic } = options
    if (traffic !== undefined) this.#traffic = new Traffic(this.table, traffic.separator)
  }

  /** A command; a SELECT is followed in `place`. */
  take(command: CommandDecoder, place: CommandPlace): void {
    const info = this.table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    if (info.name === 'SELECT') {
      const dbnum = selectedDb(command)
      if (dbnum >= 0) place.dbnum = dbnum
      // Bytes that are to be replayed need it, whatever the filter.
      if (this.#isResp) {
        this.formatter?.raw(command.bytes, command.start, command.end)
        return
      }
    }
    const isPlumbing = PLUMBING.has(info.name)
    if (this.#names === undefined ? isPlumbing && this.#hidesPlumbing : !this.#names.has(info.name))
      return
    if (!this.#filter.passesAll && !this.#filter.db(place.dbnum)) return
    let keyArg = -1
    if (this.filtersKeys || this.stats !== undefined || this.#traffic !== undefined) {
      const count = this.#positions.find(info, command)
      if (this.filtersKeys && !this.#anyKeyPasses(command, count)) return
      if (count > 0) keyArg = this.#positions.positions[0]!
    }
    this.shown += 1
    this.stats?.count(command, info, keyArg, place)
    this.#traffic?.count(command, info, keyArg, place)
    this.formatter?.command(command, place)
    this.#options.onCommand?.(command, place)
    if (this.shown === this.#options.count) this.#onEnd()
  }

  /** Does a command whose keys are not known pass? */
  passesName(name: string, dbnum: number): boolean {
    return (this.#names?.has(name) ?? true) && (this.#filter.passesAll || this.#filter.db(dbnum))
  }

  /** A command that was too large to be held. */
  takeTooLarge(name: Uint8Array, bytes: number, place: CommandPlace): void {
    this.shown += 1
    this.formatter?.tooLarge(name, bytes, place)
    this.#options.onTooLarge?.(printable(name), bytes, place)
    if (this.shown === this.#options.count) this.#onEnd()
  }

  /** A reader who is behind: to be waited for. */
  drain(): Promise<void> | undefined {
    return this.output?.drain() ?? this.#options.drain?.()
  }

  /** Everything is with the reader, or given up with him. */
  async finish(signal: AbortSignal | undefined): Promise<void> {
    this.formatter?.flush()
    if (this.#traffic !== undefined) this.#options.traffic?.onReport(this.#traffic.report())
    if (signal?.aborted === true && signal.reason === 'EPIPE') this.output?.abandon()
    else await this.output?.finish()
  }

  get #isResp(): boolean {
    return this.#options.output?.format === 'resp'
  }

  /** The bytes as they came hold them, too. */
  get #hidesPlumbing(): boolean {
    return !this.#isResp || !this.#filter.passesAll
  }

  #anyKeyPasses(command: CommandDecoder, count: number): boolean {
    for (let i = 0; i < count; i++) {
      const at = 2 * this.#positions.positions[i]!
      if (this.#filter.name(command.bytes, command.args[at]!, command.args[at + 1]!)) return true
    }
    return false
  }
}
