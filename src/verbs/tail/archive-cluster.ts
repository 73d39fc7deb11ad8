/**
 * `tail --cluster -o`: an archive for each shard of a cluster, side by side, and beside them who owned
 * which slots when. Each shard is followed through failovers by partial resync, the shards that come are
 * kept from then on, and a run that is started again goes on in all of them.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  ClusterRecorder,
  directoryOf,
  NODES_FILE,
  readClusterRecord,
  type ClusterRecord,
} from '../../archive/cluster-record.js'
import { errnoOf, fileError } from '../../disk/file-error.js'
import { Lock } from '../../disk/lock.js'
import { AbortedError, FileError, UsageError } from '../../errors.js'
import { DEFAULT_RETRIES } from '../../net/server-settings.js'
import type { ClusterShard } from '../../topology/cluster-shards.js'
import type { ClusterWatch } from '../../topology/cluster-watch.js'
import { clusterSeeds, nameOfCluster, type ClusterSeeds } from '../../topology/cluster.js'
import { addressOf, followCluster } from '../../topology/follow-cluster.js'
import { archiveCall, type OpenArchive } from './archive.js'
import { LOCK_FILE } from './place.js'
import { Handovers } from './handovers.js'
import { TopologyNotes } from './topology-notes.js'
import type {
  ArchiveClusterOptions,
  ArchiveClusterProgress,
  ArchiveClusterResult,
  ArchiveEvent,
  ArchiveProgress,
  ArchiveResult,
} from './options.js'

/**
 * Resolves when `durationMs` is over. Rejects as `archive` does for any of the shards, when all have
 * ended tidily; as `readCluster` where there is no cluster; and with UsageError where the directory was
 * kept from another one.
 */
