/**
 * Plays the stream that is in a spool into the target: decodes, applies, and goes by the end that
 * was asked for. What it waits for is more of the stream, answers of the target, and a tick.
 */
import { Buffer } from 'node:buffer'
import { printable } from '../../../bytes/printable.js'
import { InternalError, LinkError, ProtocolError } from '../../../errors.js'
import { sleep } from '../../../net/waiting.js'
import type { LostStream } from '../../../replication/consumer.js'
import { CommandDecoder, RESP } from '../../../resp/decoder.js'
import { encodeCommand } from '../../../resp/encoder.js'
import type { EndWatch } from './end-watch.js'
import type { ReplaySession } from '../session.js'
import type { SpoolFeed } from './spool-feed.js'
import { collectKeys, KeySet } from './lost-keys.js'
import { Repair } from './repair.js'
import type { SpoolRepair, StreamSpool } from './stream-spool.js'

const READ_BYTES = 256 << 10
/** A target that crashes may come back as it was in the load: its snapshot is kept so long. */
const KEEP_SNAPSHOT_MS = 60_000
/** How often an idle run looks around. */
const TICK_MS = 50
const IDLE_CHECKPOINT_MS = 1000
/** Changes of the db that are remembered. */
const MOST_DB_CHANGES = 1 << 16
/** Keys that are told by name. */
const NAMED_KEYS = 20

export interface SpoolPlayerOptions {
  session: ReplaySession
  spool: StreamSpool
  feed: SpoolFeed
  endWatch: EndWatch | undefined
  /** What is received later is not applied; and the offset behind which nothing is. */
  untilMs: number
  untilReplOffset: number
}

export class SpoolPlayer {
  readonly #session: ReplaySession
  readonly #spool: StreamSpool
  readonly #feed: SpoolFeed
  readonly #endWatch: EndWatch | undefined
  readonly #untilMs: number
  readonly #untilReplOffset: number
  /** Next stream byte to be read from the spool. */
  #readReplOffset = -1
  #decodedReplOffset = -1
  /** Stream offset at which the decoder's count began. */
  #origin = 0
  readonly #decoder = new CommandDecoder({ oldMasters: true })
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  #snapshotUntilMs = 0
  #isEnding = false
  /** Where which db was selected, oldest first: for what is taken back. */
  readonly #dbs: { replOffset: number; db: number }[] = []
  #lost: { stream: LostStream; done: () => void } | undefined
  #repair: Repair | undefined

  constructor(options: SpoolPlayerOptions) {
    this.#session = options.session
    this.#spool = options.spool
    this.#feed = options.feed
    this.#endWatch = options.endWatch
    this.#untilMs = options.untilMs
    this.#untilReplOffset = options.untilReplOffset
  }

  /** The snapshot is in the target: it may go in a while. */
  keepSnapshot(): void {
    this.#snapshotUntilMs = performance.now() + KEEP_SNAPSHOT_MS
  }

  /** Goes on from there, with this db selected. */
  startAt(replOffset: number, db: number): void {
    this.#readReplOffset = replOffset
    this.#decodedReplOffset = replOffset
    this.#decoder.reset()
    this.#origin = replOffset - this.#decoder.consumedBytes
    this.#session.applier!.startAt(replOffset, db)
    this.#noteDb(replOffset, db)
    this.#session.rules!.receivedMs = () => this.#spool.receivedMs(this.#decodedReplOffset)
  }

