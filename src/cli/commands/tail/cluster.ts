/** `rrep tail --cluster`: all shards in one run, shown as they come. */
import { FileError } from '../../../errors.js'
import type { ClusterSeeds } from '../../../topology/cluster.js'
import type { TailClusterEvent } from '../../../verbs/tail/watch.js'
import { watchCluster } from '../../../verbs/tail/watch-cluster.js'
import type { CommandCall } from '../../command.js'
import { EXIT } from '../../exit-codes.js'
import { describeShardEvent, describeTailEvent, isShardEvent } from '../../render/tail.js'
import type { Talk } from '../../talk.js'
import { formatCount } from '../../units.js'
import type { TailCommandOptions } from './options.js'
import { viewOptions } from './view.js'

export async function tailCluster(
  { options, io, talk, signal }: CommandCall<TailCommandOptions>,
  seeds: ClusterSeeds,
): Promise<number> {
  try {
    const result = await watchCluster(seeds, {
      allowFullResync: options.fullSync,
      ...viewOptions(options, io, talk, undefined),
      durationMs: options.for,
      retries: options.retries,
      signal,
      onEvent: (event) => tellEvent(event, talk),
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    if (result.gaps === 0) return EXIT.OK
    talk.problem(
      `${formatCount(result.gaps)} times a master no longer had what came next: commands are missing`,
    )
    return EXIT.FAILED
  } catch (error) {
    // A reader that goes away had what it wanted.
    if (error instanceof FileError && error.code === 'ERR_OUTPUT_CLOSED') return EXIT.OK
    throw error
  }
}

function tellEvent(event: TailClusterEvent, talk: Talk): void {
  if (isShardEvent(event)) {
    talk.say(describeShardEvent(event))
    return
  }
  const told = describeTailEvent(event, event.shard)
  if (told === undefined) return
  const line = told.startsWith(event.shard) ? told : `${event.shard}: ${told}`
  if (event.event === 'gap') talk.problem(line)
  else if (event.event === 'warning') talk.warn(line)
  else talk.say(line)
}
