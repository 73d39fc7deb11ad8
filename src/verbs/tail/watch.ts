/**
 * `tail`: the write commands of a master as they happen, at no cost to it: one more replica that
 * asks for no snapshot where that can be avoided.
 */
import { AbortedError, ProtocolError } from '../../errors.js'
import { selectedDb } from '../../aof/aof-parser.js'
import { formatServerAddress } from '../../net/address.js'
import { ControlClient } from '../../net/control.js'
import type {
  ContinueInfo,
  FullResyncInfo,
  LinkConsumer,
  LinkLostInfo,
  ResumePoint,
} from '../../replication/consumer.js'
import { ReplicationLink } from '../../replication/link.js'
import { CommandTable, KeyPositions } from '../../resp/command-table.js'
import { CommandDecoder, RESP } from '../../resp/decoder.js'
import { encodeCommand } from '../../resp/encoder.js'
import { RreplayUnwrapper } from '../../resp/rreplay.js'
import { CommandFormatter, type CommandPlace } from '../../formats/command-format.js'
import { CommandStats } from '../../analyze/command-stats.js'
import { PatientOutput } from '../../disk/patient-output.js'
import { compileKeyFilter, type KeyFilter } from '../../source/key-filter.js'
import type { TailOptions, TailResult, TailStatsOptions } from './options.js'

export type * from './options.js'
export type { StatsRow, StatsSnapshot } from '../../analyze/command-stats.js'
export type { CommandPlace } from '../../formats/command-format.js'
export type { CommandFormat, StringForm } from '../../formats/command-format.js'

/** A command above this is not held in memory: its name and size are shown. */
const LARGE_BYTES = 16 << 20

/** Rejects with LinkError, AuthError, ProtocolError, FileError (the reader went away or is too
 * slow) or AbortedError. */
export async function tail(options: TailOptions): Promise<TailResult> {
  return await new TailRun(options).run()
}

class TailRun implements LinkConsumer {
  private readonly options: TailOptions
  private readonly table = new CommandTable()
  private readonly positions = new KeyPositions()
  private readonly filter: KeyFilter
  private readonly filtersKeys: boolean
  private readonly names: Set<string> | undefined
  private readonly decoder = new CommandDecoder({ pieceBytes: LARGE_BYTES, oldMasters: true })
  private readonly unwrapper = new RreplayUnwrapper()
  private readonly place: CommandPlace = { replOffset: -1, dbnum: -1, unixMs: 0 }
  private readonly output: PatientOutput | undefined
  private readonly formatter: CommandFormatter | undefined
  private readonly stats: CommandStats | undefined
  private readonly link: ReplicationLink
  private failure: Error | undefined
  private started = false
  private finished = false
  private shown = 0
  private streamCommands = 0
  private streamBytes = 0
  private gaps = 0
  private largeBytes = 0
  private largePasses = false
  private largeName: Buffer = Buffer.alloc(0)
  private keys: number | undefined
  private usedMemoryBytes: number | undefined
  private lagBytes: number | undefined
  private control: ControlClient | undefined

  constructor(options: TailOptions) {
    this.options = options
    const { server, from, allowFullResync, retries, signal, output, onWire, stats } = options
    this.filter = compileKeyFilter(options.filter)
    const { match, noMatch, regex } = options.filter ?? {}
    this.filtersKeys = (match?.length ?? 0) > 0 || (noMatch?.length ?? 0) > 0 || regex !== undefined
    this.names =
      options.commands === undefined
        ? undefined
        : new Set(options.commands.map((name) => name.toUpperCase()))
    if (output !== undefined) {
      const { to, format, strings, boundBytes, patienceMs } = output
      const patient = new PatientOutput(to, {
        onError: (error) => this.end(error),
        ...(boundBytes === undefined ? {} : { boundBytes }),
        ...(patienceMs === undefined ? {} : { patienceMs }),
      })
      this.output = patient
      this.formatter = new CommandFormatter(format, strings ?? 'text', (bytes, start, end) =>
        patient.append(bytes, start, end),
      )
    }
    if (stats !== undefined) this.stats = new CommandStats(this.table, stats.separator)
    this.link = new ReplicationLink(
      {
        server,
        purpose: 'stream',
        start: from ?? 'now',
        allowFullResync: allowFullResync ?? true,
        retries,
        signal,
        onWire,
      },
      this,
    )
  }