  /** Until the end that was asked for; true: stopped by the user. */
  async follow(): Promise<boolean> {
    const stopped = await this.#follow()
    if (!stopped && this.#repair !== undefined)
      throw notKnown(': the end asked for lies before that')
    this.end()
    return stopped
  }

  /** Nothing more is taken back. */
  end(): void {
    this.#isEnding = true
    this.#lost?.done()
  }

  /** What a failover lost waits to be taken back. */
  get isToTakeBack(): boolean {
    return this.#lost !== undefined
  }

  /** Between two pieces of the stream, what a failover lost is taken back. Resolves when it is. */
  async takeBack(stream: LostStream): Promise<void> {
    if (this.#isEnding) return
    await new Promise<void>((done) => (this.#lost = { stream, done }))
    this.#lost = undefined
  }

  /** An earlier run had not put it right. */
  repairAgain({ keys }: SpoolRepair): void {
    this.#beginRepair(KeySet.of(keys))
  }

  async #follow(): Promise<boolean> {
    const session = this.#session
    const writer = session.streamWriter!
    const spool = this.#spool
    const decoder = this.#decoder
    const { signal } = session.options
    let lastSealMs = performance.now()
    let caughtUp = false
    let isQuiet = true
    for (;;) {
      if (signal?.aborted === true) return true
      // A failover at the source gives its history another name.
      if (writer.checkpoint !== undefined) writer.checkpoint.replid = spool.state.replid
      if (this.#lost !== undefined) await this.#takeBack(this.#lost)
      if (!(await this.#isPrepared())) {
        if (spool.isEnded) throw spool.fault ?? linkEnded()
        await tick()
        continue
      }
      this.#tidySpool()
      const count = spool.read(this.#readReplOffset, this.#buffer)
      if (count > 0) {
        decoder.feed(this.#buffer, 0, count)
        this.#readReplOffset += count
        let reached = this.#apply()
        while (!reached && this.#repair?.isDue(this.#decodedReplOffset) === true) {
          await this.#putRight(this.#repair)
          reached = this.#apply()
        }
        if (writer.current.frameCount > 0 || session.applier!.inTransaction) {
          isQuiet = false
        }
        if (reached) return false
        if (writer.isFull || session.isDry) session.applier!.seal()
        await writer.drain()
        await this.#pace(count)
        session.progress({ phase: 'stream', done: 0, total: undefined, unit: 'bytes', ...this.lag })
        if (this.#isOver(isQuiet, false)) return false
        isQuiet = true
        continue
      }
      // Everything received is in the batch: send it as soon as the one before is answered.
      const waiting = writer.current.frameCount > 0
      const idleMs = performance.now() - lastSealMs
      if (writer.isIdle && (waiting || idleMs > IDLE_CHECKPOINT_MS)) {
        session.applier!.seal()
        lastSealMs = performance.now()
      }
      if (writer.isIdle && !waiting) {
        if (!caughtUp && this.#feed.isStreaming) {
          caughtUp = true
          session.event({ event: 'caught-up', replOffset: this.#decodedReplOffset - 1 })
        }
        if (spool.isEnded) {
          if (this.#isEnding) return false
          throw spool.fault ?? linkEnded()
        }
        if (Date.now() > this.#untilMs) return false
        if (this.#isOver(isQuiet, true)) return false
      } else if (this.#isOver(false, false)) return false
      isQuiet = true
      await writer.drain()
      session.progress({ phase: 'stream', done: 0, total: undefined, unit: 'bytes', ...this.lag })
      await Promise.race([spool.more(), writer.progress(), tick()])
    }
  }

  /** Decodes and applies what is in the buffer, up to a repair that is due. True: the offset asked for is
   * reached. */
  #apply(): boolean {
    const applier = this.#session.applier!
    const decoder = this.#decoder
    const limit = this.#untilReplOffset
    for (;;) {
      if (this.#repair?.isDue(this.#decodedReplOffset) === true) return false
      const status = decoder.next()
      if (status === RESP.MORE) return false
      if (status === RESP.BAD) {
        throw new ProtocolError(
          'ERR_SOURCE_STREAM',
          `the stream holds bytes that are no command at offset ${this.#decodedReplOffset}: ` +
            decoder.problem,
        )
      }
      const next = this.#origin + decoder.consumedBytes
      if (status === RESP.COMMAND) {
        if (next - 1 > limit || this.#isLate()) return true
        applier.apply(decoder, next)
        if (applier.db !== this.#dbs.at(-1)?.db) this.#noteDb(next, applier.db)
      }
      this.#decodedReplOffset = next
      if (next - 1 >= limit) return true
    }
  }

  /** The stream goes back to where the new master's begins. Where the target is there already, what it has
   * beyond that is put right. */
  async #takeBack({ stream, done }: { stream: LostStream; done: () => void }): Promise<void> {
    const session = this.#session
    const { streamWriter, applier, ledger, table } = session
    const spool = this.#spool
    const writer = streamWriter!
    const { fromReplOffset, toReplOffset } = stream
    ledger.commands.read -= applier!.dropTransaction()
    applier!.seal()
    await writer.flush()
    const at = { nextReplOffset: writer.appliedReplOffset, dbnum: writer.appliedDb }
    const keys = KeySet.of(spool.state.repair?.keys)
    const isBehind = at.nextReplOffset <= fromReplOffset
    const dbnum = isBehind ? at.dbnum : this.#dbAt(fromReplOffset)
    if (spool.firstReplOffset > fromReplOffset || dbnum === undefined) throw notKnown('')
    const { writes } = collectKeys(
      spool,
      { fromReplOffset, toReplOffset, dbnum },
      table,
      new KeySet(),
    )
    if (!isBehind) {
      if (session.options.intoCluster !== undefined) throw notKnown(': the target is a cluster')
      const part = { fromReplOffset, toReplOffset: at.nextReplOffset - 1, dbnum }
      const { problem } = collectKeys(spool, part, table, keys)
      if (problem !== undefined) throw notKnown(`: ${problem}`)
      if (keys.size > 0) spool.setRepair({ fromReplOffset, dbnum, keys: keys.kept })
    }
    spool.cutBack(fromReplOffset)
    if (!isBehind) {
      const { source, replid } = writer.checkpoint ?? { source: '', replid: stream.replid }
      Object.assign(at, { nextReplOffset: fromReplOffset, dbnum })
      await session.writeCheckpoint({ ...at, source, replid }, 'stream')
    }
    this.startAt(at.nextReplOffset, at.dbnum)
    if (keys.size > 0) this.#beginRepair(keys)
    const names = [...keys]
      .slice(0, NAMED_KEYS)
      .map(([, name]) => printable(Buffer.from(name, 'latin1')))
    if (writes > 0)
      session.event({ event: 'writes-lost', ...stream, writes, keys: keys.size, names })
    done()
  }

  #beginRepair(keys: KeySet): void {
    const session = this.#session
    const { source, signal } = session.options
    if (source.kind !== 'server') throw new InternalError('no server')
    const spool = this.#spool
    const repair = new Repair(keys, { source: source.server, signal, spool, table: session.table })
    this.#repair = repair
    session.applier!.leavesOut = (command, db) => repair.leavesOut(command, db)
  }

  /** Nothing is applied before it is known what is to be left out. */
  async #isPrepared(): Promise<boolean> {
    const repair = this.#repair
    if (repair === undefined) return true
    if (!repair.isReady) {
      if (!this.#feed.isStreaming) return false
      if (!(await repair.prepare(this.#decodedReplOffset, this.#session.applier!.db))) return false
    }
    if (repair.isDue(this.#decodedReplOffset)) await this.#putRight(repair)
    return true
  }

  /** Each batch of it can be sent twice. */
  async #putRight(repair: Repair): Promise<void> {
    const { applier, streamWriter } = this.#session
    const writer = streamWriter!
    const { db } = applier!
    const next = this.#decodedReplOffset
    applier!.leavesOut = undefined
    applier!.seal()
    const decoder = new CommandDecoder()
    for (const { db: at, args } of repair.commands()) {
      const bytes = encodeCommand(...args)
      decoder.feed(bytes)
      if (decoder.next() !== RESP.COMMAND) throw new InternalError('an encoded command is none')
      applier!.db = at
      applier!.apply(decoder, next)
      decoder.next()
      if (writer.isFull) applier!.seal()
      await writer.drain()
    }
    applier!.startAt(next, db)
    applier!.seal()
    await writer.flush()
    this.#repair = undefined
    this.#spool.setRepair(undefined)
    this.#session.event({ event: 'repaired', keys: repair.keys.size, replOffset: next - 1 })
  }

  #noteDb(replOffset: number, db: number): void {
    const dbs = this.#dbs
    while (dbs.length > 0 && dbs.at(-1)!.replOffset >= replOffset) dbs.pop()
    dbs.push({ replOffset, db })
    if (dbs.length > MOST_DB_CHANGES) dbs.splice(0, MOST_DB_CHANGES / 2)
  }

  #dbAt(replOffset: number): number | undefined {
    return this.#dbs.findLast((each) => each.replOffset <= replOffset)?.db
  }

  /** The command at hand was received after `--until`. */
  #isLate(): boolean {
    return (
      this.#untilMs !== Infinity && this.#spool.receivedMs(this.#decodedReplOffset) > this.#untilMs
    )
  }

  async #pace(count: number): Promise<void> {
    const { rate, options } = this.#session
    rate?.spend(count)
    const delayMs = rate?.delayMs ?? 0
    // A stop by the user is a good end.
    if (delayMs > 0) await sleep(delayMs, options.signal).catch(() => undefined)
  }

  /** The end that was asked for: see EndWatch. `isIdle`: all that was received is in the target. */
  #isOver(isQuiet: boolean, isIdle: boolean): boolean {
    const watch = this.#endWatch
    if (watch === undefined) return false
    if (!this.#feed.isStreaming) {
      watch.restart()
      return false
    }
    const next = isIdle ? this.#decodedReplOffset : this.#session.streamWriter!.appliedReplOffset
    return watch.look({
      nowMs: performance.now(),
      lagMs: isIdle ? 0 : this.lag.lagMs,
      isQuiet: isQuiet && this.#readReplOffset >= this.#spool.nextReplOffset,
      appliedReplOffset: next - 1,
    })
  }

  /** What is old enough is let go of: the snapshot, for which a target may still ask that is thrown
   * back to the load, and the stream behind it. */
  #tidySpool(): void {
    if (this.#snapshotUntilMs > 0) {
      if (performance.now() < this.#snapshotUntilMs) return
      this.#snapshotUntilMs = 0
      this.#spool.dropSnapshot()
    }
    this.#spool.release(this.#session.streamWriter!.keptReplOffset)
  }
  /** How far the target is behind what was received. */
  get lag(): { lagBytes: number; lagMs: number } {
    const applied = this.#session.streamWriter?.appliedReplOffset ?? -1
    const received = this.#spool.nextReplOffset
    if (applied < 0 || received <= applied) return { lagBytes: 0, lagMs: 0 }
    const receivedMs = this.#spool.receivedMs(applied)
    return {
      lagBytes: received - applied,
      lagMs: receivedMs < 0 ? 0 : Math.max(0, Date.now() - receivedMs),
    }
  }
}

function linkEnded(): LinkError {
  return new LinkError('ERR_LINK_LOST', 'the link to the source has ended')
}

function notKnown(why: string): ProtocolError {
  return new ProtocolError(
    'ERR_FULL_RESYNC_NEEDED',
    `a failover lost writes that the target has, and they cannot be put right by keys${why}`,
    {
      hint: '`emptyTarget` begins anew; `finishReplay()` keeps what is there and puts expiries right',
    },
  )
}

export async function tick(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, TICK_MS))
}
