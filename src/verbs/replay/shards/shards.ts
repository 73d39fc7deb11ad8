/**
 * Replay from a live cluster: the snapshots of all shards, then their streams in one key space, until stopped
 * or until both are the same.
 *
 * The snapshots count only if no slot and no master moved while they were taken: then each key is in
 * exactly one of them, and all streams begin with the same owners.
 */
import { TargetError, UsageError } from '../../../errors.js'
import { sleep } from '../../../net/waiting.js'
import { openInput } from '../../../source/source.js'
import type { Checkpoint } from '../../../target/checkpoint.js'
import { TargetRewound } from '../../../target/stream/target-rewound.js'
import { mastersOf, SLOT_COUNT, type SlotRanges } from '../../../topology/cluster-nodes.js'
import { refuseHoles, type ClusterSeeds } from '../../../topology/cluster.js'
import { slotSet } from '../../../topology/key-slot.js'
import { loadIntoCluster } from '../into-cluster/load.js'
import { noNewShard } from '../cluster-target.js'
import { interruptedLoad } from '../interrupted-load.js'
import { EndWatch } from '../live/end-watch.js'
import { tick } from '../live/spool-player.js'
import type { ReplayOutcome } from '../options.js'
import type { ReplaySession } from '../session.js'
import { SnapshotFlow } from '../snapshot-flow.js'
import { hasChecksum } from '../source-check.js'
import { ClusterSink } from './sinks/cluster-sink.js'
import { ServerSink } from './sinks/server-sink.js'
import type { TargetSink } from './sinks/target-sink.js'
import { ShardMerge } from './shard-merge.js'
import { JoiningShards } from './joining-shards.js'
import { LostStreams } from './lost-streams.js'
import type { ShardLane } from './shard-lane.js'
import { parsePoints, type ShardPoint } from './shard-point.js'
import { ShardStreams, type ShardStream } from './shard-streams.js'
import {
  agreedCluster,
  alwaysMoves,
  isStill,
  lookAt,
  slotsOfMembers,
  stillCluster,
} from './still-cluster.js'

/** While slots move, no set of snapshots counts. */
const SNAPSHOT_ATTEMPTS = 5
const IDLE_CHECKPOINT_MS = 1000
const LOOK_MS = 20
/** What came so lately may not be in the target yet. */
const CAUGHT_UP_MS = 1000

export async function replayShards(
  session: ReplaySession,
  seeds: ClusterSeeds,
): Promise<ReplayOutcome> {
  if (session.options.until !== undefined) {
    throw new UsageError('`until` is not for a live cluster: each shard has its own stream', {
      hint: 'keep it with `archiveCluster()`: its archive can be replayed to any moment',
    })
  }
  if (session.options.rewriteKey !== undefined || session.options.transform !== undefined) {
    throw new UsageError(
      'the keys of a live cluster keep their names: their slots tell them apart',
      {
        hint: 'without `rewriteKey` and `transform`',
      },
    )
  }
  await session.meetTarget()
  const run = new ShardsReplay(session, seeds)
  try {
    return await run.run()
  } finally {
    await run.close()
  }
}

class ShardsReplay {
  readonly #session: ReplaySession
  readonly #seeds: ClusterSeeds
  #source = ''
  #streams: ShardStreams | undefined
  #sink!: TargetSink
  #merge!: ShardMerge
  #joining!: JoiningShards
  #lost: LostStreams | undefined
  /** At the begin. */
  readonly #slots = new Map<ShardLane, SlotRanges>()
  #endWatch: EndWatch | undefined
  /** What the source said at the end's question. */
  #asked: Readonly<Record<string, number>> = {}
  #isDone = false

  constructor(session: ReplaySession, seeds: ClusterSeeds) {
    this.#session = session
    this.#seeds = seeds
  }

