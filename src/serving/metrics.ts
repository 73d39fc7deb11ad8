/** `--metrics`: what is served and how far everybody is, as Prometheus text over HTTP. */
import { createServer, type Server } from 'node:http'
import { STATE_NAMES, type Client } from './clients/client.js'
import type { ConnectionHost } from './host.js'
import { outputBytes, replicasOf } from './clients/info.js'

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

export function formatMetrics(host: ConnectionHost): string {
  const { origin, stats } = host
  const { log, upstream } = origin
  const replicas = replicasOf(host)
  const parts: string[] = []
  const add = (
    name: string,
    type: 'gauge' | 'counter',
    help: string,
    samples: number | readonly Sample[],
  ): void => {
    parts.push(`# HELP rrep_${name} ${help}\n# TYPE rrep_${name} ${type}\n`)
    const list: readonly Sample[] = typeof samples === 'number' ? [[{}, samples]] : samples
    for (const [labels, value] of list) parts.push(`rrep_${name}${formatLabels(labels)} ${value}\n`)
  }
  const perReplica = (value: (each: Client) => number): Sample[] =>
    replicas.map((each) => [{ replica: each.replicaName, id: String(each.id) }, value(each)])

  add('serve_info', 'gauge', 'What is served.', [
    [{ replid: origin.history.replid, mode: upstream === undefined ? 'frozen' : 'relay' }, 1],
  ])
  add('repl_offset', 'gauge', 'Last byte of the stream.', log.endReplOffset)
  add('backlog_first_offset', 'gauge', 'Oldest byte that can be continued.', log.firstReplOffset)
  add(
    'backlog_bytes',
    'gauge',
    'Bytes of stream kept.',
    Math.max(0, log.endReplOffset - log.firstReplOffset + 1),
  )
  add('backlog_size_bytes', 'gauge', 'Bytes of stream to keep.', origin.backlogSizeBytes)
  add('backlog_memory_bytes', 'gauge', 'Memory that the stream takes.', log.memoryBytes)
  add('memory_rss_bytes', 'gauge', 'Memory of the process.', process.memoryUsage().rss)
  add('connections', 'gauge', 'Connections, replicas included.', host.connections.size)
  add('connections_total', 'counter', 'Connections accepted.', stats.connections)
  add('connections_refused_total', 'counter', 'Connections refused.', stats.refusedConnections)
  add('replicas', 'gauge', 'Replicas connected.', replicas.length)
  add('full_resyncs_total', 'counter', 'Full resyncs given.', stats.full)
  add('partial_resyncs_total', 'counter', 'Partial resyncs granted.', stats.partialGranted)
  add('partial_resyncs_refused_total', 'counter', 'Partial resyncs refused.', stats.partialRefused)
  add('replicas_cut_off_total', 'counter', 'Replicas cut off at their limit.', stats.cutOff)
  add('sent_bytes_total', 'counter', 'Bytes sent to replicas.', outputBytes(host))
  if (upstream !== undefined) {
    const labels = { upstream: upstream.address }
    add('upstream_up', 'gauge', '1 while linked.', [[labels, upstream.isUp ? 1 : 0]])
    add('upstream_last_io_seconds', 'gauge', 'Since a byte came; -1 before the first.', [
      [labels, upstream.lastIoSeconds],
    ])
    add('upstream_lost_total', 'counter', 'Links lost.', [[labels, upstream.lost]])
    add('upstream_full_resyncs_total', 'counter', 'Snapshots that upstream made for us.', [
      [labels, upstream.fullResyncs],
    ])
    add('upstream_partial_resyncs_total', 'counter', 'Partial resyncs that upstream granted.', [
      [labels, upstream.partialResyncs],
    ])
  }
  add(
    'replica_offset',
    'gauge',
    'Last byte acknowledged.',
    perReplica((r) => r.ackedReplOffset),
  )
  add(
    'replica_sent_offset',
    'gauge',
    'Last byte handed to the socket.',
    perReplica((each) => (each.feed?.nextReplOffset ?? 0) - 1),
  )
  add(
    'replica_lag_bytes',
    'gauge',
    'Bytes of stream yet to be sent.',
    perReplica((each) => each.feed?.lagBytes ?? 0),
  )
  add(
    'replica_ack_age_seconds',
    'gauge',
    'Since the last sign of life.',
    perReplica((each) => (Date.now() - each.ackMs) / 1000),
  )
  add(
    'replica_sent_bytes',
    'counter',
    'Snapshot and stream sent on this connection.',
    perReplica((each) => (each.feed?.streamBytes ?? 0) + (each.feed?.snapshotBytes ?? 0)),
  )
  add(
    'replica_state',
    'gauge',
    '1, with the state as a label.',
    replicas.map((each) => [
      { replica: each.replicaName, id: String(each.id), state: STATE_NAMES[each.state] },
      1,
    ]),
  )
  return parts.join('')
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/["\\\n]/g, (char) => `\\${char}`)}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

/** An HTTP server that answers GET /metrics and nothing else; not listening yet. */
export function createMetricsServer(host: ConnectionHost): Server {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('only /metrics is here\n')
      return
    }
    response
      .writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
      .end(formatMetrics(host))
  })
  server.maxConnections = 32
  server.headersTimeout = 5000
  server.requestTimeout = 5000
  return server
}
