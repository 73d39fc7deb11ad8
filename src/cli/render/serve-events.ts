/** What happens while serving, in words for people. */
import type { FrozenFacts, ServeEvent } from '../../verbs/serve/run.js'
import { describeLostWrites } from './tail.js'
import { formatCount, formatDuration, formatSize } from '../units.js'

/** True for what an operator should look at. */
export function isWarning(event: ServeEvent): boolean {
  switch (event.event) {
    case 'replica-lost':
      return event.cutOff
    case 'replica-refused':
    case 'replica-version-unknown':
    case 'client-refused':
    case 'warning':
    case 'upstream-lost':
    case 'upstream-lost-writes':
    case 'upstream-other-history':
    case 'upstream-deleted-slots':
    case 'upstream-empty':
    case 'upstream-cluster-node':
    case 'backlog-disk-failed':
    case 'backlog-damaged':
      return true
    default:
      return false
  }
}

export function describeEvent(event: ServeEvent): string {
  switch (event.event) {
    case 'full-resync': {
      const label = event.sentAsVersion === undefined ? '' : `, sent as RDB ${event.sentAsVersion}`
      return `${event.replica}: full resync at offset ${event.replOffset} (${rdbName(event)}${label})`
    }
    case 'source-checked':
      return `the source is sound: ${formatCount(event.keys)} keys`
    case 'partial-resync':
      return `${event.replica}: continues at offset ${event.nextReplOffset}`
    case 'replica-online':
      return event.snapshotBytes === 0
        ? `${event.replica}: online at offset ${event.replOffset}`
        : `${event.replica}: online at offset ${event.replOffset}, has its ${formatSize(event.snapshotBytes)}`
    case 'replica-lost':
      return `${event.replica}: ${event.cutOff ? 'cut off' : 'gone'} at offset ${event.replOffset}: ${event.reason}`
    case 'replica-refused':
      return `${event.replica}: refused: ${event.reason}`
    case 'replica-version-unknown':
      return (
        `${event.replica}: its version is not known (${event.reason}) and it may be too old for ` +
        `${rdbName(event)}: say --replica-version`
      )
    case 'client-refused':
      return `${event.client}: refused: ${event.reason}`
    case 'upstream-full-resync':
      return `${event.upstream}: full resync at offset ${event.replOffset}, replid ${event.replid}`
    case 'upstream-other-history':
      return (
        `${event.upstream}: has another history, ${event.replid}, than ${event.previousReplid}, ` +
        `which was at offset ${event.previousReplOffset}: all replicas are given its data instead`
      )
    case 'upstream-cluster-node':
      return `${event.upstream}: is one node of a cluster: its shard alone is served`
    case 'upstream-deleted-slots':
      return (
        `${event.upstream}: slots were deleted at offset ${event.replOffset} in a way that only nodes of a ` +
        'cluster can follow: all replicas take a new snapshot'
      )
    case 'upstream-empty':
      return `${event.upstream}: has no keys any more: all replicas are emptied`
    case 'upstream-snapshot':
      return `${event.upstream}: snapshot of ${formatSize(event.bytes)} at offset ${event.replOffset}`
    case 'upstream-continued':
      return `${event.upstream}: continues at offset ${event.nextReplOffset}`
    case 'upstream-renamed':
      return `${event.upstream}: replid is now ${event.replid}, was ${event.previousReplid}`
    case 'upstream-lost-writes':
      return `${event.upstream}: ${describeLostWrites(event)}; replicas that have them take a full resync`
    case 'upstream-lost':
      return event.retryInMs === undefined
        ? `${event.upstream}: lost: ${event.reason}`
        : `${event.upstream}: lost: ${event.reason}; next attempt in ${formatDuration(event.retryInMs)}`
    case 'upstream-changed':
      return `following ${event.upstream} from now on`
    case 'warning':
      return event.message
    case 'backlog-restored':
      return `backlog from offset ${event.firstReplOffset} to ${event.endReplOffset} taken up, replid ${event.replid}`
    case 'backlog-disk-failed':
      return `${event.reason}; going on in memory`
    case 'backlog-damaged':
      return `${event.reason}; it is not used, upstream is asked for what is missing`
  }
}

/** What stands behind the address in the line that says we listen. */
export function describeSource(source: string, frozen: FrozenFacts | undefined): string {
  if (frozen === undefined) return `relay of ${source}`
  const { dump, rdb, commands } = frozen
  const parts: string[] = []
  if (dump !== undefined) {
    const version = `${dump.family === 'valkey' ? 'VALKEY RDB' : 'RDB'} ${dump.version}`
    const keys = rdb === undefined ? '' : `${formatCount(rdb.keys)} keys, `
    const isChecked = rdb === undefined ? ', checked on the way' : ''
    parts.push(`${keys}${formatSize(dump.rdbBytes)}, ${version}${isChecked}`)
  }
  if (commands > 0)
    parts.push(`${formatCount(commands)} commands up to offset ${frozen.streamBytes}`)
  return `${source} (${parts.length === 0 ? 'empty' : parts.join(', and ')})`
}

function rdbName({ rdbVersion, rdbFamily }: { rdbVersion: number; rdbFamily: string }): string {
  return `${rdbFamily === 'valkey' ? 'VALKEY ' : ''}RDB ${rdbVersion}`
}