  async run(): Promise<ReplayOutcome> {
    const session = this.#session
    const now = await agreedCluster(this.#seeds, session.options)
    const ids = new Set(now.nodes.map(({ id }) => id))
    this.#source = `cluster:${mastersOf(now)
      .map(({ id }) => id)
      .join(',')}`
    await session.expiry.hold()
    if (session.isToBeEmptied) {
      await this.#snapshots()
      await session.emptyTarget()
    }
    const found = await session.openStream(this.#source, false, async (checkpoint) =>
      Promise.resolve(isOf(checkpoint, ids)),
    )
    if (found !== undefined) await this.#resume(found)
    else {
      if (this.#streams === undefined) await this.#snapshots()
      this.#prepare(this.#streams!.all.map(({ lane }) => lane))
      await this.#load(false)
    }
    return await this.#stream()
  }

  async close(): Promise<void> {
    this.#lost?.end()
    await this.#streams?.stop()
    this.#streams?.close(this.#isDone)
  }

  async #resume(found: Checkpoint): Promise<void> {
    const session = this.#session
    session.resume(found)
    this.#source = found.source
    const points = parsePoints(found.shards ?? new Map())
    const isLoad = found.phase === 'load'
    const mayReplace = session.targetWasEmpty || session.options.onConflict === 'replace'
    if (points.size === 0 || (isLoad && !mayReplace)) throw interruptedLoad()
    this.#streams = this.#follow(points, isLoad)
    while (!this.#streams.areOpen) await this.#look()
    const streams = this.#streams.all.filter(({ lane }) => points.has(lane.id))
    this.#prepare(streams.map(({ lane }) => lane))
    for (const { lane } of streams) {
      const { owns } = points.get(lane.id)!
      this.#slots.set(lane, owns ?? this.#streams.slotsOf(lane.id))
    }
    if (isLoad) {
      await this.#load(true)
      return
    }
    this.#goOn(points)
    this.#sink.startAt(found.nextReplOffset)
    if (found.phase !== 'stream') {
      while (!this.#streams.isStreaming) {
        await this.#lost?.look()
        await this.#look()
      }
      await session.expiry.moveAgain()
    }
    await this.#sink.write('stream')
    session.event({ event: 'resumed', replOffset: undefined })
  }

  /** Each lane where its point says. */
  #goOn(points: ReadonlyMap<string, ShardPoint>): void {
    const { lanes, owners } = this.#merge
    for (const [index, lane] of lanes.entries()) {
      const point = points.get(lane.id)
      if (point === undefined) continue
      lane.startAt(point)
      for (const [first, last] of point.owns ?? this.#slots.get(lane) ?? []) {
        owners.fill(index, first, last + 1)
      }
    }
    this.#merge.openSlots.noteLeft()
  }

  #follow(points: ReadonlyMap<string, ShardPoint> | undefined, isLoad: boolean): ShardStreams {
    return new ShardStreams({
      session: this.#session,
      seeds: this.#seeds,
      source: this.#source,
      points,
      isLoad,
      takesAll: points === undefined,
    })
  }

  /** Of all shards, while nothing moves. */
  async #snapshots(): Promise<void> {
    const session = this.#session
    const { options } = session
    for (let attempt = 1; ; attempt += 1) {
      const before = await stillCluster(this.#seeds, options)
      const masters = mastersOf(before.nodes)
      refuseHoles(this.#seeds, masters, 'single nodes can be replayed as servers')
      const streams = (this.#streams = this.#follow(undefined, false))
      while (!streams.areOpen || !streams.all.every(hasSnapshot)) await this.#look()
      const after = await lookAt(this.#seeds, options)
      if (isStill(before, after)) {
        streams.takesAll = false
        for (const { lane } of streams.all)
          this.#slots.set(lane, slotsOfMembers(after, lane.members))
        return
      }
      await streams.stop()
      streams.close(true)
      this.#streams = undefined
      if (attempt >= SNAPSHOT_ATTEMPTS) throw alwaysMoves()
      const message = 'slots or masters moved while the snapshots were taken: they are taken again'
      session.event({ event: 'warning', message })
    }
  }

  async #look(): Promise<void> {
    this.#streams?.check()
    this.#session.checkAborted()
    await sleep(LOOK_MS, this.#session.options.signal)
  }

  #prepare(lanes: ShardLane[]): void {
    const session = this.#session
    const seeds = this.#seeds
    const streams = this.#streams!
    const owners = new Int16Array(SLOT_COUNT).fill(-1)
    const Sink = session.options.intoCluster === undefined ? ServerSink : ClusterSink
    const sink = (this.#sink = new Sink(session, this.#source, { lanes, owners }))
    const settledOwner = (slot: number) => streams.settledOwner(slot)
    this.#merge = new ShardMerge({ sink, table: session.table, owners, lanes, settledOwner })
    this.#joining = new JoiningShards({
      ...{ session, seeds, streams, merge: this.#merge },
      load: async (stream, slots) => {
        if (session.options.intoCluster !== undefined) throw noNewShard(stream.lane.id)
        await sink.deleteSlots(slots)
        await this.#loadShard(stream.lane, slots, true)
      },
      save: async () => await sink.save(),
    })
    const lost = (this.#lost = new LostStreams({ session, streams, sink, owners, lanes }))
    streams.onLost = async (stream, from) => await lost.takeBack(stream, from)
    const { untilSynced, untilQuiet } = session.options
    if (untilSynced !== true && untilQuiet !== true) return
    this.#endWatch = new EndWatch({
      until: untilQuiet === true ? 'quiet' : 'synced',
      askSource: async () => {
        this.#asked = await streams.ask()
        return 0
      },
    })
  }

  async #load(begunBefore: boolean): Promise<void> {
    const session = this.#session
    const { lanes } = this.#merge
    this.#lost!.isLoading = true
    for (const lane of lanes) {
      const { replid, snapshot } = lane.spool.state
      const next = snapshot!.replOffset + 1
      const { members } = lane
      lane.startAt({ replid, next, db: 0, held: [], gone: [], owns: [], open: [], members })
    }
    for (const lane of lanes) this.#merge.own(lane.id, this.#slots.get(lane) ?? [])
    this.#sink.startAt(0)
    await this.#sink.write('load')
    for (const lane of lanes) {
      await this.#loadShard(lane, this.#slots.get(lane) ?? [], begunBefore)
      this.#streams!.check()
    }
    if (session.ledger.conflicts > 0) await this.#refuseMixture()
    this.#lost!.isLoading = false
    await this.#sink.write('stream')
  }

  async #loadShard(lane: ShardLane, slots: SlotRanges, replaceOwn: boolean): Promise<void> {
    const session = this.#session
    const { snapshot } = lane.spool.state
    const replOffset = snapshot?.replOffset ?? 0
    session.event({ event: 'snapshot', replOffset, bytes: snapshot?.bytes ?? 0 })
    const { intoCluster } = session.options
    if (intoCluster !== undefined) {
      const load = { path: lane.spool.snapshotPath, name: 'the snapshot', replaceOwn, slots }
      await loadIntoCluster(session, intoCluster, load)
      return
    }
    const input = await openInput(lane.spool.snapshotPath, { signal: session.options.signal })
    try {
      const flow = await SnapshotFlow.open(session, input, {
        name: 'the snapshot',
        replaceOwn,
        streamFollows: true,
        validate: !hasChecksum(input),
        slots: slotSet(slots),
      })
      await flow.run({ confirm: async () => await session.proveSnapshot() })
    } finally {
      input.close()
    }
  }

  async #refuseMixture(): Promise<void> {
    const { ledger, expiry, streamWriter } = this.#session
    await expiry.release()
    await streamWriter!.deleteCheckpoint()
    this.#isDone = true
    throw new TargetError(
      'ERR_TARGET_CONFLICT',
      `${ledger.conflicts} keys exist in the target already; the streams are not played on top of them`,
      { hint: "use `onConflict: 'replace'` or `onConflict: 'skip'`, or `emptyTarget`" },
    )
  }

  async #stream(): Promise<ReplayOutcome> {
    for (;;) {
      try {
        return await this.#finish(await this.#play())
      } catch (error) {
        if (!(error instanceof TargetRewound)) throw error
        await this.#rewind(error.checkpoint)
      }
    }
  }

  /** The target shows an earlier checkpoint than it had confirmed: goes on from there. */
  async #rewind(checkpoint: Checkpoint): Promise<void> {
    const session = this.#session
    const points = parsePoints(checkpoint.shards ?? new Map())
    if (checkpoint.phase === 'load' || points.size === 0) {
      throw new TargetError(
        'ERR_TARGET_REWOUND',
        'the target has gone back to before the streams',
        {
          hint: 'begin anew with `emptyTarget`',
        },
      )
    }
    session.ledger.forgetPending()
    session.ledger.note('times the target had gone back')
    session.streamWriter!.rewind(checkpoint)
    if (checkpoint.phase !== 'stream') await session.expiry.moveAgain()
    this.#goOn(points)
    this.#sink.startAt(checkpoint.nextReplOffset)
  }

  /** Until the end that was asked for; true: stopped by the user. */
  async #play(): Promise<boolean> {
    const session = this.#session
    const streams = this.#streams!
    const sink = this.#sink
    const { signal } = session.options
    let caughtUp = false
    let sealedMs = performance.now()
    for (;;) {
      if (signal?.aborted === true) return true
      streams.check()
      await this.#lost?.look()
      await this.#joining.look()
      this.#merge.openSlots.look(async () => await streams.ask())
      const hasMoved = await this.#merge.turn()
      const isQuiet = !sink.hasUnsent
      const nowMs = performance.now()
      if (sink.isIdle && (sink.hasUnsent || nowMs - sealedMs > IDLE_CHECKPOINT_MS)) {
        sink.seal()
        sealedMs = nowMs
      }
      this.#tidy()
      session.progress({
        phase: 'stream',
        done: 0,
        total: undefined,
        unit: 'bytes',
        ...this.#lag(),
      })
      if (!caughtUp && streams.isStreaming && this.#lag().lagMs < CAUGHT_UP_MS) {
        caughtUp = true
        session.event({ event: 'caught-up', replOffset: undefined })
      }
      if (this.#isOver(isQuiet)) return false
      if (hasMoved) continue
      await Promise.race([sink.progress(), tick(), ...streams.all.map(({ lane }) => moreOf(lane))])
    }
  }

  #isOver(isQuiet: boolean): boolean {
    const watch = this.#endWatch
    const streams = this.#streams!
    if (watch === undefined) return false
    const isBusy = this.#merge.hasHeld || this.#joining.isAny || this.#lost!.isAny
    if (!streams.isStreaming || isBusy) {
      watch.restart()
      return false
    }
    const covers = streams.all.every(
      ({ lane }) => lane.isOver || this.#sink.confirmed(lane) > (this.#asked[lane.id] ?? 0),
    )
    const hasAll = streams.all.every(({ lane }) => lane.at >= lane.spool.nextReplOffset)
    return watch.look({
      nowMs: performance.now(),
      lagMs: this.#lag().lagMs,
      isQuiet: isQuiet && hasAll,
      appliedReplOffset: covers ? 0 : -1,
    })
  }

  #lag(): { lagBytes: number; lagMs: number } {
    let lagBytes = 0
    let lagMs = 0
    for (const { lane } of this.#streams!.all) {
      const confirmed = this.#sink.confirmed(lane)
      const received = lane.spool.nextReplOffset
      if (received <= confirmed) continue
      const receivedMs = lane.spool.receivedMs(confirmed)
      lagBytes += received - confirmed
      if (receivedMs >= 0) lagMs = Math.max(lagMs, Date.now() - receivedMs)
    }
    return { lagBytes, lagMs }
  }

  #tidy(): void {
    for (const { lane, barriers } of this.#streams!.all) {
      let wanted = Infinity
      for (const [, { from }] of lane.held.entries()) wanted = Math.min(wanted, from)
      const least = Math.min(this.#sink.kept(lane), wanted)
      lane.spool.release(least)
      barriers.release(least)
    }
  }

  async #finish(stopped: boolean): Promise<ReplayOutcome> {
    const session = this.#session
    const sink = this.#sink
    this.#lost?.end()
    await this.#streams!.stop()
    await sink.flush()
    if (session.expiry.shiftMs !== 0) await sink.write('finishing')
    await session.expiry.release()
    if (stopped) await sink.write('stopped')
    else {
      if (this.#endWatch !== undefined) {
        session.event({ event: 'synced', replOffset: undefined, same: session.isCopy })
      }
      if (!session.isDry) await session.streamWriter!.deleteCheckpoint()
      this.#isDone = true
    }
    return { replOffset: undefined, stopped }
  }
}

async function moreOf(lane: { spool: { more(): Promise<void>; isEnded: boolean } }): Promise<void> {
  if (lane.spool.isEnded) await tick()
  else await lane.spool.more()
}

/** One of its shards is one of ours. */
function isOf({ shards, source }: Checkpoint, ids: ReadonlySet<string>): boolean {
  if (!source.startsWith('cluster:')) return false
  return [...parsePoints(shards ?? new Map()).values()].some(({ members }) =>
    members.some((id) => ids.has(id)),
  )
}

function hasSnapshot({ lane, feed }: ShardStream): boolean {
  return lane.spool.hasSnapshot && feed?.wantsSnapshot === false
}
