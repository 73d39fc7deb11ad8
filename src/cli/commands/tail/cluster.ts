/** `rrep tail --cluster`: all shards in one run, shown as they come, or kept side by side. */
import { FileError } from '../../../errors.js'
import { nameOfCluster, type ClusterSeeds } from '../../../topology/cluster.js'
import { archiveCluster } from '../../../verbs/tail/archive-cluster.js'
import type { ArchiveClusterEvent, TailClusterEvent } from '../../../verbs/tail/watch.js'
import { watchCluster } from '../../../verbs/tail/watch-cluster.js'
import type { CommandCall } from '../../command.js'
import { EXIT } from '../../exit-codes.js'
import {
  describeEvent,
  describeShardEvent,
  describeTailEvent,
  isArchiveWarning,
  isTailWarning,
  isShardEvent,
} from '../../render/tail.js'
import type { Talk } from '../../talk.js'
import { countOf, formatCount, formatSize } from '../../units.js'
import { keepOptions, type TailCommandOptions } from './options.js'
import { viewOptions } from './view.js'

export async function tailCluster(
  call: CommandCall<TailCommandOptions>,
  seeds: ClusterSeeds,
): Promise<number> {
  const { output } = call.options
  return output === undefined ? await show(call, seeds) : await keep(call, seeds, output)
}

async function show(
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
  else if (isTailWarning(event)) talk.warn(line)
  else talk.say(line)
}

async function keep(
  { options, talk, signal }: CommandCall<TailCommandOptions>,
  seeds: ClusterSeeds,
  dir: string,
): Promise<number> {
  const progress = talk.progress(`connecting to ${nameOfCluster(seeds)}`)
  const tell = (event: ArchiveClusterEvent): void => {
    if (event.event === 'stopped') progress.stop()
    if (talk.json) void talk.event({ time: new Date().toISOString(), ...event })
    else tellKept(event, talk)
  }
  try {
    const result = await archiveCluster(seeds, {
      dir,
      ...keepOptions(options),
      retries: options.retries,
      durationMs: options.for,
      signal,
      onEvent: tell,
      onProgress: ({ shards, phase, snapshotBytes, streamBytes, commands }) =>
        progress.text(
          phase === 'snapshot'
            ? `${countOf(shards, 'shard')}: ${formatSize(snapshotBytes)} of snapshots`
            : `${countOf(shards, 'shard')}: ${countOf(commands, 'command')}, ` +
                `${formatSize(streamBytes)} of stream`,
        ),
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    return result.gaps === 0 ? EXIT.OK : EXIT.FAILED
  } finally {
    progress.stop()
  }
}

function tellKept(event: ArchiveClusterEvent, talk: Talk): void {
  if (isShardEvent(event)) {
    talk.say(describeShardEvent(event))
    return
  }
  const { shard } = event
  if (event.event === 'dropped') {
    talk.say(
      `${shard}: ${event.command} at offset ${event.replOffset} is recorded; servers cannot load it, ` +
        'so a new snapshot is taken',
    )
    return
  }
  const line = describeEvent(event)
  if (line === undefined) return
  const named = event.event === 'stopped' ? line : `${shard}: ${line}`
  if (event.event === 'gap') talk.problem(named)
  else if (isArchiveWarning(event)) talk.warn(named)
  else talk.say(named)
}
