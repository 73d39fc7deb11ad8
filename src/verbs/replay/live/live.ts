/**
 * Replay from a live server: its snapshot, then its stream, until stopped or until both are the
 * same.
 *
 * The link writes into the spool at full speed and never waits for the target. The snapshot is
 * loaded once it is whole and checked, so that a link lost in its midst leaves nothing in the
 * target. Everything behind it goes by transactions that carry the checkpoint; a run that was
 * killed goes on from there, with what the spool holds and by a partial resync behind it.
 */
import { AbortedError, FileError, TargetError, UsageError } from '../../../errors.js'
import { formatServerAddress } from '../../../net/address.js'
import type { ServerSettings } from '../../../net/server-settings.js'
import type { Checkpoint } from '../../../target/checkpoint.js'
import { spoolDirectory } from '../../../disk/spool-directory.js'
import { StreamSpool } from './stream-spool.js'
import { TargetRewound } from '../../../target/stream/target-rewound.js'
import type { ResumePoint } from '../../../replication/consumer.js'
import { interruptedLoad } from '../interrupted-load.js'
import type { ReplayOutcome } from '../options.js'
import { singlePart } from '../parts.js'
import type { ReplaySession } from '../session.js'
import { loadIntoCluster, type ClusterLoad } from '../into-cluster/load.js'
import { SnapshotFlow } from '../snapshot-flow.js'
import { checkParts, hasChecksum } from '../source-check.js'
import { announce } from '../../../serving/announce/announcement.js'
import { openInput } from '../../../source/source.js'
import { EndWatch } from './end-watch.js'
import { askSource, isSameHistory } from './source-history.js'
import { SpoolFeed } from './spool-feed.js'
import { SpoolPlayer, tick } from './spool-player.js'

/** A stop waits so many ticks for a target that is away. */
const AWAY_TICKS = 12

export async function replayLive(session: ReplaySession): Promise<ReplayOutcome> {
  const { source } = session.options
  if (source.kind !== 'server') throw new UsageError('not a server')
  await session.meetTarget()
  const announced = await announce(source.server, {
    announce: session.options.announce,
    signal: session.options.signal,
    onWarning: (message) => session.event({ event: 'warning', message }),
  })
  const run = new LiveReplay(session, announced.server)
  try {
    return await run.run()
  } finally {
    await run.close()
    await announced.close()
  }
}

class LiveReplay {
  readonly #session: ReplaySession
  readonly #settings: ServerSettings
  readonly #sourceName: string
  readonly #spool: StreamSpool
  readonly #feed: SpoolFeed
  readonly #player: SpoolPlayer
  /** See SpoolPlayerOptions. */
  readonly #untilMs: number
  readonly #endWatch: EndWatch | undefined
  #done = false
  /** Nothing of the stream is in the target. */
  #isLoading = true

