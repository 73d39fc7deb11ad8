/** INFO: the lines that redis-cli, exporters, Sentinel and other links read of a master. */
import { STATE_NAMES, type Client } from './client.js'
import type { ConnectionHost } from '../host.js'
import type { ServerKind } from '../../servers/rdb-version.js'

type Lines = readonly (readonly [string, string | number])[]

const SECTIONS: Readonly<Record<string, (host: ConnectionHost) => Lines>> = {
  Server: serverLines,
  Clients: clientLines,
  Memory: memoryLines,
  Persistence: persistenceLines,
  Stats: statsLines,
  Replication: replicationLines,
  CPU: () => [],
  Modules: () => [],
  Errorstats: () => [],
  Cluster: () => [['cluster_enabled', 0]],
  Keyspace: () => [],
}

/** All sections, or those named. */
export function formatInfo(host: ConnectionHost, wanted: readonly string[]): string {
  const names = new Set(wanted.map((name) => name.toLowerCase()))
  const all = ['all', 'default', 'everything'].some((name) => names.has(name)) || names.size === 0
  const parts: string[] = []
  for (const [section, lines] of Object.entries(SECTIONS)) {
    if (!all && !names.has(section.toLowerCase())) continue
    const text = lines(host).map(([name, value]) => `${name}:${value}\r\n`)
    parts.push(`# ${section}\r\n${text.join('')}`)
  }
  return parts.join('\r\n')
}

function serverLines(host: ConnectionHost): Lines {
  const uptimeSeconds = Math.floor((Date.now() - host.startedMs) / 1000)
  return [
    ['redis_version', redisVersionOf(host.reportedServer)],
    ...familyLines(host.reportedServer),
    ['redis_mode', 'standalone'],
    ['served_by', 'rrep'],
    ['os', `${process.platform} ${process.arch}`],
    ['arch_bits', 64],
    ['process_id', process.pid],
    ['run_id', host.runId],
    ['tcp_port', host.listenPort],
    ['server_time_usec', Date.now() * 1000],
    ['uptime_in_seconds', uptimeSeconds],
    ['uptime_in_days', Math.floor(uptimeSeconds / 86_400)],
    ['executable', process.execPath],
    ['config_file', ''],
  ]
}

function familyLines({ family, version }: ServerKind): Lines {
  if (family === 'redis') return []
  if (family === 'redict') return [['redict_version', version]]
  return [
    ['server_name', 'valkey'],
    ['valkey_version', version],
  ]
}

function clientLines(host: ConnectionHost): Lines {
  const replicas = replicasOf(host).length
  return [
    ['connected_clients', host.connections.size - replicas],
    ['blocked_clients', 0],
  ]
}

function memoryLines(host: ConnectionHost): Lines {
  const { rss, heapUsed } = process.memoryUsage()
  return [
    ['used_memory', heapUsed + host.origin.log.memoryBytes],
    ['used_memory_rss', rss],
    ['maxmemory', 0],
    ['mem_replication_backlog', host.origin.log.memoryBytes],
  ]
}

function persistenceLines(): Lines {
  return [
    ['loading', 0],
    ['async_loading', 0],
    ['rdb_bgsave_in_progress', 0],
    ['rdb_last_bgsave_status', 'ok'],
    ['aof_enabled', 0],
    ['aof_rewrite_in_progress', 0],
  ]
}

function statsLines(host: ConnectionHost): Lines {
  const { stats } = host
  return [
    ['total_connections_received', stats.connections],
    ['total_commands_processed', stats.commands],
    ['rejected_connections', stats.refusedConnections],
    ['total_net_repl_output_bytes', outputBytes(host)],
    ['sync_full', stats.full],
    ['sync_partial_ok', stats.partialGranted],
    ['sync_partial_err', stats.partialRefused],
    ['client_output_buffer_limit_disconnections', stats.cutOff],
  ]
}

function replicationLines(host: ConnectionHost): Lines {
  const { origin } = host
  const { history, log, upstream } = origin
  const upstreamLines: Lines =
    upstream === undefined
      ? []
      : [
          ['master_host', upstream.host],
          ['master_port', upstream.port],
          ['master_link_status', upstream.isUp ? 'up' : 'down'],
          ['master_last_io_seconds_ago', upstream.lastIoSeconds],
          ['master_sync_in_progress', upstream.isSyncing ? 1 : 0],
          ['slave_read_repl_offset', log.endReplOffset],
          ['slave_repl_offset', origin.boundaryReplOffset],
          ...(upstream.downSinceMs === undefined
            ? []
            : ([
                [
                  'master_link_down_since_seconds',
                  Math.round((Date.now() - upstream.downSinceMs) / 1000),
                ],
              ] as const)),
          // Not to be promoted by a Sentinel: it holds no data of its own.
          ['slave_priority', 0],
          ['slave_read_only', 1],
          ['replica_announced', 0],
        ]
  const replicas = replicasOf(host)
  const histlen = Math.max(0, log.endReplOffset - log.firstReplOffset + 1)
  return [
    ['role', roleName(host)],
    ...upstreamLines,
    ['connected_slaves', replicas.length],
    ...replicas.map((each, index) => [`slave${index}`, describeReplica(each)] as const),
    ['master_failover_state', 'no-failover'],
    ['master_replid', history.replid],
    ['master_replid2', history.replid2 === '' ? '0'.repeat(40) : history.replid2],
    ['master_repl_offset', origin.boundaryReplOffset],
    ['second_repl_offset', history.secondReplOffset],
    ['repl_backlog_active', 1],
    ['repl_backlog_size', origin.backlogSizeBytes],
    ['repl_backlog_first_byte_offset', log.firstReplOffset],
    ['repl_backlog_histlen', histlen],
  ]
}

function describeReplica(each: Client): string {
  const { profile, peerIp, state, ackedReplOffset, ackMs } = each
  const lagSeconds = Math.max(0, Math.round((Date.now() - ackMs) / 1000))
  return (
    `ip=${profile.ipAddress ?? peerIp},port=${profile.listeningPort},` +
    `state=${STATE_NAMES[state]},offset=${Math.max(0, ackedReplOffset)},lag=${lagSeconds}`
  )
}

/** Valkey and Redict say this for clients that know Redis only; its own version has a line of its own. */
const COMPATIBLE_VERSION = '7.2.4'

export function redisVersionOf({ family, version }: ServerKind): string {
  return family === 'redis' ? version : COMPATIBLE_VERSION
}

export function replicasOf(host: ConnectionHost): Client[] {
  return [...host.connections].filter((each) => each.isReplica)
}

/** Everything sent to replicas so far, those that are gone included. */
export function outputBytes(host: ConnectionHost): number {
  let bytes = host.stats.snapshotBytes + host.stats.streamBytes
  for (const { feed } of host.connections) {
    if (feed !== undefined) bytes += feed.streamBytes + feed.snapshotBytes
  }
  return bytes
}

export function roleName(host: ConnectionHost): 'master' | 'slave' {
  return host.origin.upstream === undefined ? 'master' : 'slave'
}
