/**
 * `tail --cluster`: the write commands of all shards of a cluster, as they come, each with its shard.
 * Shards that come are followed from then on, and each to whoever is its master.
 */
import { DEFAULT_RETRIES } from '../../net/server-settings.js'
import { withAddressDb } from '../../source/key-filter.js'
import { clusterSeeds, nameOfCluster, type ClusterSeeds } from '../../topology/cluster.js'
import { addressOf, followCluster, type ShardEvent } from '../../topology/follow-cluster.js'
import type { ClusterWatch } from '../../topology/cluster-watch.js'
import { CommandView } from './command-view.js'
import type { TailClusterOptions, TailClusterResult, TailEvent, TailResult } from './options.js'
import { TailRun } from './watch.js'

/** Rejects as `watch` does, and as `readCluster` where there is no cluster. */
export async function watchCluster(
  source: string | ClusterSeeds,
  options: TailClusterOptions = {},
): Promise<TailClusterResult> {
  const seeds = typeof source === 'string' ? clusterSeeds(source) : source
  const { signal, durationMs, onEvent, retries = DEFAULT_RETRIES } = options
  const end = new AbortController()
  const failures: Error[] = []
  const view = new CommandView(
    { ...options, filter: withAddressDb(options.filter, 0) },
    (failure) => {
      if (failure !== undefined) failures.push(failure)
      end.abort()
    },
  )
  const timer = durationMs === undefined ? undefined : setTimeout(() => end.abort(), durationMs)
  let watch: ClusterWatch | undefined
  const nameOf = (id: string, otherwise: string): string => {
    const shard = watch?.shards.find((each) => each.id === id)
    return (shard && addressOf(shard)) ?? otherwise
  }
  try {
    const results = await followCluster<TailResult>(seeds, {
      retries,
      signal,
      end: end.signal,
      onChange: (now) => (watch = now),
      onShard: (event: ShardEvent) => onEvent?.(event),
      run: async (shard, server, ended) => {
        const name = (): string => nameOf(shard.id, server.address.label ?? shard.id)
        const onOwn = (event: TailEvent): void => onEvent?.({ ...event, shard: name() })
        const own = { ...options, server, durationMs: undefined, onEvent: onOwn }
        return await new TailRun(own, { view, name, end: ended }).run()
      },
    })
    const [failure] = failures
    if (failure !== undefined) throw failure
    return summary(nameOfCluster(seeds), view.shown, results)
  } finally {
    clearTimeout(timer)
    await view.finish(signal)
  }
}

function summary(
  source: string,
  commands: number,
  results: readonly TailResult[],
): TailClusterResult {
  const sum = (of: (result: TailResult) => number): number =>
    results.reduce((all, each) => all + of(each), 0)
  return {
    source,
    commands,
    streamCommands: sum((each) => each.streamCommands),
    streamBytes: sum((each) => each.streamBytes),
    gaps: sum((each) => each.gaps),
    shards: results.map(({ source: shard, replid, replOffset }) => ({
      source: shard,
      replid,
      replOffset,
    })),
  }
}
