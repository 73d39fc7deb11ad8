/** What could go wrong with taking a snapshot or a stream of a server, by its figures. Pure. */
import { countOf, formatDuration, formatSize } from '../../bytes/figures-text.js'
import { replicaLimitOf } from '../../replication/diagnose-drop.js'
import { isDevelopmentVersion, serverVersionNumber } from '../../servers/version.js'
import type { ServerFacts } from './facts.js'
import type { Check, CheckState } from './options.js'

const SLOW_FORK_MS = 500
/** Of the whole memory of the machine: what is written during a snapshot is there twice. */
const FORK_SHARE = 0.5
const SHORT_PAUSE_SECONDS = 60
const SKEW_MS = 1000
/** PSYNC. */
const FIRST_PSYNC = 20800

type Told = Omit<Check, 'place' | 'subject'>

export function sourceChecks(facts: ServerFacts): readonly Check[] {
  return [
    ...quickChecks(facts),
    check(facts, 'fork', forkOf(facts)),
    check(facts, 'output buffer', bufferOf(facts)),
    check(facts, 'backlog', backlogOf(facts)),
    check(facts, 'clock', clockOf(facts)),
    check(facts, 'deployment', deploymentOf(facts)),
  ]
}

/** Those that one INFO answers. */
export function quickChecks(
  facts: Pick<ServerFacts, 'place' | 'info' | 'family' | 'version'>,
): Check[] {
  return [
    check(facts, 'version', versionOf(facts)),
    check(facts, 'role', roleOf(facts)),
    check(facts, 'last save', lastSaveOf(facts)),
  ]
}

export function check({ place }: { readonly place: string }, subject: string, told: Told): Check {
  return { place, subject, ...told }
}

function told(state: CheckState, text: string, hint?: string): Told {
  return { state, text, hint }
}

function versionOf({ family, version }: Pick<ServerFacts, 'family' | 'version'>): Told {
  const text = `${family === 'valkey' ? 'Valkey' : 'Redis'} ${version}`
  if (isDevelopmentVersion(version)) {
    return told('warning', `${text}: a build of a development branch`, 'what it can is not known')
  }
  const number = serverVersionNumber(version)
  if (number === undefined) return told('unknown', `it tells no version: ${version}`)
  if (number < FIRST_PSYNC) {
    return told(
      'warning',
      `${text}: it knows SYNC alone, each connection is a snapshot`,
      'sync and tail work; an archive does not',
    )
  }
  return told('ok', text)
}

function roleOf({ info }: Pick<ServerFacts, 'info'>): Told {
  if (info.get('loading') === '1') {
    const eta = Number(info.get('loading_eta_seconds'))
    const left = Number.isFinite(eta) && eta > 0 ? `, ${formatDuration(eta * 1000)} left` : ''
    return told('warning', `it is loading its data${left}`, 'rrep waits for it (`wait`)')
  }
  const replicas = Number(info.get('connected_slaves') ?? 0)
  if (info.get('role') !== 'slave') return told('ok', `master, ${countOf(replicas, 'replica')}`)
  const master = `${info.get('master_host') ?? '?'}:${info.get('master_port') ?? '?'}`
  if (info.get('master_link_status') === 'up') {
    return told('ok', `replica of ${master}, its link is up`)
  }
  const since = Number(info.get('master_link_down_since_seconds') ?? 0)
  return told(
    'failure',
    `replica of ${master}, and its link is down${since > 0 ? ` since ${formatDuration(since * 1000)}` : ''}`,
    'it gives no snapshot without its master: mend the link, or ask the master',
  )
}

function lastSaveOf({ info }: Pick<ServerFacts, 'info'>): Told {
  if (info.get('rdb_last_bgsave_status') === 'err') {
    return told(
      'warning',
      'its last background save failed',
      'its log says why: memory for the fork, or room on its disk',
    )
  }
  const isSaving = info.get('rdb_bgsave_in_progress') === '1'
  if (isSaving || info.get('aof_rewrite_in_progress') === '1') {
    return told('ok', 'a save is at work now: a snapshot waits for its end')
  }
  return told('ok', 'its last background save succeeded')
}