export async function archiveCluster(
  source: string | ClusterSeeds,
  options: ArchiveClusterOptions,
): Promise<ArchiveClusterResult> {
  const seeds = typeof source === 'string' ? clusterSeeds(source) : source
  const { dir, signal } = options
  if (signal?.aborted === true) throw new AbortedError()
  const known = readClusterRecord(dir)
  if (known === undefined) refuseForeign(dir)
  try {
    mkdirSync(dir, { mode: 0o700 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw fileError(dir, 'create', error)
  }
  const lock = Lock.take(join(dir, LOCK_FILE), { what: dir })
  try {
    return await new ClusterArchiveRun(seeds, options).run()
  } finally {
    lock.release()
  }
}

class ClusterArchiveRun {
  readonly #seeds: ClusterSeeds
  readonly #options: ArchiveClusterOptions
  readonly #recorder: ClusterRecorder
  readonly #handovers: Handovers
  readonly #known: readonly ClusterShard[]
  readonly #progress = new Map<string, ArchiveProgress>()
  readonly #archives = new Map<string, OpenArchive>()
  /** Ends all of them: the time is over, or something failed. */
  readonly #end = new AbortController()
  #watch: ClusterWatch | undefined
  #failure: { error: unknown } | undefined

  constructor(seeds: ClusterSeeds, options: ArchiveClusterOptions) {
    this.#seeds = seeds
    this.#options = options
    this.#recorder = new ClusterRecorder(options.dir, nameOfCluster(seeds))
    this.#handovers = new Handovers(
      this.#recorder,
      (shard) => this.#reached(shard),
      (error) => this.#fail(error),
    )
    this.#known = knownShards(this.#recorder.record)
  }

  async run(): Promise<ArchiveClusterResult> {
    const { dir, durationMs, signal, onProgress, retries = DEFAULT_RETRIES } = this.#options
    const notes = new TopologyNotes(
      this.#recorder,
      (shard) => this.#reached(shard),
      (error) => this.#fail(error),
    )
    const timers: NodeJS.Timeout[] = []
    if (durationMs !== undefined) timers.push(setTimeout(() => this.#end.abort(), durationMs))
    if (onProgress !== undefined) timers.push(setInterval(() => onProgress(this.#sums()), 1000))
    try {
      const shards = await followCluster<ArchiveResult>(this.#seeds, {
        known: this.#known,
        retries,
        signal,
        end: this.#end.signal,
        onShard: (event) => this.#options.onEvent?.(event),
        onChange: (watch) => this.#note(watch, notes),
        run: async (shard, server, end) => {
          const { onEvent } = this.#options
          const call = {
            ...this.#options,
            server,
            dir: join(dir, directoryOf(shard.id)),
            // Which node gives it is the cluster's to say, and was looked at.
            adopt: true,
            signal: undefined,
            durationMs: undefined,
            onEvent: (event) => {
              this.#noteLink(shard.id, event)
              onEvent?.({ ...event, shard: this.#addressOf(shard) })
            },
            onProgress: (progress) => void this.#progress.set(shard.id, progress),
          } satisfies Parameters<typeof archiveCall>[0]
          try {
            return await archiveCall(call, {
              end,
              onSlots: (...sign) => this.#handovers.note(shard.id, ...sign),
              onOpen: (archive) => {
                this.#archives.set(shard.id, archive)
                const receivedMs = archive.receivedMs()
                if (receivedMs !== undefined) notes.goesOn(receivedMs)
              },
            })
          } finally {
            // As long as there is somebody to ask.
            await this.#handovers.settle()
          }
        },
      })
      if (this.#failure !== undefined) throw this.#failure.error
      const gaps = shards.reduce((sum, each) => sum + each.gaps, 0)
      return { source: nameOfCluster(this.#seeds), dir, shards, gaps }
    } finally {
      for (const timer of timers) clearTimeout(timer)
      this.#handovers.end()
      await notes.end()
    }
  }

  #note(watch: ClusterWatch, notes: TopologyNotes): void {
    if (this.#watch === undefined) this.#refuseOther(watch)
    this.#watch = watch
    this.#handovers.watch = watch
    try {
      notes.changed(watch)
    } catch (error) {
      this.#fail(error)
    }
  }

  #noteLink(shard: string, { event }: ArchiveEvent): void {
    if (event === 'link-lost') {
      this.#handovers.linkLost(shard, this.#archives.get(shard)?.receivedMs() ?? Date.now())
    } else if (event === 'continued' || event === 'snapshot') {
      this.#handovers.continued(shard)
    }
  }

  #reached(shard: string): number {
    return this.#archives.get(shard)?.replOffset() ?? -1
  }

  /** Throws UsageError: none of the nodes was in what was kept. */
  #refuseOther({ nodes }: ClusterWatch): void {
    const ids = new Set(nodes.nodes.map(({ id }) => id))
    if (this.#known.length === 0) return
    if (this.#known.some(({ members }) => members.some((id) => ids.has(id)))) return
    const { dir } = this.#options
    throw new UsageError(`${dir} was kept from another cluster: none of its nodes is in this one`, {
      hint: 'give another directory',
      details: { dir, source: this.#recorder.record.source },
    })
  }

  #addressOf(shard: ClusterShard): string {
    const now = this.#watch?.shards.find(({ id }) => id === shard.id)
    return addressOf(now ?? shard) ?? addressOf(shard) ?? shard.id
  }

  #sums(): ArchiveClusterProgress {
    const all = [...this.#progress.values()]
    const sum = (of: (each: ArchiveProgress) => number): number =>
      all.reduce((total, each) => total + of(each), 0)
    return {
      phase: all.find(({ phase }) => phase !== 'stream')?.phase ?? 'stream',
      done: sum(({ done }) => done),
      total: undefined,
      unit: 'bytes',
      shards: all.length,
      replOffsets: Object.fromEntries(
        [...this.#progress].map(([id, { replOffset }]) => [id, replOffset]),
      ),
      snapshotBytes: sum(({ snapshotBytes }) => snapshotBytes),
      streamBytes: sum(({ streamBytes }) => streamBytes),
      commands: sum(({ commands }) => commands),
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#end.abort()
  }
}

function knownShards({ shards, topology }: ClusterRecord): readonly ClusterShard[] {
  const owners = topology.at(-1)?.owners ?? []
  return shards.map(({ id, members }) => {
    const slots = owners.find(({ shard }) => shard === id)?.slots ?? []
    return { id, members, master: undefined, slots }
  })
}

/** What is there is neither empty nor ours. */
function refuseForeign(dir: string): void {
  if (!existsSync(dir)) return
  let names: readonly string[]
  try {
    names = readdirSync(dir)
  } catch (error) {
    throw fileError(dir, 'read', error)
  }
  const found = names.find((name) => name === NODES_FILE || name === 'appendonlydir')
  if (found === undefined) return
  throw new FileError(
    'ERR_ARCHIVE_FOREIGN',
    `${dir} holds ${found}, which is not of the archive of a cluster`,
    { hint: 'give an empty or new directory', details: { dir } },
  )
}
