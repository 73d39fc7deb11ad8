/**
 * The shards of a live cluster, each followed into a spool of its own for as long as there is such a shard:
 * through failovers, and those that come later from when they come.
 */
import { join } from 'node:path'
import { AbortedError, FileError, ProtocolError, type RrepError } from '../../../errors.js'
import { spoolDirectory } from '../../../disk/spool-directory.js'
import { formatServerAddress } from '../../../net/address.js'
import { DEFAULT_RETRIES, type ServerSettings } from '../../../net/server-settings.js'
import { Gate, sleep } from '../../../net/waiting.js'
import type { LostStream, ResumePoint } from '../../../replication/consumer.js'
import { SLOT_COUNT, type ClusterNodes, type SlotRanges } from '../../../topology/cluster-nodes.js'
import type { ClusterShard } from '../../../topology/cluster-shards.js'
import type { ClusterWatch } from '../../../topology/cluster-watch.js'
import type { ClusterSeeds } from '../../../topology/cluster.js'
import { followCluster } from '../../../topology/follow-cluster.js'
import { interruptedLoad } from '../interrupted-load.js'
import { SpoolFeed } from '../live/spool-feed.js'
import { StreamSpool } from '../live/stream-spool.js'
import type { ReplaySession } from '../session.js'
import { Arrivals } from './arrivals.js'
import { Barriers, type Needs } from './barriers.js'
import { ShardLane } from './shard-lane.js'
import { firstWanted, type ShardPoint } from './shard-point.js'

const BARRIERS_FILE = 'barriers.jsonl'
const ASK_AGAIN_MS = 200
const LOOK_MS = 20

export interface ShardStream {
  readonly lane: ShardLane
  readonly barriers: Barriers
  readonly arrivals: Arrivals
  readonly server: ServerSettings
  /** Undefined: nothing is asked of it yet, or it is no more. */
  feed: SpoolFeed | undefined
  /** Opens when it has another. */
  readonly hasFeed: Gate
}

export interface ShardStreamsOptions {
  session: ReplaySession
  seeds: ClusterSeeds
  source: string
  /** What the checkpoint says of each; undefined: all begin anew. */
  points: ReadonlyMap<string, ShardPoint> | undefined
  /** The first of them are loaded: their snapshots in the spools may be used again. */
  isLoad: boolean
  /** As the field. */
  takesAll: boolean
}

export class ShardStreams {
  readonly all: ShardStream[] = []
  watch: ClusterWatch | undefined
  fault: Error | undefined
  /** Takes back what a failover lost. */
  onLost: ((stream: ShardStream, lost: LostStream) => Promise<void>) | undefined
  /** Shards that come give their snapshot at once, not when somebody asks for it. */
  takesAll: boolean
  readonly #options: ShardStreamsOptions
  /** By slot, the number of its shard as the watch has them; -1: on the move. */
  readonly #settled = new Int16Array(SLOT_COUNT)
  #ownersOf: ClusterNodes | undefined
  readonly #end = new AbortController()
  readonly #running: Promise<void>

