/**
 * One run for each shard of a cluster, for as long as there is such a shard: begun when it comes, ended
 * when it goes, and led on by `settingsOf` to whoever is its master. One that fails ends them all.
 */
import { AbortedError } from '../errors.js'
import type { ServerSettings } from '../net/server-settings.js'
import type { ClusterShard } from './cluster-shards.js'
import { ClusterWatch } from './cluster-watch.js'
import type { ClusterSeeds } from './cluster.js'

export type ShardEvent =
  /** `shard` is the address of its master; `id` stays when another node takes over. */
  | { event: 'shard-added'; shard: string; id: string }
  | { event: 'shard-removed'; shard: string; id: string }
  | { event: 'master-changed'; shard: string; id: string; before: string }

export interface FollowOptions<Result> {
  /** The shards of an earlier run. */
  known?: readonly ClusterShard[] | undefined
  /** Attempts to see the cluster at first. */
  retries: number
  signal?: AbortSignal | undefined
  /** Ends all runs as if done. */
  end?: AbortSignal | undefined
  /** Resolves when the signal fires, with what there is up to then. */
  run: (shard: ClusterShard, server: ServerSettings, signal: AbortSignal) => Promise<Result>
  onShard?: ((event: ShardEvent) => void) | undefined
  onChange?: ((watch: ClusterWatch) => void) | undefined
}

interface Run {
  readonly halt: AbortController
  readonly done: Promise<void>
  address: string
}

/** Resolves with what the runs resolved with, in the order in which they ended; rejects with the first
 * failure, or AbortedError by the signal, when all have ended. */
export async function followCluster<Result>(
  seeds: ClusterSeeds,
  options: FollowOptions<Result>,
): Promise<readonly Result[]> {
  const following = new Following(options)
  const { signal, end } = options
  const onEnd = (): void => following.end()
  for (const each of [signal, end]) {
    each?.addEventListener('abort', onEnd, { once: true })
    if (each?.aborted === true) onEnd()
  }
  const watch = new ClusterWatch(seeds, {
    known: options.known,
    onChange: (now) => {
      options.onChange?.(now)
      following.follow(now)
    },
  })
  try {
    await watch.start(options.retries, signal)
    const results = await following.results()
    if (signal?.aborted === true) throw new AbortedError()
    return results
  } catch (error) {
    // Whoever threw first, the others end as tidily.
    following.end()
    await following.results().catch(() => undefined)
    throw error
  } finally {
    for (const each of [signal, end]) each?.removeEventListener('abort', onEnd)
    await watch.stop()
  }
}

class Following<Result> {
  readonly #options: FollowOptions<Result>
  readonly #runs = new Map<string, Run>()
  /** The last run of each shard that there has been. */
  readonly #all = new Map<string, Promise<void>>()
  readonly #results: Result[] = []
  readonly #ended = new AbortController()
  #failure: { error: unknown } | undefined

  constructor(options: FollowOptions<Result>) {
    this.#options = options
  }

  end(): void {
    this.#ended.abort()
    for (const { halt } of this.#runs.values()) halt.abort()
  }

  async results(): Promise<readonly Result[]> {
    const { signal } = this.#ended
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.all(this.#all.values())
    if (this.#failure !== undefined) throw this.#failure.error
    return this.#results
  }

  follow(watch: ClusterWatch): void {
    if (this.#ended.signal.aborted) return
    const { onShard } = this.#options
    const there = new Map(watch.shards.map((shard) => [shard.id, shard]))
    for (const [id, run] of this.#runs) {
      if (there.has(id)) continue
      this.#runs.delete(id)
      run.halt.abort()
      onShard?.({ event: 'shard-removed', shard: run.address, id })
    }
    for (const shard of watch.shards) {
      const run = this.#runs.get(shard.id)
      const address = addressOf(shard)
      if (run === undefined) {
        onShard?.({ event: 'shard-added', shard: address ?? shard.id, id: shard.id })
        this.#begin(shard, watch.settingsOf(shard), address ?? shard.id)
      } else if (address !== undefined && address !== run.address) {
        const { address: before } = run
        run.address = address
        onShard?.({ event: 'master-changed', shard: address, id: shard.id, before })
      }
    }
  }

  #begin(shard: ClusterShard, server: ServerSettings, address: string): void {
    const halt = new AbortController()
    const before = this.#all.get(shard.id) ?? Promise.resolve()
    const done = before.then(async () => {
      try {
        this.#results.push(await this.#options.run(shard, server, halt.signal))
      } catch (error) {
        this.#failure ??= { error }
        this.end()
      }
    })
    this.#all.set(shard.id, done)
    this.#runs.set(shard.id, { halt, done, address })
  }
}

/** Of its master, for people. */
export function addressOf({ master }: ClusterShard): string | undefined {
  return master === undefined ? undefined : `${master.place.host}:${master.place.port}`
}
