/**
 * Replay from a live server: its snapshot, then its stream, until stopped or until both are the
 * same.
 *
 * The link writes into the spool at full speed and never waits for the target. The snapshot is
 * loaded once it is whole and checked, so that a link lost in its midst leaves nothing in the
 * target. Everything behind it goes by transactions that carry the checkpoint; a run that was
 * killed goes on from there, with what the spool holds and by a partial resync behind it.
 */
import {
  AbortedError,
  FileError,
  LinkError,
  ProtocolError,
  TargetError,
  UsageError,
} from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { ControlClient } from '../../net/control.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { Checkpoint } from '../../target/checkpoint.js'
import { spoolDirectory } from '../../disk/spool-directory.js'
import { StreamSpool } from './stream-spool.js'
import { TargetRewound } from '../../target/stream/stream-writer.js'
import { sleep } from '../../net/waiting.js'
import type { ResumePoint } from '../../replication/consumer.js'
import { CommandDecoder, RESP } from '../../resp/decoder.js'
import { interruptedLoad } from './files.js'
import type { ReplayOutcome } from './options.js'
import { singlePart } from './parts.js'
import type { ReplaySession } from './session.js'
import { SnapshotFlow } from './snapshot-flow.js'
import { checkParts, hasChecksum } from './source-check.js'
import { openInput } from '../../source/source.js'
import { EndWatch } from './end-watch.js'
import { SpoolFeed } from './spool-feed.js'

const READ_BYTES = 256 << 10
/** A target that crashes may come back as it was in the load: its snapshot is kept so long. */
const KEEP_SNAPSHOT_MS = 60_000
/** A stop waits so many ticks for a target that is away. */
const AWAY_TICKS = 12
/** How often an idle run looks around. */
const TICK_MS = 50
const IDLE_CHECKPOINT_MS = 1000

export async function replayLive(session: ReplaySession): Promise<ReplayOutcome> {
  const { source } = session.options
  if (source.kind !== 'server') throw new UsageError('not a server')
  await session.meetTarget()
  const run = new LiveReplay(session, source.settings)
  try {
    return await run.run()
  } finally {
    await run.close()
  }
}

class LiveReplay {
  readonly #session: ReplaySession
  readonly #settings: ServerSettings
  readonly #sourceName: string
  readonly #spool: StreamSpool
  readonly #feed: SpoolFeed
  /** Next stream byte to be read from the spool. */
  #readReplOffset = -1
  #decodedReplOffset = -1
  /** Stream offset at which the decoder's count began. */
  #origin = 0
  readonly #decoder = new CommandDecoder({ oldMasters: true })
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  /** What is received later is not applied; and the offset behind which nothing is. */
  readonly #untilMs: number
  readonly #untilReplOffset: number
  readonly #endWatch: EndWatch | undefined
  #snapshotUntilMs = 0
  #isEnding = false
  #done = false