  constructor(options: ShardStreamsOptions) {
    this.#options = options
    this.takesAll = options.takesAll
    const { session, seeds, points } = options
    this.#running = followCluster(seeds, {
      known: [...(points ?? [])].map(([id, point]) => knownShard(id, point)),
      retries: session.options.retries ?? DEFAULT_RETRIES,
      end: this.#end.signal,
      onShard: (event) => {
        if (event.event !== 'master-changed') return
        const message = `${event.shard} leads a shard now that ${event.before} led`
        session.event({ event: 'link-lost', side: 'source', message })
      },
      onChange: (watch) => {
        if (this.watch === undefined) this.#openGone(watch)
        this.watch = watch
        for (const { lane } of this.all) {
          lane.members = watch.shards.find(({ id }) => id === lane.id)?.members ?? lane.members
        }
      },
      run: async (shard, server, ended) => await this.#follow(shard, server, ended),
    }).then(
      () => undefined,
      (error: unknown) => this.#fail(error),
    )
  }

  /** Throws why one of them ended. */
  check(): void {
    if (this.fault !== undefined) throw this.fault
  }

  get isStreaming(): boolean {
    return this.all.every(({ lane, feed }) => lane.isOver || feed?.isStreaming === true)
  }

  /** Fires when nothing more comes. */
  get ending(): AbortSignal {
    return this.#end.signal
  }

  /** All shards of the checkpoint are there, and all of the cluster. */
  get areOpen(): boolean {
    const { watch } = this
    if (watch === undefined) return false
    const ids = [...watch.shards.map(({ id }) => id), ...(this.#options.points?.keys() ?? [])]
    return ids.every((id) => this.all.some(({ lane }) => lane.id === id))
  }

  slotsOf(id: string): SlotRanges {
    return this.watch?.shards.find((shard) => shard.id === id)?.slots ?? []
  }

  /** Whose a slot is by what the cluster says, where it is not on the move. */
  settledOwner(slot: number): { shard: string; seenMs: number } | undefined {
    const { watch } = this
    if (watch === undefined) return undefined
    if (this.#ownersOf !== watch.nodes) {
      this.#ownersOf = watch.nodes
      this.#settled.fill(-1)
      for (const [index, { slots }] of watch.shards.entries()) {
        for (const [first, last] of slots) this.#settled.fill(index, first, last + 1)
      }
      for (const open of watch.nodes.openSlots) this.#settled[open] = -1
    }
    const shard = watch.shards[this.#settled[slot]!]
    return shard === undefined ? undefined : { shard: shard.id, seenMs: watch.seenMs }
  }

  /** Of one that gave none yet, or whose snapshot does not count. Resolves when it is there, or the shard
   * is no more. */
  async takeSnapshot(stream: ShardStream): Promise<void> {
    const { lane, server } = stream
    const before = stream.feed
    stream.feed = undefined
    await before?.stop()
    const feed = this.#begin(stream, server, 'full')
    while (!lane.isOver && (!lane.spool.hasSnapshot || feed.wantsSnapshot)) {
      this.check()
      if (lane.spool.fault !== undefined) throw lane.spool.fault
      await sleep(LOOK_MS, this.#end.signal)
    }
  }

  /** Nothing more comes. Resolves when all links have ended. */
  async stop(): Promise<void> {
    this.#end.abort()
    await this.#running
    await Promise.all(this.all.map(async ({ barriers }) => await barriers.settle()))
  }

  /** `done`: the spools are not needed any more. */
  close(done: boolean): void {
    for (const { lane, barriers } of this.all) {
      if (done) {
        barriers.remove()
        lane.spool.remove()
      } else lane.spool.close()
    }
  }

  /** Where all of them are now; one that is without a master is waited for. Rejects with AbortedError
   * when all is over. */
  async ask(): Promise<Needs> {
    for (;;) {
      const ids = this.watch?.shards.map(({ id }) => id) ?? []
      const found = (await this.watch?.replOffsets(ids)) ?? new Map<string, number>()
      if (ids.length > 0 && ids.every((id) => found.has(id))) return Object.fromEntries(found)
      await sleep(ASK_AGAIN_MS, this.#end.signal)
    }
  }

  async #follow(shard: ClusterShard, server: ServerSettings, ended: AbortSignal): Promise<void> {
    const known = this.all.find(({ lane }) => lane.id === shard.id)
    if (known !== undefined) {
      throw new ProtocolError(
        'ERR_CLUSTER_CHANGES',
        `the shard ${shard.id} was gone, and is back`,
        {
          hint: 'begin anew with `emptyTarget`',
        },
      )
    }
    const stream = this.#open(shard.id, shard.members, server)
    const { lane } = stream
    const start = this.#startOf(stream)
    this.all.push(stream)
    if (start !== undefined) this.#begin(stream, server, start)
    const stopped = new Promise<void>((resolve) => {
      ended.addEventListener('abort', () => resolve(), { once: true })
      if (ended.aborted) resolve()
    })
    for (let feed = stream.feed; ;) {
      await Promise.race([stopped, feed?.ended ?? stream.hasFeed.wait()])
      if (ended.aborted || feed === stream.feed) break
      feed = stream.feed
    }
    await stream.feed?.stop()
    if (this.#end.signal.aborted) return
    lane.isOver = true
    if (stream.feed === undefined) lane.spool.end()
    const { fault } = lane.spool
    if (fault !== undefined && !ended.aborted) throw fault
  }

  /** What was received of those that went while nobody looked. */
  #openGone({ shards, nodes }: ClusterWatch): void {
    for (const [id, { members }] of this.#options.points ?? []) {
      if (shards.some((shard) => shard.id === id)) continue
      const stream = this.#open(id, members, this.#options.seeds[0]!)
      this.#startOf(stream)
      stream.lane.isOver = true
      stream.lane.spool.end()
      this.all.push(stream)
      const isThere = nodes.nodes.some((node) => members.includes(node.id))
      const message = `the shard ${id} is ${isThere ? 'one no more' : 'gone'}`
      this.#options.session.event({ event: 'warning', message })
    }
  }

  #open(id: string, members: readonly string[], server: ServerSettings): ShardStream {
    const { session, source } = this.#options
    const { options, checkpointKey } = session
    // A cluster is called as it was asked for: who answers for it may be another at the next start.
    const { address } = options.intoCluster?.[0] ?? options.target
    const target = formatServerAddress(address)
    const directory = spoolDirectory(options.spoolDir, `live ${target} ${id} `, checkpointKey)
    const spool = new StreamSpool({ directory, source })
    const barriers = new Barriers(
      join(directory, BARRIERS_FILE),
      async () => await this.ask(),
      (error) => this.#fail(error),
    )
    const lane = new ShardLane({ id, spool, barriers, members })
    const arrivals = new Arrivals(spool, barriers)
    return { lane, barriers, arrivals, server, feed: undefined, hasFeed: new Gate() }
  }

  #begin(stream: ShardStream, server: ServerSettings, start: 'full' | ResumePoint): SpoolFeed {
    const { lane, arrivals } = stream
    const feed = new SpoolFeed(this.#options.session, lane.spool, {
      onBegin: () => arrivals.begin(),
      onReceived: (bytes, from, to) => arrivals.received(bytes, from, to),
      signal: this.#end.signal,
    })
    feed.wantsSnapshot = start === 'full'
    feed.onLost = async (lost) => {
      if (this.onLost !== undefined) await this.onLost(stream, lost)
      else lane.spool.cutBack(lost.fromReplOffset)
    }
    feed.start(server, start)
    stream.feed = feed
    stream.hasFeed.open()
    return feed
  }

  /** Undefined: nothing is asked of it yet. */
  #startOf({ lane, arrivals }: ShardStream): 'full' | ResumePoint | undefined {
    const { isLoad, points } = this.#options
    const { spool } = lane
    const point = points?.get(lane.id)
    if (point === undefined) return this.takesAll ? 'full' : undefined
    const wanted = firstWanted(point)
    const next = spool.nextReplOffset
    const covers = next >= 0 && spool.firstReplOffset <= wanted && wanted <= next
    if (isLoad) {
      if (!covers || spool.state.snapshot === undefined || !spool.hasSnapshot) {
        throw interruptedLoad()
      }
      if (!spool.isSnapshotSound) throw damaged()
    } else if (!covers) {
      spool.beginStream(point.replid, wanted)
    }
    arrivals.goOn(wanted)
    return { replid: spool.state.replid, nextReplOffset: spool.nextReplOffset }
  }

  #fail(error: unknown): void {
    if (error instanceof AbortedError && this.#end.signal.aborted) return
    this.fault ??= error instanceof Error ? error : new Error(String(error))
  }
}

function knownShard(id: string, { members, owns }: ShardPoint): ClusterShard {
  return { id, members, master: undefined, slots: owns ?? [] }
}

function damaged(): RrepError {
  return new FileError('ERR_SPOOL_DAMAGED', 'a snapshot in the spool is damaged', {
    hint: '`emptyTarget` begins anew; `finishReplay()` puts right what is there',
  })
}