  constructor(session: ReplaySession, settings: ServerSettings) {
    this.#session = session
    this.#settings = settings
    const { until } = session.options
    this.#untilMs = until !== undefined && 'unixMs' in until ? until.unixMs : Infinity
    const { untilSynced, untilQuiet } = session.options
    this.#endWatch =
      untilSynced === true || untilQuiet === true
        ? new EndWatch({
            until: untilQuiet === true ? 'quiet' : 'synced',
            askSource: async () => await askSource(settings, session.options.signal),
          })
        : undefined
    this.#sourceName = `server:${formatServerAddress(settings.address)}`
    this.#spool = new StreamSpool({
      directory: this.#spoolDirectory(),
      source: this.#sourceName,
    })
    this.#feed = new SpoolFeed(session, this.#spool)
    this.#player = new SpoolPlayer({
      session,
      spool: this.#spool,
      feed: this.#feed,
      endWatch: this.#endWatch,
      untilMs: this.#untilMs,
      untilReplOffset: until !== undefined && 'offset' in until ? until.offset : Infinity,
    })
  }

  async run(): Promise<ReplayOutcome> {
    const session = this.#session
    this.#feed.onLost = async (lost) => {
      if (!this.#isLoading) await this.#player.takeBack(lost)
      else this.#spool.cutBack(lost.fromReplOffset)
    }
    await session.expiry.hold()
    if (session.isToBeEmptied) await this.#emptyTarget()
    const checkpoint = await session.openStream(
      this.#sourceName,
      true,
      async (found) => await isSameHistory(found, this.#settings, session.options.signal),
    )
    this.#beforeRepair(checkpoint)
    if (checkpoint !== undefined) session.resume(checkpoint)
    else await this.#checkUntil()
    this.#isLoading = checkpoint === undefined || checkpoint.phase === 'load'
    if (!session.isToBeEmptied) this.#feed.start(this.#settings, this.#plan(checkpoint))
    if (checkpoint === undefined || checkpoint.phase === 'load') {
      await this.#load(checkpoint !== undefined)
    } else {
      if (checkpoint.phase !== 'stream') await this.#moveAgain(checkpoint)
      this.#player.keepSnapshot()
      await session.writeCheckpoint(checkpoint, 'stream')
      session.event({ event: 'resumed', replOffset: checkpoint.nextReplOffset })
      this.#player.startAt(checkpoint.nextReplOffset, checkpoint.dbnum)
      const { repair } = this.#spool.state
      if (repair !== undefined) this.#player.repairAgain(repair)
    }
    return await this.#stream()
  }

  /** A run that was killed while it took back what a failover lost: the spool was there before the target. */
  #beforeRepair(checkpoint: Checkpoint | undefined): void {
    const { repair } = this.#spool.state
    if (checkpoint === undefined || repair === undefined) return
    const { fromReplOffset, dbnum } = repair
    const isCut = this.#spool.nextReplOffset === fromReplOffset
    if (!isCut || checkpoint.nextReplOffset <= fromReplOffset) return
    Object.assign(checkpoint, { nextReplOffset: fromReplOffset, dbnum })
  }

  /** Times are right in the target since the last run ended: they are touched only once it is sure
   * that the stream goes on. */
  async #moveAgain({ phase }: Checkpoint): Promise<void> {
    const session = this.#session
    try {
      while (!this.#feed.isContinued && !this.#player.isToTakeBack) {
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
      onProgress: (done, total) => session.progress({ phase: 'check', done, total, unit: 'bytes' }),
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
    throw new UsageError('`until` is past, and a live source begins with its state of now', {
      hint: 'an archive (`archive()`) can be replayed to a moment of the past',
    })
  }

  async close(): Promise<void> {
    this.#player.end()
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
          hint: '`emptyTarget` begins anew; `finishReplay()` puts right what is there',
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
        message: 'the source has made its snapshot after `until`: what is written is of that time',
      })
    }
    session.event({ event: 'snapshot', replOffset, bytes: spool.state.snapshot?.bytes ?? 0 })
    const confirm = async ({ replDb }: Pick<SnapshotFlow, 'replDb'>): Promise<void> => {
      if (session.ledger.conflicts > 0) await this.#refuseMixture()
      // A master that is a replica itself goes on in the db that its own master had selected.
      at.dbnum = replDb
      await session.writeCheckpoint(at, 'stream')
    }
    const lag = (): { lagBytes: number; lagMs: number } => this.#player.lag
    const load = { path: spool.snapshotPath, name: 'the snapshot', replaceOwn: again, lag }
    if (session.options.intoCluster !== undefined) {
      await confirm(await loadIntoCluster(session, session.options.intoCluster, load))
    } else await this.#loadServer(load, confirm)
    this.#player.keepSnapshot()
    this.#player.startAt(at.nextReplOffset, at.dbnum)
    this.#isLoading = false
  }

  async #loadServer(
    { path, name, replaceOwn, lag }: ClusterLoad,
    confirm: (flow: SnapshotFlow) => Promise<void>,
  ): Promise<void> {
    const session = this.#session
    const input = await openInput(path, { signal: session.options.signal })
    try {
      const flow = await SnapshotFlow.open(session, input, {
        name,
        replaceOwn,
        streamFollows: true,
        validate: !hasChecksum(input),
      })
      await flow.run({ lag, confirm })
    } finally {
      input.close()
    }
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
      { hint: "use `onConflict: 'replace'` or `onConflict: 'skip'`, or `emptyTarget`" },
    )
  }

  /** Applies the stream until the end that was asked for, and ends. */
  async #stream(): Promise<ReplayOutcome> {
    for (;;) {
      try {
        return await this.#finish(await this.#player.follow())
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
        { hint: 'begin anew with `emptyTarget`' },
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
    this.#player.startAt(checkpoint.nextReplOffset, checkpoint.dbnum)
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
      this.#done =
        this.#spool.nextReplOffset === nextReplOffset && this.#spool.state.repair === undefined
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
    // A cluster is called as it was asked for: who answers for it may be another at the next start.
    const { address } = options.intoCluster?.[0] ?? options.target
    const target = formatServerAddress(address)
    // By the target alone: its checkpoint says of which source it is, whatever that is called now.
    return spoolDirectory(options.spoolDir, `live ${target} `, checkpointKey)
  }
}
