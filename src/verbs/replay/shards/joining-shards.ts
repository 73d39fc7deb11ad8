/**
 * Shards that come while the others are played, or came while we were away. What one has it may have got
 * before it was followed. So it is taken as a whole: a snapshot while nothing moves, and once all others
 * are read up to where they were behind it, its slots are emptied in the target and loaded from it.
 * Then its stream is one of all.
 */
import type { SlotRanges } from '../../../topology/cluster-nodes.js'
import type { ClusterSeeds } from '../../../topology/cluster.js'
import type { ReplaySession } from '../session.js'
import type { Needs } from './barriers.js'
import type { ShardLane } from './shard-lane.js'
import type { ShardMerge } from './shard-merge.js'
import type { ShardStream, ShardStreams } from './shard-streams.js'
import { alwaysMoves, isStill, lookAt, slotsOfMembers, stillCluster } from './still-cluster.js'

export interface JoiningOptions {
  session: ReplaySession
  seeds: ClusterSeeds
  streams: ShardStreams
  merge: ShardMerge
  /** Empties the slots in the target and loads what the snapshot has of them. */
  load: (stream: ShardStream, slots: SlotRanges) => Promise<void>
  /** All is kept, the new one with the others. */
  save: () => Promise<void>
}

interface Join {
  readonly stream: ShardStream
  readonly slots: SlotRanges
  readonly needs: Needs
}

export class JoiningShards {
  readonly #options: JoiningOptions
  readonly #begun = new Set<ShardStream>()
  /** In the order in which their snapshots were taken. */
  readonly #ready: Join[] = []
  #fault: { error: unknown } | undefined

  constructor(options: JoiningOptions) {
    this.#options = options
  }

  /** Some are not played yet. */
  get isAny(): boolean {
    const { merge, streams } = this.#options
    return streams.all.length > merge.lanes.length
  }

  /** To be called while nothing is being played. */
  async look(): Promise<void> {
    const { streams, merge } = this.#options
    if (this.#fault !== undefined) throw this.#fault.error
    for (const stream of streams.all) {
      const { lane } = stream
      if (merge.lanes.includes(lane) || this.#begun.has(stream)) continue
      this.#begun.add(stream)
      this.#take(stream).catch((error: unknown) => (this.#fault ??= { error }))
    }
    const next = this.#ready[0]
    if (next === undefined) return
    const { stream, slots, needs } = next
    if (!stream.lane.isOver && !merge.isRead(needs)) return
    this.#ready.shift()
    await this.#adopt(stream, stream.lane.isOver ? [] : slots, needs)
  }

  async #take(stream: ShardStream): Promise<void> {
    const { session, seeds, streams } = this.#options
    const { lane } = stream
    const { options } = session
    const signal = streams.ending
    let isTold = false
    while (!lane.isOver) {
      const before = await stillCluster(seeds, { retries: options.retries, signal }).catch(passing)
      if (before === undefined) continue
      await streams.takeSnapshot(stream)
      if (hasEnded(lane)) break
      const after = await lookAt(seeds, { retries: options.retries, signal })
      if (isStill(before, after)) {
        const slots = slotsOfMembers(after, lane.members)
        this.#ready.push({ stream, slots, needs: await streams.ask() })
        return
      }
      if (isTold) continue
      isTold = true
      const message = `${alwaysMoves().message}: the shard ${lane.id}, which has come, waits for that`
      session.event({ event: 'warning', message })
    }
    this.#ready.push({ stream, slots: [], needs: {} })
  }

  async #adopt(stream: ShardStream, slots: SlotRanges, needs: Needs): Promise<void> {
    const { merge, load, save, session } = this.#options
    const { lane } = stream
    if (slots.length > 0) await load(stream, slots)
    const { replid, snapshot } = lane.spool.state
    const next = lane.isOver ? Math.max(0, lane.spool.nextReplOffset) : snapshot!.replOffset + 1
    const { members } = lane
    lane.startAt({ replid, next, db: 0, held: [], gone: [], owns: [], open: [], members })
    merge.join(lane, slots, needs)
    await save()
    session.event({ event: 'warning', message: `a shard has come: ${lane.id}` })
  }
}

/** What moves all the time is waited for. */
function passing(error: unknown): undefined {
  if ((error as { code?: string }).code === 'ERR_CLUSTER_CHANGES') return undefined
  throw error
}

/** It may have, while something was waited for. */
function hasEnded({ isOver }: ShardLane): boolean {
  return isOver
}