  async run(): Promise<TailResult> {
    const { signal, durationMs, stats, server } = this.options
    await this.askServer()
    const timers: NodeJS.Timeout[] = []
    if (durationMs !== undefined) timers.push(setTimeout(() => this.end(), durationMs))
    if (stats !== undefined) {
      const intervalMs = stats.intervalMs ?? 1000
      let lastMs = performance.now()
      timers.push(
        setInterval(() => {
          const nowMs = performance.now()
          this.tellStats(stats, nowMs - lastMs)
          lastMs = nowMs
        }, intervalMs),
      )
    }
    try {
      await this.link.run()
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error))
    } finally {
      for (const timer of timers) clearTimeout(timer)
      this.control?.close()
    }
    this.formatter?.flush()
    if (signal?.aborted === true && signal.reason === 'EPIPE') this.output?.abandon()
    else await this.output?.finish()
    if (this.failure !== undefined) throw this.failure
    if (signal?.aborted === true && !this.finished) throw new AbortedError()
    return {
      source: formatServerAddress(server.address),
      commands: this.shown,
      streamCommands: this.streamCommands,
      streamBytes: this.streamBytes,
      replid: this.link.replid,
      replOffset: this.place.replOffset,
      gaps: this.gaps,
    }
  }

  onResyncPlanned(plan: 'partial' | 'empty-snapshot' | 'full-snapshot'): void {
    const { keys, usedMemoryBytes } = this
    this.options.onNotice?.({ kind: 'resync-planned', plan, keys, usedMemoryBytes })
  }

  onFullResync(info: FullResyncInfo): void {
    if (this.started) {
      this.gaps += 1
      const fromReplOffset = this.place.replOffset + 1
      this.options.onNotice?.({ kind: 'gap', fromReplOffset, toReplOffset: info.replOffset })
    }
    this.decoder.reset()
    this.place.replOffset = info.replOffset
    // The master selects anew behind a snapshot.
    this.place.dbnum = 0
    this.begin(info.replid, info.replOffset + 1)
  }

  onSnapshotBytes(): void {
    // Only what comes behind it is wanted.
  }

  onSnapshotEnd(): void {
    // The stream follows.
  }

  onContinue(info: ContinueInfo): void {
    this.decoder.reset()
    this.place.replOffset = info.nextReplOffset - 1
    this.begin(info.replid, info.nextReplOffset)
  }

  onLinkLost(info: LinkLostInfo): void {
    this.largeBytes = 0
    const { retryInMs } = info
    this.options.onNotice?.({ kind: 'link-lost', message: info.error.message, retryInMs })
  }

  /** Behind the last whole command: a promoted replica may not have the half one. */
  resumePoint(): ResumePoint | undefined {
    const { replid } = this.link
    if (!this.started || replid === undefined) return undefined
    return { replid, nextReplOffset: this.place.replOffset + 1 }
  }

  drain(): Promise<void> | undefined {
    return this.output?.drain()
  }

  onStream(bytes: Buffer, start: number, end: number): void {
    const { decoder, place, formatter } = this
    place.unixMs = Date.now()
    this.streamBytes += end - start
    decoder.feed(bytes, start, end)
    while (!this.finished) {
      const status = decoder.next()
      if (status === RESP.MORE) break
      place.replOffset += decoder.end - decoder.start
      if (status === RESP.COMMAND) this.take(decoder)
      else if (status === RESP.PIECE) this.takePiece(decoder)
      else if (status === RESP.BAD) {
        throw new ProtocolError(
          'ERR_STREAM_DESYNC',
          `the stream is no command at offset ${place.replOffset + 1}: ${decoder.problem}`,
          {
            details: { replOffset: place.replOffset + 1 },
            hint: 'with --from-offset: an offset must be the first byte of a command',
          },
        )
      }
    }
    formatter?.flush()
    this.output?.flush()
  }

  private take(command: CommandDecoder): void {
    this.streamCommands += 1
    if (RreplayUnwrapper.wraps(command)) this.takeWrapped(command)
    else this.takeCommand(command)
  }

  /** KeyDB's RREPLAY: what it wraps. Its stream has no SELECT, and one that is not known is shown
   * as it is. */
  private takeWrapped(command: CommandDecoder): void {
    const inner = this.unwrapper.unwrap(command)
    const { dbnum } = this.unwrapper
    if (dbnum >= 0 && dbnum !== this.place.dbnum) {
      this.place.dbnum = dbnum
      if (this.options.output?.format === 'resp') {
        const select = encodeCommand('SELECT', String(dbnum))
        this.formatter?.raw(select, 0, select.length)
      }
    }
    this.takeCommand(inner ?? command)
  }

  private takeCommand(command: CommandDecoder): void {
    const info = this.table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    if (info.name === 'SELECT') {
      const dbnum = selectedDb(command)
      if (dbnum >= 0) this.place.dbnum = dbnum
      // Bytes that are to be replayed need it, whatever the filter.
      if (this.options.output?.format === 'resp') {
        this.formatter?.raw(command.bytes, command.start, command.end)
        return
      }
    }
    const isPlumbing = PLUMBING.has(info.name)
    if (this.names === undefined ? isPlumbing && this.hidesPlumbing : !this.names.has(info.name)) {
      return
    }
    if (!this.filter.passesAll && !this.filter.db(this.place.dbnum)) return
    let keyArg = -1
    if (this.filtersKeys || this.stats !== undefined) {
      const count = this.positions.find(info, command)
      if (this.filtersKeys && !this.anyKeyPasses(command, count)) return
      if (count > 0) keyArg = this.positions.positions[0]!
    }
    this.shown += 1
    this.stats?.count(command, info, keyArg, this.place.dbnum)
    this.formatter?.command(command, this.place)
    this.options.onCommand?.(command, this.place)
    if (this.shown === this.options.count) this.end()
  }

  /** PING, SELECT and REPLCONF are no writes; the bytes as they came hold them. */
  private get hidesPlumbing(): boolean {
    return this.options.output?.format !== 'resp' || !this.filter.passesAll
  }

  private anyKeyPasses(command: CommandDecoder, count: number): boolean {
    for (let i = 0; i < count; i++) {
      const at = 2 * this.positions.positions[i]!
      if (this.filter.name(command.bytes, command.args[at]!, command.args[at + 1]!)) return true
    }
    return false
  }

  /** A command too large to hold. Its keys are not known, so a filter on keys passes it. */
  private takePiece(command: CommandDecoder): void {
    if (command.pieceFirst) {
      this.largeBytes = 0
      this.largeName = Buffer.from(command.arg(0))
      const name = this.largeName.toString('latin1').toUpperCase()
      this.largePasses =
        (this.names?.has(name) ?? true) &&
        (this.filter.passesAll || this.filter.db(this.place.dbnum))
    }
    this.largeBytes += command.end - command.start
    if (this.largePasses && this.options.output?.format === 'resp') {
      this.formatter?.raw(command.bytes, command.start, command.end)
    }
    if (!command.pieceLast) return
    this.streamCommands += 1
    if (!this.largePasses) return
    this.shown += 1
    this.formatter?.tooLarge(this.largeName, this.largeBytes, this.place)
    if (this.shown === this.options.count) this.end()
  }

  private begin(replid: string | undefined, nextReplOffset: number): void {
    this.started = true
    const { dbnum } = this.place
    this.options.onNotice?.({ kind: 'started', replid, nextReplOffset, dbnum })
  }

  private end(error?: Error): void {
    this.failure ??= error
    this.finished = true
    this.link.stop()
  }

  /**
   * What can be known before: the cost of a snapshot, other commands' keys, and the database. A
   * partial resync repeats no SELECT; where all keys lie in one database it can only be that one
   * (or one that is empty now and is written to again without a SELECT, which is rare).
   */
  private async askServer(): Promise<void> {
    try {
      const control = await ControlClient.open(this.options.server, this.options.signal)
      this.control = control
      const info = await control.info()
      this.usedMemoryBytes = numberOf(info.get('used_memory'))
      const dbs = [...info.keys()].filter((field) => /^db\d+$/.test(field))
      this.keys = dbs.reduce(
        (sum, db) => sum + Number(/keys=(\d+)/.exec(info.get(db) ?? '')?.[1] ?? 0),
        0,
      )
      if (dbs.length === 0) this.place.dbnum = 0
      if (dbs.length === 1) this.place.dbnum = Number(dbs[0]!.slice(2))
      if (this.filtersKeys) this.table.learn(await control.call('COMMAND'))
    } catch {
      // Not allowed, or not reachable: the link will tell, or do without.
    }
    if (this.stats === undefined) {
      this.control?.close()
      this.control = undefined
    }
  }

  private tellStats(stats: TailStatsOptions, intervalMs: number): void {
    const snapshot = this.stats?.take(intervalMs)
    if (snapshot === undefined) return
    const { replOffset } = this.place
    stats.onStats({ ...snapshot, replOffset, lagBytes: this.lagBytes })
    this.control
      ?.info('replication')
      .then((info) => {
        const ahead = numberOf(info.get('master_repl_offset'))
        this.lagBytes = ahead === undefined ? undefined : Math.max(0, ahead - this.place.replOffset)
      })
      .catch(() => (this.lagBytes = undefined))
  }
}

const PLUMBING = new Set(['PING', 'REPLCONF', 'SELECT'])

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}
