/**
 * Replay from a live cluster: the snapshots of all shards, then their streams in one key space, until stopped
 * or until both are the same.
 *
 * The snapshots count only if no slot and no master moved while they were taken: then each key is in
 * exactly one of them, and all streams begin with the same owners.
 */
import { ProtocolError, TargetError, UsageError } from '../../../errors.js'
import { DEFAULT_RETRIES } from '../../../net/server-settings.js'
import { sleep } from '../../../net/waiting.js'
import { openInput } from '../../../source/source.js'
import type { Checkpoint } from '../../../target/checkpoint.js'
import { TargetRewound } from '../../../target/stream/stream-writer.js'
import { isSameTopology, mastersOf, SLOT_COUNT } from '../../../topology/cluster-nodes.js'
import { readCluster, refuseHoles, type ClusterSeeds } from '../../../topology/cluster.js'
import { slotSet } from '../../../topology/key-slot.js'
import { interruptedLoad } from '../files.js'
import { EndWatch } from '../live/end-watch.js'
import { tick } from '../live/spool-player.js'
import type { ReplayOutcome } from '../options.js'
import type { ReplaySession } from '../session.js'
import { SnapshotFlow } from '../snapshot-flow.js'
import { hasChecksum } from '../source-check.js'
import { ServerSink } from './server-sink.js'
import { ShardMerge } from './shard-merge.js'
import { parsePoints, type ShardPoint } from './shard-point.js'
import { ShardStreams } from './shard-streams.js'

/** While slots move, no set of snapshots counts. */
const SNAPSHOT_ATTEMPTS = 5
const IDLE_CHECKPOINT_MS = 1000
const LOOK_MS = 20

