/** `serve` in this process: started, asked, stopped; and real replicas pointed to it. */
import type { SourceName } from '../../src/source/classify.js'
import type { ServeEvent, ServeHandle, ServeOptions } from '../../src/verbs/serve/run.js'
import { serve } from '../../src/verbs/serve/run.js'
import { makeServerSettings, type ServerSettings } from '../../src/net/make-server-settings.js'
import { waitFor, type TestServer } from './servers.js'

export interface Serving {
  port: number
  handle: ServeHandle
  events: ServeEvent[]
  /** How often this happened so far. */
  count(event: ServeEvent['event']): number
  /** Ends it in order; rejects with what it ended with. */
  stop(): Promise<void>
  /** Settles when it ends by itself. */
  ended: Promise<unknown>
}

export async function startServing({
  source,
  ...options
}: Partial<ServeOptions> & { source: SourceName }): Promise<Serving> {
  const abort = new AbortController()
  const events: ServeEvent[] = []
  let handle: ServeHandle | undefined
  let failure: unknown
  const ended = serve(source, {
    listen: { host: '127.0.0.1', port: 0 },
    connectionsPerSecond: 10_000,
    signal: abort.signal,
    ...options,
    onEvent: (event) => {
      events.push(event)
      options.onEvent?.(event)
    },
    onReady: (ready) => {
      handle = ready
      options.onReady?.(ready)
    },
  })
  ended.catch((error: unknown) => (failure = error))
  await waitFor(
    () => {
      if (failure !== undefined) throw failure as Error
      return handle !== undefined
    },
    { what: 'serve to listen' },
  )
  return {
    port: handle!.port,
    handle: handle!,
    events,
    count: (name) => events.filter(({ event }) => event === name).length,
    ended,
    stop: async () => {
      abort.abort()
      await ended
    },
  }
}

export function upstreamOf(server: { port: number }, password?: string): ServerSettings {
  return makeServerSettings(`127.0.0.1:${server.port}`, { password })
}

export interface ReplicaInfo {
  linkUp: boolean
  replOffset: number
  fields: ReadonlyMap<string, string>
}

export async function replicationInfo(server: TestServer): Promise<ReplicaInfo> {
  const fields = parseInfo(await server.client.info('replication'))
  return {
    linkUp: fields.get('master_link_status') === 'up',
    replOffset: Number(fields.get('slave_repl_offset') ?? fields.get('master_repl_offset')),
    fields,
  }
}

export function parseInfo(text: string): Map<string, string> {
  const lines = text.split('\r\n').filter((line) => line.includes(':'))
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

/** Points the server to this port and waits until the link is up. */
export async function follow(replica: TestServer, port: number, timeoutMs = 20_000): Promise<void> {
  await replica.client.call('REPLICAOF', '127.0.0.1', String(port))
  await waitFor(async () => (await replicationInfo(replica)).linkUp, {
    what: `${replica.binary.name} to follow port ${port}`,
    timeoutMs,
  })
}

/** How often a server, or serve itself, gave a full resync. */
export async function syncCounts(
  server: TestServer,
): Promise<{ full: number; partial: number; refused: number }> {
  const fields = parseInfo(await server.client.info('stats'))
  return {
    full: Number(fields.get('sync_full')),
    partial: Number(fields.get('sync_partial_ok')),
    refused: Number(fields.get('sync_partial_err')),
  }
}
