/**
 * A long link behind Sentinels, made invisible: they list every replica of the master's INFO, for good,
 * and promote those that they take for one. Where they cannot look names up, each link announces one by
 * itself, and they have no entry for it at all. Else a port is announced with the link where their
 * connections are answered as by a replica with priority 0 that is not to be announced: these they neither
 * list, but for a moment, nor promote. It is a port for Sentinels: a few connections, small requests, no data.
 */
import type { ServerPlace, ServerSettings } from '../../net/server-settings.js'
import { reachOf } from '../clients/access.js'
import { DEFAULT_REPLICA_LIMITS } from '../limits.js'
import { Master } from '../master.js'
import { AnnouncedOrigin } from './announced-origin.js'

/** Two of each Sentinel, and a rush of new ones. */
const MAX_CONNECTIONS = 64
const CONNECTIONS_PER_SECOND = 20

export interface AnnounceWishes {
  /** Listen there and announce it; port 0: any that is free. Undefined: a name, where Sentinels watch the
   * master and do not look names up; else loopback, where the master is there. */
  announce: ServerPlace | undefined
  signal?: AbortSignal | undefined
  onWarning: (message: string) => void
}

export interface Announcement {
  /** To open links with, in place of those given. */
  readonly server: ServerSettings
  close(): Promise<void>
}

/** Rejects with ListenError or AbortedError. */
export async function announce(
  server: ServerSettings,
  wishes: AnnounceWishes,
): Promise<Announcement> {
  if (wishes.announce === undefined && (await server.hidingName?.(wishes.signal)) !== undefined) {
    return { server, close: () => Promise.resolve() }
  }
  const master = server.isWatched === true ? await masterOf(server, wishes.signal) : undefined
  const place = wishes.announce ?? defaultPlace(server, master)
  if (place === undefined) {
    if (server.isWatched === true) wishes.onWarning(LISTED)
    return { server, close: () => Promise.resolve() }
  }
  const at = master ?? { host: server.address.host, port: server.address.port }
  const origin = new AnnouncedOrigin(at)
  const listener = new Master({
    origin,
    password: undefined,
    tls: tlsOf(server),
    limits: DEFAULT_REPLICA_LIMITS,
    timeoutMs: 60_000,
    maxConnections: MAX_CONNECTIONS,
    connectionsPerSecond: CONNECTIONS_PER_SECOND,
    probeReplicas: false,
    assumedReplica: undefined,
    isAnnouncement: true,
    onEvent: () => undefined,
  })
  const { port } = await listener.listen(place.host, place.port)
  const host = isAny(place.host) || wishes.announce === undefined ? undefined : place.host
  const announcement = { host, port, onLink: origin.follow.bind(origin) }
  return { server: { ...server, announcement }, close: async () => await listener.close() }
}

const LISTED =
  'the Sentinels will list this link as a replica at port 0 that is down, also after it ended, until ' +
  'SENTINEL RESET; they never promote it. `announce` with an address of ours that they reach makes it ' +
  'invisible'

/** Undefined where there is none now: the link waits for one, and says so. */
async function masterOf(
  { locate }: ServerSettings,
  signal: AbortSignal | undefined,
): Promise<ServerPlace | undefined> {
  try {
    return await locate?.(signal)
  } catch (error) {
    if (signal?.aborted === true) throw error
    return undefined
  }
}

function defaultPlace(
  server: ServerSettings,
  master: ServerPlace | undefined,
): ServerPlace | undefined {
  if (server.isWatched !== true || master === undefined) return undefined
  if (server.address.transport === 'tls' && tlsOf(server) === undefined) return undefined
  return reachOf(master.host) === 'loopback' ? { host: '127.0.0.1', port: 0 } : undefined
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** Sentinels of servers that replicate over TLS come by TLS, too. Undefined where they do not, or we have
 * no certificate to show. */
function tlsOf({
  address,
  tls,
}: ServerSettings): { cert: string | Buffer; key: string | Buffer } | undefined {
  if (address.transport !== 'tls') return undefined
  const { cert, key } = tls ?? {}
  return cert === undefined || key === undefined ? undefined : { cert, key }
}