function forkOf({ info }: ServerFacts): Told {
  const forkMs = Number(info.get('latest_fork_usec') ?? 0) / 1000
  const rss = Number(info.get('used_memory_rss') ?? Number.NaN)
  const all = Number(info.get('total_system_memory') ?? Number.NaN)
  const fork = forkMs > 0 ? `, the last fork stopped it for ${formatDuration(forkMs)}` : ''
  if (!(all > 0)) return told('unknown', `how much memory its machine has is not told${fork}`)
  const text = `${formatSize(rss)} of ${formatSize(all)} in use by it${fork}`
  if (rss > all * FORK_SHARE) {
    return told(
      'warning',
      text,
      'what is written during a snapshot is held twice: take it from a replica, or when few write',
    )
  }
  if (forkMs > SLOW_FORK_MS) {
    return told('warning', text, 'a snapshot stops it for so long: take it from a replica')
  }
  return told('ok', text)
}

function bufferOf({ config, info, writesPerSecond }: ServerFacts): Told {
  const text = config?.get('client-output-buffer-limit')
  const limit = text === undefined ? undefined : replicaLimitOf(text)
  if (limit === undefined)
    return told('unknown', 'its limit for replicas may not be asked (CONFIG)')
  if (writesPerSecond === undefined) return told('unknown', 'its rate of writes is not known')
  const rate = `${formatSize(writesPerSecond)}/s written`
  const saveSeconds = Number(info.get('rdb_last_bgsave_time_sec') ?? -1)
  const bounds = [limit.hardBytes, limit.softBytes].filter((bytes) => bytes > 0)
  if (bounds.length === 0) return told('ok', `${rate}, no limit for replicas`)
  const least = Math.min(...bounds)
  if (writesPerSecond === 0) return told('ok', `nothing is written, ${formatSize(least)} allowed`)
  const seconds = least / writesPerSecond
  const room = `${rate}, ${formatSize(least)} allowed: enough for ${formatDuration(seconds * 1000)}`
  // The save, and as much again for the way.
  const needed = Math.max(10, saveSeconds * 2)
  if (seconds < needed) {
    const more = Math.ceil((writesPerSecond * needed * 2) / (1 << 20)) * (1 << 20)
    return told(
      'warning',
      `${room}, and a snapshot takes about ${formatDuration(needed * 1000)}`,
      `CONFIG SET client-output-buffer-limit "replica ${more} ${more} 0"; sync and backup of 6.2 and newer need none`,
    )
  }
  return told('ok', room)
}

function backlogOf({ config, info, writesPerSecond }: ServerFacts): Told {
  const size = Number(config?.get('repl-backlog-size') ?? info.get('repl_backlog_size'))
  if (!(size > 0)) return told('unknown', 'the size of its backlog is not told')
  if (writesPerSecond === undefined || writesPerSecond === 0) {
    return told('ok', `${formatSize(size)}, and nothing was written while it was watched`)
  }
  const seconds = size / writesPerSecond
  const text = `${formatSize(size)}: who is away for ${formatDuration(seconds * 1000)} can go on`
  if (seconds >= SHORT_PAUSE_SECONDS) return told('ok', text)
  const more = Math.ceil((writesPerSecond * SHORT_PAUSE_SECONDS * 5) / (1 << 20))
  return told(
    'warning',
    `${text}, a longer pause of tail or replay costs a new snapshot`,
    `CONFIG SET repl-backlog-size ${more}mb`,
  )
}

function clockOf({ skewMs }: ServerFacts): Told {
  if (skewMs === undefined) return told('unknown', 'it does not tell its time')
  const text =
    Math.abs(skewMs) < 50
      ? 'as ours'
      : `${formatDuration(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'} ours`
  if (Math.abs(skewMs) < SKEW_MS) return told('ok', text)
  return told(
    'warning',
    text,
    'times in archives, and moments asked for, are then off: run NTP on both',
  )
}

function deploymentOf({ info, sentinels }: ServerFacts): Told {
  if (info.get('cluster_enabled') === '1') {
    return told(
      'warning',
      'one node of a cluster: this is its shard alone',
      'name the whole: redis-cluster://HOST:PORT',
    )
  }
  if (sentinels !== undefined && sentinels > 0) {
    return told(
      'warning',
      `${countOf(sentinels, 'Sentinel')} watch it, and this address is not followed through a failover`,
      'name it as they do: redis-sentinel://HOST:26379#NAME',
    )
  }
  return told('ok', 'a single server')
}
