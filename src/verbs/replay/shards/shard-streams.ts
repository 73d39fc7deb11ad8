/**
 * The shards of a live cluster, each followed into a spool of its own for as long as there is such a shard:
 * through failovers, and those that come later from when they come.
 */
import { join } from 'node:path'
import { AbortedError, FileError, ProtocolError, type RrepError } from '../../../errors.js'
import { spoolDirectory } from '../../../disk/spool-directory.js'
import { formatServerAddress } from '../../../net/address.js'
import { DEFAULT_RETRIES, type ServerSettings } from '../../../net/server-settings.js'
import { sleep } from '../../../net/waiting.js'
import type { ResumePoint } from '../../../replication/consumer.js'
import type { ClusterShard } from '../../../topology/cluster-shards.js'
import type { ClusterWatch } from '../../../topology/cluster-watch.js'
import type { ClusterSeeds } from '../../../topology/cluster.js'
import { followCluster } from '../../../topology/follow-cluster.js'
import { interruptedLoad } from '../files.js'
import { SpoolFeed } from '../live/spool-feed.js'
import { StreamSpool } from '../live/stream-spool.js'
import type { ReplaySession } from '../session.js'
import { Arrivals } from './arrivals.js'
import { Barriers, type Needs } from './barriers.js'
import { ShardLane } from './shard-lane.js'
import { firstWanted, type ShardPoint } from './shard-point.js'

const BARRIERS_FILE = 'barriers.jsonl'
const ASK_AGAIN_MS = 200
/** A shard whose master went down has another after some seconds; it is asked then. */
const ASK_ATTEMPTS = 100

export interface ShardStream {
  readonly lane: ShardLane
  readonly feed: SpoolFeed
  readonly barriers: Barriers
}

export interface ShardStreamsOptions {
  session: ReplaySession
  seeds: ClusterSeeds
  source: string
  /** What the checkpoint says of each; undefined: all begin anew. */
  points: ReadonlyMap<string, ShardPoint> | undefined
  /** The first of them are loaded: their snapshots in the spools may be used again. */
  isLoad: boolean
}

export class ShardStreams {
  readonly all: ShardStream[] = []
  watch: ClusterWatch | undefined
  fault: Error | undefined
  readonly #options: ShardStreamsOptions
  readonly #end = new AbortController()
  readonly #running: Promise<void>

  constructor(options: ShardStreamsOptions) {
    this.#options = options
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
    return this.all.every(({ lane, feed }) => lane.isOver || feed.isStreaming)
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

  /** Where all of them are now. Rejects with AbortedError when all is over. */
  async ask(): Promise<Needs> {
    for (let attempt = 0; ; attempt += 1) {
      const watch = this.watch
      const ids = watch?.shards.map(({ id }) => id) ?? []
      const found = (await watch?.replOffsets(ids)) ?? new Map<string, number>()
      if ((found.size === ids.length && ids.length > 0) || attempt >= ASK_ATTEMPTS) {
        return Object.fromEntries(found)
      }
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
    const stream = this.#open(shard, server)
    this.all.push(stream)
    const stopped = new Promise<void>((resolve) => {
      ended.addEventListener('abort', () => resolve(), { once: true })
      if (ended.aborted) resolve()
    })
    await Promise.race([stream.feed.ended, stopped])
    await stream.feed.stop()
    if (this.#end.signal.aborted) return
    stream.lane.isOver = true
    const { fault } = stream.lane.spool
    if (fault !== undefined && !ended.aborted) throw fault
  }

  #open(shard: ClusterShard, server: ServerSettings): ShardStream {
    const { session, source, points } = this.#options
    const { options, checkpointKey } = session
    const target = formatServerAddress(options.target.address)
    const directory = spoolDirectory(options.spoolDir, `live ${target} ${shard.id} `, checkpointKey)
    const spool = new StreamSpool({ directory, source })
    const barriers = new Barriers(
      join(directory, BARRIERS_FILE),
      async () => await this.ask(),
      (error) => this.#fail(error),
    )
    const { id, members } = shard
    const lane = new ShardLane({ id, spool, barriers, members })
    const arrivals = new Arrivals(spool, barriers)
    const feed = new SpoolFeed(session, spool, {
      onBegin: () => arrivals.begin(),
      onReceived: (bytes, start, end) => arrivals.received(bytes, start, end),
      signal: this.#end.signal,
    })
    const start = this.#startOf(points?.get(id), lane, feed, arrivals)
    feed.start(server, start)
    return { lane, feed, barriers }
  }

  #startOf(
    point: ShardPoint | undefined,
    { spool }: ShardLane,
    feed: SpoolFeed,
    arrivals: Arrivals,
  ): 'full' | ResumePoint {
    const { isLoad } = this.#options
    if (point === undefined) {
      feed.wantsSnapshot = true
      return 'full'
    }
    const wanted = firstWanted(point)
    const next = spool.nextReplOffset
    const covers = next >= 0 && spool.firstReplOffset <= wanted && wanted <= next
    if (isLoad) {
      const { snapshot } = spool.state
      if (!covers || snapshot === undefined || !spool.hasSnapshot) throw interruptedLoad()
      if (!spool.isSnapshotSound) throw damaged()
      feed.snapshotReplOffset = snapshot.replOffset
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

function knownShard(id: string, { members }: ShardPoint): ClusterShard {
  return { id, members, master: undefined, slots: [] }
}

function damaged(): RrepError {
  return new FileError('ERR_SPOOL_DAMAGED', 'a snapshot in the spool is damaged', {
    hint: '`emptyTarget` begins anew; `finishReplay()` puts right what is there',
  })
}
