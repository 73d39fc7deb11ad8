/**
 * `tail`: the write commands of a master as they happen, at no cost to it: one more replica that
 * asks for no snapshot where that can be avoided.
 */
import { AbortedError, ProtocolError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { ControlClient } from '../../net/control.js'
import { DEFAULT_RETRIES } from '../../net/server-settings.js'
import type {
  ContinueInfo,
  FullResyncInfo,
  LinkConsumer,
  LinkLostInfo,
  LostStream,
  ResumePoint,
} from '../../replication/consumer.js'
import { ReplicationLink } from '../../replication/link.js'
import { isChatter, RecentWrites } from '../../replication/lost-writes.js'
import { CommandDecoder, RESP } from '../../resp/decoder.js'
import { encodeCommand } from '../../resp/encoder.js'
import { RreplayUnwrapper } from '../../resp/rreplay.js'
import type { CommandPlace } from '../../formats/command-format.js'
import { announce } from '../../serving/announce/announcement.js'
import { CommandView } from './command-view.js'
import { withAddressDb } from '../../source/key-filter.js'
import { clusterNodeWarning } from '../../source/progress.js'
import { readServer, type ServerName } from '../../source/classify.js'
import type { TailCall, TailOptions, TailResult, TailStatsOptions } from './options.js'

export type * from './options.js'
export { STATS_TABLES } from '../../analyze/traffic/command-stats.js'
export type { StatsRow, StatsSnapshot, StatsTable } from '../../analyze/traffic/command-stats.js'
export type { CommandPlace } from '../../formats/command-format.js'
export type { CommandFormat, StringForm } from '../../formats/command-format.js'

/** A command above this is not held in memory: its name and size are shown. */
const LARGE_BYTES = 16 << 20

/** Rejects with LinkError, AuthError, ProtocolError, FileError (the reader went away or is too
 * slow) or AbortedError. */
export async function watch(source: ServerName, options: TailOptions = {}): Promise<TailResult> {
  const { signal, onEvent } = options
  const announced = await announce(readServer(source), {
    announce: options.announce,
    signal,
    onWarning: (message) => onEvent?.({ event: 'warning', message }),
  })
  try {
    return await new TailRun({ ...options, server: announced.server }).run()
  } finally {
    await announced.close()
  }
}

/** One of the shards of a cluster, shown in one view with the others. */
export interface ShownShard {
  readonly view: CommandView
  /** Of its master now. */
  readonly name: () => string
  /** Ends it as if done. */
  readonly end: AbortSignal
}

export class TailRun implements LinkConsumer {
  readonly #options: TailCall
  readonly #shard: ShownShard | undefined
  readonly #view: CommandView
  readonly #decoder = new CommandDecoder({ pieceBytes: LARGE_BYTES, oldMasters: true })
  readonly #unwrapper = new RreplayUnwrapper()
  readonly #place: CommandPlace
  readonly #link: ReplicationLink
  #failure: Error | undefined
  #started = false
  /** Of the history followed; undefined before, and from masters that name none (<= 2.6). */
  #replid: string | undefined
  #finished = false
  readonly #recent = new RecentWrites()
  #streamCommands = 0
  #streamBytes = 0
  #gaps = 0
  #largeBytes = 0
  #largePasses = false
  #largeName: Buffer = Buffer.alloc(0)
  #keys: number | undefined
  #usedMemoryBytes: number | undefined
  #lagBytes: number | undefined
  #control: ControlClient | undefined

  constructor(options: TailCall, shard?: ShownShard) {
    this.#options = options
    this.#shard = shard
    const { server, from, allowFullResync, retries, signal, onWire } = options
    this.#place = { replOffset: -1, dbnum: -1, unixMs: 0, shard: shard?.name() }
    this.#view =
      shard?.view ??
      new CommandView(
        { ...options, filter: withAddressDb(options.filter, server.address.db) },
        (error) => this.#end(error),
      )
    this.#link = new ReplicationLink(
      {
        server,
        purpose: 'stream',
        start: from ?? 'now',
        allowFullResync: allowFullResync ?? true,
        // A failover takes longer than the attempts that find out whether anybody is there.
        retries: shard === undefined ? retries : Infinity,
        signal,
        onWire,
      },
      this,
    )
  }

  async run(): Promise<TailResult> {
    const { signal, durationMs, stats, server } = this.#options
    const shard = this.#shard
    await this.#askServer()
    const timers: NodeJS.Timeout[] = []
    const onEnd = (): void => this.#end()
    shard?.end.addEventListener('abort', onEnd, { once: true })
    if (shard?.end.aborted === true) this.#finished = true
    if (durationMs !== undefined) timers.push(setTimeout(() => this.#end(), durationMs))
    if (stats !== undefined) {
      const intervalMs = stats.intervalMs ?? 1000
      let lastMs = performance.now()
      timers.push(
        setInterval(() => {
          const nowMs = performance.now()
          this.#tellStats(stats, nowMs - lastMs)
          lastMs = nowMs
        }, intervalMs),
      )
    }
    try {
      if (!this.#finished) await this.#link.run()
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error))
    } finally {
      for (const timer of timers) clearTimeout(timer)
      shard?.end.removeEventListener('abort', onEnd)
      this.#control?.close()
    }
    // What others are shown in, too, is theirs to finish.
    if (shard === undefined) await this.#view.finish(signal)
    if (this.#failure !== undefined) throw this.#failure
    if (signal?.aborted === true && !this.#finished) throw new AbortedError()
    return {
      source: formatServerAddress(server.address),
      commands: this.#view.shown,
      streamCommands: this.#streamCommands,
      streamBytes: this.#streamBytes,
      replid: this.#replid,
      replOffset: this.#place.replOffset,
      gaps: this.#gaps,
    }
  }

  onResyncPlanned(plan: 'partial' | 'empty-snapshot' | 'full-snapshot'): void {
    const keys = this.#keys
    const usedMemoryBytes = this.#usedMemoryBytes
    this.#options.onEvent?.({ event: 'resync-planned', plan, keys, usedMemoryBytes })
  }

  onClusterNode(): void {
    if (this.#started || this.#shard !== undefined) return
    const server = formatServerAddress(this.#options.server.address)
    this.#options.onEvent?.(clusterNodeWarning(server))
  }

  onFullResync(info: FullResyncInfo): void {
    if (this.#started) {
      this.#gaps += 1
      const fromReplOffset = this.#place.replOffset + 1
      this.#options.onEvent?.({ event: 'gap', fromReplOffset, toReplOffset: info.replOffset })
    }
    this.#decoder.reset()
    this.#recent.clear()
    this.#place.replOffset = info.replOffset
    // The master selects anew behind a snapshot.
    this.#place.dbnum = 0
    this.#begin(info.replid, info.replOffset + 1)
  }

  onSnapshotBytes(): void {
    // Only what comes behind it is wanted.
  }

  onSnapshotEnd(): void {
    // The stream follows.
  }

  onContinue(info: ContinueInfo): void {
    this.#decoder.reset()
    this.#place.replOffset = info.nextReplOffset - 1
    this.#begin(info.replid, info.nextReplOffset)
  }

  onLinkLost(info: LinkLostInfo): void {
    this.#largeBytes = 0
    const { error, attempt, retryInMs } = info
    this.#options.onEvent?.({ event: 'link-lost', message: error.message, retryInMs })
    const { retries = DEFAULT_RETRIES } = this.#options
    if (this.#shard !== undefined && !this.#started && attempt > retries) throw error
  }

  /** The new master's stream goes on in front of what was shown last. */
  cutBack(lost: LostStream): void {
    if (!this.#started) return
    const writes = this.#recent.cutBack(lost.fromReplOffset)
    this.#place.replOffset = lost.fromReplOffset - 1
    if (writes !== 0) this.#options.onEvent?.({ event: 'writes-lost', ...lost, writes })
  }

  /** Behind the last whole command: a promoted replica may not have the half one. */
  resumePoint(): ResumePoint | 'full' | undefined {
    const started = this.#started
    const replid = this.#replid
    if (!started) return undefined
    if (replid === undefined) return 'full'
    return { replid, nextReplOffset: this.#place.replOffset + 1 }
  }

  drain(): Promise<void> | undefined {
    return this.#view.drain()
  }

  onStream(bytes: Buffer, start: number, end: number): void {
    const view = this.#view
    const decoder = this.#decoder
    const place = this.#place
    place.unixMs = Date.now()
    this.#streamBytes += end - start
    decoder.feed(bytes, start, end)
    while (!this.#finished) {
      const status = decoder.next()
      if (status === RESP.MORE) break
      place.replOffset += decoder.end - decoder.start
      if (status === RESP.COMMAND) this.#take(decoder)
      else if (status === RESP.PIECE) this.#takePiece(decoder)
      else if (status === RESP.BAD) {
        throw new ProtocolError(
          'ERR_STREAM_DESYNC',
          `the stream is no command at offset ${place.replOffset + 1}: ${decoder.problem}`,
          {
            details: { replOffset: place.replOffset + 1 },
            hint: 'with `from`: an offset must be the first byte of a command',
          },
        )
      }
    }
    view.formatter?.flush()
    view.output?.flush()
  }

  #take(command: CommandDecoder): void {
    this.#streamCommands += 1
    if (!isChatter(command)) this.#recent.add(this.#place.replOffset)
    if (RreplayUnwrapper.wraps(command)) this.#takeWrapped(command)
    else this.#view.take(command, this.#place)
  }

  /** KeyDB's RREPLAY: what it wraps. Its stream has no SELECT, and one that is not known is shown
   * as it is. */
  #takeWrapped(command: CommandDecoder): void {
    const inner = this.#unwrapper.unwrap(command)
    const { dbnum } = this.#unwrapper
    if (dbnum >= 0 && dbnum !== this.#place.dbnum) {
      this.#place.dbnum = dbnum
      if (this.#options.output?.format === 'resp') {
        const select = encodeCommand('SELECT', String(dbnum))
        this.#view.formatter?.raw(select, 0, select.length)
      }
    }
    this.#view.take(inner ?? command, this.#place)
  }

  /** A command too large to hold. Its keys are not known, so a filter on keys passes it. */
  #takePiece(command: CommandDecoder): void {
    if (command.pieceFirst) {
      this.#largeBytes = 0
      this.#largeName = Buffer.from(command.arg(0))
      const name = this.#largeName.toString('latin1').toUpperCase()
      this.#largePasses = this.#view.passesName(name, this.#place.dbnum)
    }
    this.#largeBytes += command.end - command.start
    if (this.#largePasses && this.#options.output?.format === 'resp') {
      this.#view.formatter?.raw(command.bytes, command.start, command.end)
    }
    if (!command.pieceLast) return
    this.#streamCommands += 1
    this.#recent.add(this.#place.replOffset)
    if (!this.#largePasses) return
    this.#view.takeTooLarge(this.#largeName, this.#largeBytes, this.#place)
  }

  #begin(replid: string | undefined, nextReplOffset: number): void {
    this.#started = true
    this.#replid = replid
    this.#place.shard = this.#shard?.name()
    const { dbnum } = this.#place
    this.#options.onEvent?.({ event: 'started', replid, nextReplOffset, dbnum })
  }

  #end(error?: Error): void {
    this.#failure ??= error
    this.#finished = true
    this.#link.stop()
  }

  /**
   * What can be known before: the cost of a snapshot, other commands' keys, and the database. A
   * partial resync repeats no SELECT; where all keys lie in one database it can only be that one
   * (or one that is empty now and is written to again without a SELECT, which is rare).
   */
  async #askServer(): Promise<void> {
    try {
      const { server, signal } = this.#options
      const control = await ControlClient.open(server, signal, 'ask')
      this.#control = control
      const info = await control.info()
      this.#usedMemoryBytes = numberOf(info.get('used_memory'))
      const dbs = [...info.keys()].filter((field) => /^db\d+$/.test(field))
      this.#keys = dbs.reduce(
        (sum, db) => sum + Number(/keys=(\d+)/.exec(info.get(db) ?? '')?.[1] ?? 0),
        0,
      )
      if (dbs.length === 0) this.#place.dbnum = 0
      if (dbs.length === 1) this.#place.dbnum = Number(dbs[0]!.slice(2))
      if (this.#view.filtersKeys) this.#view.table.learn(await control.call('COMMAND'))
    } catch {
      // Not allowed, or not reachable: the link will tell, or do without.
    }
    if (this.#view.stats === undefined) {
      this.#control?.close()
      this.#control = undefined
    }
  }

  #tellStats(stats: TailStatsOptions, intervalMs: number): void {
    const snapshot = this.#view.stats?.take(intervalMs)
    if (snapshot === undefined) return
    const { replOffset } = this.#place
    stats.onStats({ ...snapshot, replOffset, lagBytes: this.#lagBytes })
    this.#control
      ?.info('replication')
      .then((info) => {
        const ahead = numberOf(info.get('master_repl_offset'))
        this.#lagBytes =
          ahead === undefined ? undefined : Math.max(0, ahead - this.#place.replOffset)
      })
      .catch(() => (this.#lagBytes = undefined))
  }
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}
