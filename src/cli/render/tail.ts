/** One line for people for each thing that a tail tells, with `-o` or without. */
import type { ArchiveEvent } from '../../verbs/tail/archive.js'
import type { TailEvent } from '../../verbs/tail/watch.js'
import type { ShardEvent } from '../../topology/follow-cluster.js'
import { countOf, formatDuration, formatSize } from '../units.js'

export function describeTailEvent(event: TailEvent, server: string): string | undefined {
  switch (event.event) {
    case 'resync-planned': {
      if (event.plan === 'partial') return undefined
      if (event.plan === 'empty-snapshot') {
        return `${server} has no backlog: asking for an empty snapshot, which costs it a fork`
      }
      const keys = event.keys === undefined ? '' : ` of ${event.keys} keys`
      const memory =
        event.usedMemoryBytes === undefined
          ? ''
          : ` (${formatSize(event.usedMemoryBytes)} in memory)`
      return (
        `${server} can give no stream without a snapshot: it forks and saves a full one${keys}` +
        `${memory}, which is thrown away; --no-full-sync would have prevented it`
      )
    }
    case 'started': {
      const db = event.dbnum < 0 ? ', db unknown until the next SELECT' : ''
      return `${server}: from offset ${event.nextReplOffset} of ${event.replid ?? 'its history'}${db}`
    }
    case 'warning':
      return event.message
    case 'link-lost':
      return lostLink(event)
    case 'writes-lost':
      return `${describeLostWrites(event)}; what follows is of the new master`
    case 'gap':
      return (
        `gap: what came from offset ${event.fromReplOffset} on is lost; ` +
        `going on behind ${event.toReplOffset}`
      )
  }
}

export function describeShardEvent(event: ShardEvent): string {
  switch (event.event) {
    case 'shard-added':
      return `${event.shard}: a shard of the cluster, followed from now on`
    case 'shard-removed':
      return `${event.shard}: the cluster has this shard no more`
    case 'master-changed':
      return `${event.before}: ${event.shard} is the master of this shard now`
  }
}

const SHARD_EVENTS = new Set(['shard-added', 'shard-removed', 'master-changed'])

export function isShardEvent(event: { event: string }): event is ShardEvent {
  return SHARD_EVENTS.has(event.event)
}

const WARNINGS = new Set(['snapshot-failed', 'ship-failed', 'warning', 'writes-lost'])

export function isTailWarning({ event }: TailEvent): boolean {
  return event === 'warning' || event === 'writes-lost'
}

export function isArchiveWarning(event: ArchiveEvent): boolean {
  if (event.event === 'full-resync') return event.reason === 'other-history'
  return WARNINGS.has(event.event)
}

export function describeEvent(event: ArchiveEvent): string | undefined {
  switch (event.event) {
    case 'full-resync':
      return {
        first: `snapshot of offset ${event.replOffset} begins`,
        'other-history':
          `there is another history now (${event.replid}): the server was restarted without its ` +
          'data, or follows another master (in a cluster, of another shard); ' +
          `a new snapshot, of offset ${event.replOffset}`,
        refused: `the master no longer has what comes next: a new snapshot, of offset ${event.replOffset}`,
        desync: `the stream made no sense: a new snapshot, of offset ${event.replOffset}`,
      }[event.reason]
    case 'snapshot':
      return `snapshot kept: ${event.file}, ${formatSize(event.bytes)}, offset ${event.replOffset}`
    case 'continued': {
      const from = event.previousReplid === undefined ? '' : ` (before: ${event.previousReplid})`
      return `going on behind offset ${event.replOffset} of ${event.replid}${from}`
    }
    case 'shipped':
      return `everything up to offset ${event.replOffset} is in ${event.place}`
    case 'ship-failed':
      return event.isLast
        ? `not sent to the repository: ${event.message}. It stays here, and the next run sends it`
        : `not sent to the repository, tried again: ${event.message}`
    case 'rotated':
      return `new file ${event.file} behind offset ${event.replOffset}`
    case 'recovered':
      return `${event.file}: ${event.cutBytes} bytes of an unfinished command cut off, offset ${event.replOffset}`
    case 'gap':
      return (
        `gap: offsets from ${event.fromReplOffset} on are missing; what is kept goes on with ` +
        `the snapshot of ${event.toReplOffset}. Older states are in the rrep-before-….manifest files`
      )
    case 'dropped': {
      const times = event.count === 1 ? '' : ` (${event.count} times)`
      return (
        `left out: ${event.command}${times} at offset ${event.replOffset}, which no server can ` +
        'load: the archive keeps what it deleted'
      )
    }
    case 'stopped':
      return (
        `${event.source} → ${event.dir}: ` +
        (event.replOffset < 0
          ? 'nothing was kept'
          : `${countOf(event.commands, 'command')}, ${formatSize(event.streamBytes)} of stream, ` +
            `up to offset ${event.replOffset}`)
      )
    case 'pruned':
      return `removed: ${event.files.join(', ')}`
    case 'link-lost':
      return lostLink(event)
    case 'warning':
      return event.message
    case 'writes-lost':
      return (
        `${describeLostWrites(event)}; ` +
        (event.file === undefined
          ? 'they stay in the archive, in front of the gap'
          : `the archive is cut back to what the new master has, and they are kept in ${event.file}`)
      )
    case 'snapshot-failed':
      return `the snapshot failed, the stream goes on: ${event.message}`
  }
}

type LostWrites = Omit<Extract<TailEvent, { event: 'writes-lost' }>, 'event'>

export function describeLostWrites(lost: LostWrites): string {
  const { writes, fromReplOffset, toReplOffset } = lost
  const count = writes === undefined ? 'writes' : countOf(writes, 'write')
  return `a failover lost ${count}, offsets ${fromReplOffset} to ${toReplOffset} of ${lost.replid}`
}

/** Nothing where no attempt follows: the error that ends the run says it. */
function lostLink(lost: { message: string; retryInMs: number | undefined }): string | undefined {
  if (lost.retryInMs === undefined) return undefined
  return `${lost.message}; next attempt in ${formatDuration(lost.retryInMs)}`
}