  constructor(session: ReplaySession, settings: ServerSettings) {
    this.#session = session
    this.#settings = settings
    const { until } = session.options
    this.#untilMs = until !== undefined && 'unixMs' in until ? until.unixMs : Infinity
    this.#untilReplOffset = until !== undefined && 'offset' in until ? until.offset : Infinity
    const { untilSynced, untilQuiet } = session.options
    this.#endWatch =
      untilSynced === true || untilQuiet === true
        ? new EndWatch({
            until: untilQuiet === true ? 'quiet' : 'synced',
            askSource: async () => await this.#askSource(),
          })
        : undefined
    this.#sourceName = `server:${formatServerAddress(settings.address)}`
    this.#spool = new StreamSpool({
      directory: this.#spoolDirectory(),
      source: this.#sourceName,
    })
    this.#feed = new SpoolFeed(session, this.#spool)
  }

  async run(): Promise<ReplayOutcome> {
    const session = this.#session
    await session.expiry.hold()
    if (session.isToBeEmptied) await this.#emptyTarget()
    const checkpoint = await session.openStream(
      this.#sourceName,
      true,
      async (found) => await this.#isSameHistory(found),
    )
    if (checkpoint !== undefined) session.resume(checkpoint)
    else await this.#checkUntil()
    if (!session.isToBeEmptied) this.#feed.start(this.#settings, this.#plan(checkpoint))
    if (checkpoint === undefined || checkpoint.phase === 'load') {
      await this.#load(checkpoint !== undefined)
    } else {
      if (checkpoint.phase !== 'stream') await this.#moveAgain(checkpoint)
      this.#snapshotUntilMs = performance.now() + KEEP_SNAPSHOT_MS
      await session.writeCheckpoint(checkpoint, 'stream')
      session.event({ event: 'resumed', replOffset: checkpoint.nextReplOffset })
      this.#startAt(checkpoint.nextReplOffset, checkpoint.dbnum)
    }
    return await this.#stream()
  }

  /** Times are right in the target since the last run ended: they are touched only once it is sure
   * that the stream goes on. */
  async #moveAgain({ phase }: Checkpoint): Promise<void> {
    const session = this.#session
    try {
      while (!this.#feed.isContinued) {
        if (this.#spool.isEnded) throw this.#spool.fault ?? new AbortedError()
        await tick()
      }
    } catch (error) {
      if (phase === 'stopped') await session.expiry.leave()
      throw error
    }
    await session.expiry.moveAgain()
  }

  /** Nothing of the target is deleted before the source's snapshot is here, whole and readable. */
  async #emptyTarget(): Promise<void> {
    const session = this.#session
    const { signal } = session.options
    this.#feed.wantsSnapshot = true
    this.#feed.start(this.#settings, 'full')
    await this.#snapshotIsHere()
    await checkParts([singlePart(this.#spool.snapshotPath)], {
      signal,
      onProgress: (bytes, totalBytes) => session.progress({ phase: 'check', bytes, totalBytes }),
    })
    await session.emptyTarget()
  }

  async #snapshotIsHere(): Promise<void> {
    const spool = this.#spool
    while (!spool.hasSnapshot || this.#feed.wantsSnapshot) {
      if (spool.isEnded) throw spool.fault ?? new AbortedError()
      await spool.more()
    }
  }

  /** A new run begins now. One that goes on has what was received before in its spool. */
  async #checkUntil(): Promise<void> {
    if (this.#untilMs > Date.now()) return
    await this.#session.expiry.release()
    throw new UsageError('--until is past, and a live source begins with its state of now', {
      hint: 'an archive (rrep tail -o) can be replayed to a moment of the past',
    })
  }

  async close(): Promise<void> {
    await this.#feed.stop()
    if (this.#done) this.#spool.remove()
    else this.#spool.close()
  }

  /** Where the link begins, by what the target and the spool say. */
  #plan(checkpoint: Checkpoint | undefined): 'full' | ResumePoint {
    const spool = this.#spool
    if (spool.damage !== undefined) {
      const message = `${spool.damage}: what follows is asked of the source again`
      this.#session.event({ event: 'warning', message })
    }
    if (checkpoint === undefined) {
      this.#feed.wantsSnapshot = true
      return 'full'
    }
    const next = spool.nextReplOffset
    const covers =
      next >= 0 &&
      (spool.state.replid === checkpoint.replid || spool.state.source === this.#sourceName) &&
      spool.firstReplOffset <= checkpoint.nextReplOffset &&
      checkpoint.nextReplOffset <= next
    if (checkpoint.phase === 'load') {
      const snapshot = spool.state.snapshot
      if (!this.#mayReplace || !spool.hasSnapshot || snapshot === undefined || !covers) {
        throw interruptedLoad()
      }
      if (!spool.isSnapshotSound) {
        throw new FileError('ERR_SPOOL_DAMAGED', 'the snapshot in the spool is damaged', {
          hint: '--empty-target begins anew; --finish TARGET puts right what is there',
        })
      }
      this.#feed.snapshotReplOffset = snapshot.replOffset
    } else if (!covers) {
      spool.beginStream(checkpoint.replid, checkpoint.nextReplOffset)
    }
    return { replid: spool.state.replid, nextReplOffset: spool.nextReplOffset }
  }

  /** All keys that the load would meet are ours, or may go. */
  get #mayReplace(): boolean {
    return this.#session.targetWasEmpty || this.#session.options.onConflict === 'replace'
  }

  /** Writes the snapshot's keys; from the first one again where the target has lost some of them. */
  async #load(begunBefore: boolean): Promise<void> {
    const session = this.#session
    for (let again = begunBefore; ; again = true) {
      try {
        await this.#loadOnce(again)
        return
      } catch (error) {
        const isLoss = error instanceof TargetError && error.code === 'ERR_TARGET_RESTARTED'
        if (!isLoss || !this.#mayReplace) throw error
        session.dropSnapshot()
        this.#beginLoadAgain(error.message)
      }
    }
  }

  #beginLoadAgain(why: string): void {
    const session = this.#session
    session.event({ event: 'warning', message: `${why}; the snapshot is loaded again` })
    session.ledger.forgetKeys()
    session.ledger.note('times the snapshot was loaded again')
  }

  /** Waits for the snapshot, then writes its keys. */
  async #loadOnce(again: boolean): Promise<void> {
    const session = this.#session
    const spool = this.#spool
    await this.#snapshotIsHere()
    const replOffset = this.#feed.snapshotReplOffset
    const at = {
      source: this.#sourceName,
      replid: spool.state.replid,
      nextReplOffset: replOffset + 1,
      dbnum: 0,
    }
    await session.writeCheckpoint(at, 'load')
    if (this.#feed.snapshotMs > this.#untilMs) {
      session.event({
        event: 'warning',
        message: 'the source has made its snapshot after --until: what is written is of that time',
      })
    }
    session.event({ event: 'snapshot', replOffset, bytes: spool.state.snapshot?.bytes ?? 0 })
    const input = await openInput(spool.snapshotPath, { signal: session.options.signal })
    try {
      const flow = await SnapshotFlow.open(session, input, {
        name: 'the snapshot',
        replaceOwn: again,
        streamFollows: true,
        validate: !hasChecksum(input),
      })
      await flow.run({
        lag: () => this.#lag(),
        confirm: async ({ replDb }) => {
          if (session.ledger.conflicts > 0) await this.#refuseMixture()
          // A master that is a replica itself goes on in the db that its own master had selected.
          at.dbnum = replDb
          await session.writeCheckpoint(at, 'stream')
        },
      })
    } finally {
      input.close()
    }
    this.#snapshotUntilMs = performance.now() + KEEP_SNAPSHOT_MS
    this.#startAt(at.nextReplOffset, at.dbnum)
  }

  /** Commands of the stream on top of keys of somebody else's would make neither. */
  async #refuseMixture(): Promise<void> {
    const { ledger } = this.#session
    await this.#session.expiry.release()
    await this.#session.streamWriter!.deleteCheckpoint()
    this.#done = true
    throw new TargetError(
      'ERR_TARGET_CONFLICT',
      `${ledger.conflicts} keys exist in the target already; the stream is not played on top of them`,
      { hint: 'use --on-conflict replace or skip, or --empty-target' },
    )
  }

  #startAt(replOffset: number, db: number): void {
    this.#readReplOffset = replOffset
    this.#decodedReplOffset = replOffset
    this.#decoder.reset()
    this.#origin = replOffset - this.#decoder.consumedBytes
    this.#session.applier!.startAt(replOffset, db)
    this.#session.rules!.receivedMs = () => this.#spool.receivedMs(this.#decodedReplOffset)
  }

  /** Applies the stream until the end that was asked for, and ends. */
  async #stream(): Promise<ReplayOutcome> {
    for (;;) {
      try {
        const stopped = await this.#follow()
        this.#isEnding = true
        return await this.#finish(stopped)
      } catch (error) {
        if (!(error instanceof TargetRewound)) throw error
        await this.#rewind(error.checkpoint)
      }
    }
  }

  /** The target shows an earlier checkpoint than it had confirmed: goes on from there. */
  async #rewind(checkpoint: Checkpoint): Promise<void> {
    const session = this.#session
    const spool = this.#spool
    const { snapshot } = spool.state
    const isLoad = checkpoint.phase === 'load'
    const isHeld =
      spool.firstReplOffset <= checkpoint.nextReplOffset &&
      (!isLoad ||
        (this.#mayReplace &&
          spool.hasSnapshot &&
          snapshot?.replOffset === checkpoint.nextReplOffset - 1))
    if (!isHeld) {
      throw new TargetError(
        'ERR_TARGET_REWOUND',
        'the target has gone back to a state older than what is kept of the source',
        { hint: 'begin anew with --empty-target' },
      )
    }
    session.ledger.forgetPending()
    if (isLoad) {
      session.streamWriter!.rewind(checkpoint)
      this.#beginLoadAgain('the target has gone back to the middle of the load')
      this.#feed.snapshotReplOffset = checkpoint.nextReplOffset - 1
      await this.#load(true)
      return
    }
    session.event({
      event: 'warning',
      message: `the target has gone back to offset ${checkpoint.nextReplOffset}; going on from there`,
    })
    session.ledger.note('times the target had gone back')
    session.streamWriter!.rewind(checkpoint)
    if (checkpoint.phase !== 'stream') await session.expiry.moveAgain()
    this.#startAt(checkpoint.nextReplOffset, checkpoint.dbnum)
  }

  async #follow(): Promise<boolean> {
    const session = this.#session
    const writer = session.streamWriter!
    const spool = this.#spool
    const { signal } = session.options
    let lastSealMs = performance.now()
    let caughtUp = false
    let isQuiet = true
    for (;;) {
      if (signal?.aborted === true) return true
      // A failover at the source gives its history another name.
      if (writer.checkpoint !== undefined) writer.checkpoint.replid = spool.state.replid
      this.#tidySpool()
      const count = spool.read(this.#readReplOffset, this.#buffer)
      if (count > 0) {
        const reached = this.#apply(count)
        if (writer.current.frameCount > 0 || session.applier!.inTransaction) {
          isQuiet = false
        }
        if (reached) return false
        if (writer.isFull || session.isDry) session.applier!.seal()
        await writer.drain()
        await this.#pace(count)
        session.progress({ phase: 'stream', bytes: 0, totalBytes: undefined, ...this.#lag() })
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
          throw spool.fault ?? new LinkError('ERR_LINK_LOST', 'the link to the source has ended')
        }
        if (Date.now() > this.#untilMs) return false
        if (this.#isOver(isQuiet, true)) return false
      } else if (this.#isOver(false, false)) return false
      isQuiet = true
      await writer.drain()
      session.progress({ phase: 'stream', bytes: 0, totalBytes: undefined, ...this.#lag() })
      await Promise.race([spool.more(), writer.progress(), tick()])
    }
  }

  /** Decodes and applies so many bytes of the buffer. True: the offset asked for is reached. */
  #apply(count: number): boolean {
    const { applier } = this.#session
    const decoder = this.#decoder
    const limit = this.#untilReplOffset
    decoder.feed(this.#buffer, 0, count)
    this.#readReplOffset += count
    for (;;) {
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
        applier!.apply(decoder, next)
      }
      this.#decodedReplOffset = next
      if (next - 1 >= limit) return true
    }
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
      lagMs: isIdle ? 0 : this.#lag().lagMs,
      isQuiet: isQuiet && this.#readReplOffset >= this.#spool.nextReplOffset,
      appliedReplOffset: next - 1,
    })
  }

  /** How far the source has come; undefined where it does not say. */
  async #askSource(): Promise<number | undefined> {
    const control = await ControlClient.open(this.#settings, this.#session.options.signal)
    try {
      const info = await control.info('replication')
      return Number(info.get('master_repl_offset') ?? -1)
    } catch (error) {
      // Who may not ask must believe what has come.
      if (error instanceof LinkError || error instanceof AbortedError) throw error
      return undefined
    } finally {
      control.close()
    }
  }

  /** The checkpoint was written by a replay from another address: of the same history, where this
   * server was promoted since, or the addresses are two names of one server. */
  async #isSameHistory(found: Checkpoint): Promise<boolean> {
    if (!found.source.startsWith('server:') || found.replid === '') return false
    const control = await ControlClient.open(this.#settings, this.#session.options.signal)
    try {
      const info = await control.info('replication')
      if (info.get('master_replid') === found.replid) return true
      return (
        info.get('master_replid2') === found.replid &&
        Number(info.get('second_repl_offset') ?? -1) >= found.nextReplOffset
      )
    } catch (error) {
      if (error instanceof LinkError || error instanceof AbortedError) throw error
      return false
    } finally {
      control.close()
    }
  }

  /** What is old enough is let go of: the snapshot, for which a target may still ask that is thrown
   * back to the load, and the stream behind it. */
  #tidySpool(): void {
    if (this.#snapshotUntilMs > 0) {
      if (performance.now() < this.#snapshotUntilMs) return
      this.#snapshotUntilMs = 0
      this.#spool.dropSnapshot()
    }
    this.#spool.release(this.#session.streamWriter!.appliedReplOffset)
  }

  #lag(): { lagBytes: number; lagMs: number } {
    const applied = this.#session.streamWriter?.appliedReplOffset ?? -1
    const received = this.#spool.nextReplOffset
    if (applied < 0 || received <= applied) return { lagBytes: 0, lagMs: 0 }
    const receivedMs = this.#spool.receivedMs(applied)
    return {
      lagBytes: received - applied,
      lagMs: receivedMs < 0 ? 0 : Math.max(0, Date.now() - receivedMs),
    }
  }

  async #finish(stopped: boolean): Promise<ReplayOutcome> {
    const session = this.#session
    const writer = session.streamWriter!
    await this.#feed.stop()
    session.applier!.dropTransaction()
    session.applier!.seal()
    await this.#flush(stopped)
    const nextReplOffset = writer.appliedReplOffset
    const at = {
      source: this.#sourceName,
      replid: this.#spool.state.replid,
      nextReplOffset,
      dbnum: writer.appliedDb,
    }
    if (session.expiry.shiftMs !== 0) await session.writeCheckpoint(at, 'finishing')
    await session.expiry.release()
    if (!stopped && this.#endWatch !== undefined) {
      const same = this.#endWatch.isKnown && session.isCopy
      session.event({ event: 'synced', replOffset: nextReplOffset - 1, same })
    }
    if (stopped) {
      await session.writeCheckpoint(at, 'stopped')
      // What is not applied yet may be more than the source's backlog has at the next start.
      this.#done = this.#spool.nextReplOffset === nextReplOffset
    } else {
      if (!session.isDry) await writer.deleteCheckpoint()
      this.#done = true
    }
    return { replOffset: nextReplOffset - 1, stopped }
  }

  /** All that was sent is answered. A stop does not wait for a target that is away. */
  async #flush(stopped: boolean): Promise<void> {
    const writer = this.#session.streamWriter!
    let isDone = false
    const flushed = writer.flush().finally(() => (isDone = true))
    const settled = flushed.catch(() => undefined)
    for (let away = 0; !isDone; away = writer.isRecovering ? away + 1 : 0) {
      if (stopped && away > AWAY_TICKS)
        throw new AbortedError('interrupted, and the target is away')
      await Promise.race([settled, tick()])
    }
    await flushed
  }

  #spoolDirectory(): string {
    const { options, checkpointKey } = this.#session
    const target = formatServerAddress(options.target.address)
    // By the target alone: its checkpoint says of which source it is, whatever that is called now.
    return spoolDirectory(options.spoolDir, `live ${target} `, checkpointKey)
  }
}

async function tick(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, TICK_MS))
}