export async function replayShards(
  session: ReplaySession,
  seeds: ClusterSeeds,
): Promise<ReplayOutcome> {
  if (session.options.until !== undefined) {
    throw new UsageError('`until` is not for a live cluster: each shard has its own stream', {
      hint: 'keep it with `archiveCluster()`: its archive can be replayed to any moment',
    })
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
  #sink!: ServerSink
  #merge!: ShardMerge
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
    const { signal } = session.options
    const now = await readCluster(this.#seeds, signal)
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
    else await this.#begin()
    return await this.#stream()
  }

  async close(): Promise<void> {
    await this.#streams?.stop()
    this.#streams?.close(this.#isDone)
  }

  async #begin(): Promise<void> {
    if (this.#streams === undefined) await this.#snapshots()
    this.#prepare(0)
    await this.#load(false)
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
    await this.#untilOpen(points.size)
    this.#prepare(found.nextReplOffset)
    if (isLoad) {
      await this.#load(true)
      return
    }
    if (found.phase !== 'stream') {
      while (!this.#streams.isStreaming) await this.#look()
      await session.expiry.moveAgain()
    }
    for (const { lane } of this.#streams.all) lane.startAt(points.get(lane.id)!)
    this.#setOwners()
    this.#sink.startAt(found.nextReplOffset)
    await this.#sink.write('stream')
    session.event({ event: 'resumed', replOffset: undefined })
  }

  #follow(points: ReadonlyMap<string, ShardPoint> | undefined, isLoad: boolean): ShardStreams {
    return new ShardStreams({
      session: this.#session,
      seeds: this.#seeds,
      source: this.#source,
      points,
      isLoad,
    })
  }

  /** Of all shards, and of one topology. */
  async #snapshots(): Promise<void> {
    const session = this.#session
    const { signal } = session.options
    for (let attempt = 1; ; attempt += 1) {
      const before = await this.#settled()
      const masters = mastersOf(before)
      refuseHoles(this.#seeds, masters, 'single nodes can be replayed as servers')
      this.#streams = this.#follow(undefined, false)
      await this.#untilOpen(masters.length)
      const streams = this.#streams
      while (
        !streams.all.every(({ lane, feed }) => lane.spool.hasSnapshot && !feed.wantsSnapshot)
      ) {
        await this.#look()
      }
      const after = await readCluster(this.#seeds, signal)
      if (isSameTopology(before, after) && streams.all.length === masters.length) return
      await streams.stop()
      streams.close(true)
      this.#streams = undefined
      if (attempt >= SNAPSHOT_ATTEMPTS) throw moves()
      const message = 'slots or masters moved while the snapshots were taken: they are taken again'
      session.event({ event: 'warning', message })
    }
  }

  /** When no slot is open. */
  async #settled(): ReturnType<typeof readCluster> {
    const { signal, retries = DEFAULT_RETRIES } = this.#session.options
    for (let attempt = 0; ; attempt += 1) {
      const now = await readCluster(this.#seeds, signal)
      if (now.openSlots.length === 0) return now
      if (attempt >= 10 * Math.max(1, retries)) throw moves()
      await sleep(LOOK_MS * 10, signal)
    }
  }

  async #untilOpen(count: number): Promise<void> {
    while (this.#streams!.all.length < count) await this.#look()
  }

  async #look(): Promise<void> {
    this.#streams?.check()
    this.#session.checkAborted()
    await sleep(LOOK_MS, this.#session.options.signal)
  }

  #prepare(count: number): void {
    const session = this.#session
    const lanes = this.#streams!.all.map(({ lane }) => lane)
    this.#sink = new ServerSink(session, this.#source, lanes, count)
    const owners = new Int16Array(SLOT_COUNT).fill(-1)
    this.#merge = new ShardMerge({ sink: this.#sink, table: session.table, owners, lanes })
    const { untilSynced, untilQuiet } = session.options
    if (untilSynced !== true && untilQuiet !== true) return
    this.#endWatch = new EndWatch({
      until: untilQuiet === true ? 'quiet' : 'synced',
      askSource: async () => {
        this.#asked = await this.#streams!.ask()
        return 0
      },
    })
  }

  /** Whose each slot is, by what the cluster says now: who wrote to it last. */
  #setOwners(): void {
    const shards = this.#streams!.watch?.shards ?? []
    for (const { id, slots } of shards) this.#merge.own(id, slots)
  }

  async #load(begunBefore: boolean): Promise<void> {
    const session = this.#session
    const streams = this.#streams!
    const { shards } = streams.watch!
    for (const { lane, feed } of streams.all) {
      const { replid } = lane.spool.state
      const next = feed.snapshotReplOffset + 1
      lane.startAt({ replid, next, db: 0, held: [], gone: [], members: lane.members })
    }
    this.#setOwners()
    this.#sink.startAt(0)
    await this.#sink.write('load')
    for (const { lane } of streams.all) {
      const slots = shards.find(({ id }) => id === lane.id)?.slots ?? []
      const { snapshot } = lane.spool.state
      const replOffset = snapshot?.replOffset ?? 0
      session.event({ event: 'snapshot', replOffset, bytes: snapshot?.bytes ?? 0 })
      const input = await openInput(lane.spool.snapshotPath, { signal: session.options.signal })
      try {
        const flow = await SnapshotFlow.open(session, input, {
          name: 'the snapshot',
          replaceOwn: begunBefore,
          streamFollows: true,
          validate: !hasChecksum(input),
          slots: slotSet(slots),
        })
        await flow.run({ confirm: async () => await session.proveSnapshot() })
      } finally {
        input.close()
      }
      streams.check()
    }
    if (session.ledger.conflicts > 0) await this.#refuseMixture()
    await this.#sink.write('stream')
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
    for (const { lane } of this.#streams!.all) {
      const point = points.get(lane.id)
      if (point !== undefined) lane.startAt(point)
    }
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
      this.#addNew()
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
      const isIdle = !hasMoved && sink.isIdle && !sink.hasUnsent && !this.#merge.hasHeld
      if (!caughtUp && isIdle && streams.isStreaming) {
        caughtUp = true
        session.event({ event: 'caught-up', replOffset: undefined })
      }
      if (this.#isOver(isQuiet)) return false
      if (hasMoved) continue
      await Promise.race([sink.progress(), tick(), ...streams.all.map(({ lane }) => moreOf(lane))])
    }
  }

  /** Shards that came meanwhile. They have nothing of their own: what they get comes by migrations. */
  #addNew(): void {
    const streams = this.#streams!
    for (const { lane, feed } of streams.all) {
      if (this.#merge.lanes.includes(lane) || feed.wantsSnapshot || !lane.spool.hasSnapshot)
        continue
      const { replid } = lane.spool.state
      const next = feed.snapshotReplOffset + 1
      lane.startAt({ replid, next, db: 0, held: [], gone: [], members: lane.members })
      this.#merge.lanes.push(lane)
      const message = `a shard has come: ${lane.id}`
      this.#session.event({ event: 'warning', message })
    }
  }

  #isOver(isQuiet: boolean): boolean {
    const watch = this.#endWatch
    const streams = this.#streams!
    if (watch === undefined) return false
    if (!streams.isStreaming || this.#merge.hasHeld) {
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
      const wanted = [...lane.held.values()].reduce(
        (least, { from }) => Math.min(least, from),
        Infinity,
      )
      const least = Math.min(this.#sink.confirmed(lane), wanted)
      lane.spool.release(least)
      barriers.release(least)
    }
  }

  async #finish(stopped: boolean): Promise<ReplayOutcome> {
    const session = this.#session
    const sink = this.#sink
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

function moves(): ProtocolError {
  return new ProtocolError('ERR_CLUSTER_CHANGES', 'slots or masters move all the time', {
    retriable: true,
    hint: 'wait until the migration of slots is over',
  })
}
