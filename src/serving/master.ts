/**
 * The master's side: listens, keeps the connections within their limits, wakes the replicas when
 * the stream grows, and drops them when the history is another.
 */
import { randomBytes } from 'node:crypto'
import type { Server as HttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { AbortedError, ListenError } from '../errors.js'
import { RateLimit } from './clients/access.js'
import { ChunkPool } from './chunk-pool.js'
import { Connection, UNAUTHENTICATED_MS } from './clients/connection.js'
import type { OnServeEvent, ServeEvent } from './events.js'
import { FairTurns } from './clients/fair-turns.js'
import type { ConnectionHost, ServeStats } from './host.js'
import type { ReplicaLimits } from './limits.js'
import { createMetricsServer } from './metrics.js'
import type { Origin } from './origin/origin.js'
import type { ServerKind } from '../servers/rdb-version.js'
import { errorReply } from './clients/replies.js'

export interface MasterOptions {
  origin: Origin
  password: string | undefined
  tls: TlsOptions | undefined
  limits: ReplicaLimits
  timeoutMs: number
  /** Most connections at once, replicas included. */
  maxConnections: number
  connectionsPerSecond: number
  probeReplicas: boolean
  assumedReplica: ServerKind | undefined
  /** Nothing is served: see announce/. */
  isAnnouncement?: boolean | undefined
  onEvent: OnServeEvent
}

/** What clients are told where the source does not say. */
const DEFAULT_SERVER: ServerKind = { family: 'redis', version: '7.2.0' }
export class Master implements ConnectionHost {
  readonly origin: Origin
  readonly password: string | undefined
  readonly limits: ReplicaLimits
  readonly timeoutMs: number
  readonly assumedReplica: ServerKind | undefined
  readonly probeReplicas: boolean
  readonly isAnnouncement: boolean
  readonly startedMs = Date.now()
  readonly runId = randomBytes(20).toString('hex')
  readonly connections = new Set<Connection>()
  readonly turns = new FairTurns()
  readonly chunks = new ChunkPool()
  readonly stats: ServeStats = {
    connections: 0,
    refusedConnections: 0,
    commands: 0,
    full: 0,
    partialGranted: 0,
    partialRefused: 0,
    cutOff: 0,
    snapshotBytes: 0,
    streamBytes: 0,
  }
  readonly #options: MasterOptions
  readonly #server: Server
  readonly #rate: RateLimit
  #metrics: HttpServer | undefined
  #timer: NodeJS.Timeout | undefined
  #isPumpScheduled = false
  #clientId = 0
  #tickWaiters: (() => void)[] = []
  #ackWaiters: (() => void)[] = []
  /** Turned away, and not gone yet. */
  readonly #refused = new Set<Socket>()
  listenPort = 0

  constructor(options: MasterOptions) {
    this.#options = options
    this.origin = options.origin
    this.password = options.password
    this.limits = options.limits
    this.timeoutMs = options.timeoutMs
    this.assumedReplica = options.assumedReplica
    this.probeReplicas = options.probeReplicas
    this.isAnnouncement = options.isAnnouncement === true
    this.#rate = new RateLimit(options.connectionsPerSecond, Date.now())
    const accept = (socket: Socket): void => this.#accept(socket)
    this.#server =
      options.tls === undefined
        ? createServer({ noDelay: true, highWaterMark: 64 << 10 }, accept)
        : createTlsServer({ ...options.tls, handshakeTimeout: UNAUTHENTICATED_MS }, accept)
    // A client that fails the TLS handshake is its own trouble.
    this.#server.on('tlsClientError', () => (this.stats.refusedConnections += 1))
    this.origin.setListener({
      onAppended: () => this.#appended(),
      onHistoryChanged: (reason) => this.dropReplicas(reason),
    })
  }

  /** Resolves with the address once it listens. Rejects with ListenError. */
  async listen(host: string, port: number): Promise<AddressInfo> {
    const address = await listenOn(this.#server, host, port)
    this.listenPort = address.port
    this.#timer = setInterval(() => this.#tick(), 1000)
    return address
  }

  async listenForMetrics(host: string, port: number): Promise<AddressInfo> {
    this.#metrics = createMetricsServer(this)
    return await listenOn(this.#metrics, host, port)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    for (const connection of [...this.connections]) connection.close('the master ends')
    for (const socket of this.#refused) socket.destroy()
    const servers = [this.#server, this.#metrics].filter((each) => each?.listening === true)
    this.#metrics?.closeAllConnections()
    await Promise.all(
      servers.map((each) => new Promise<void>((resolve) => each!.close(() => resolve()))),
    )
    this.#wakeTickWaiters()
  }

  /** Ends the connections of all replicas: they come again and ask for what there is now. */
  dropReplicas(reason: string): void {
    for (const connection of [...this.connections]) {
      if (connection.isReplica) connection.close(reason)
    }
    this.#wakeTickWaiters()
  }

  /** For the log: the first byte that a replica still needs, after those beyond their limit have
   * been cut off. */
  retainedReplOffset(): number {
    const nowMs = Date.now()
    let lowest = Infinity
    for (const connection of [...this.connections]) {
      connection.checkLag(nowMs)
      lowest = Math.min(lowest, connection.neededReplOffset)
    }
    return lowest
  }

  get reportedServer(): ServerKind {
    return this.origin.writer ?? DEFAULT_SERVER
  }

  nextClientId(): number {
    this.#clientId += 1
    return this.#clientId
  }

  emit(event: ServeEvent): void {
    this.#options.onEvent(event)
  }

  closed(connection: Connection): void {
    if (!this.connections.delete(connection)) return
    this.stats.streamBytes += connection.feed?.streamBytes ?? 0
    this.stats.snapshotBytes += connection.feed?.snapshotBytes ?? 0
  }

  acknowledged(): void {
    const waiters = this.#ackWaiters
    if (waiters.length === 0) return
    this.#ackWaiters = []
    for (const wake of waiters) wake()
  }

  async nextTick(signal: AbortSignal): Promise<void> {
    // Who is closed meanwhile hears of it at the next tick: no listener is left behind each.
    await new Promise<void>((resolve) => this.#tickWaiters.push(resolve))
    if (signal.aborted) throw new AbortedError()
  }

  async waitForAcks(replicas: number, timeoutMs: number, signal: AbortSignal): Promise<number> {
    const wanted = this.origin.boundaryReplOffset
    const untilMs = timeoutMs === 0 ? Infinity : Date.now() + timeoutMs
    const count = (): number =>
      [...this.connections].filter(
        (each) => each.state === 'online' && each.ackedReplOffset >= wanted,
      ).length
    // ACKs come each second and the tick too, so a time that is up is seen in time.
    while (count() < replicas && Date.now() < untilMs && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#ackWaiters.push(resolve)
        setTimeout(resolve, Math.min(1000, untilMs - Date.now())).unref()
      })
    }
    return count()
  }

  #accept(socket: Socket): void {
    const nowMs = Date.now()
    if (this.connections.size >= this.#options.maxConnections) {
      this.#refuse(socket, 'ERR max number of clients reached')
      return
    }
    if (!this.#rate.take(nowMs)) {
      this.#refuse(socket, 'ERR too many connections a second')
      return
    }
    this.stats.connections += 1
    this.connections.add(new Connection(socket, this))
  }

  #refuse(socket: Socket, line: string): void {
    this.stats.refusedConnections += 1
    // The peer may be gone already: nothing follows from that.
    socket.on('error', () => undefined)
    this.#refused.add(socket)
    socket.on('close', () => this.#refused.delete(socket))
    socket.end(errorReply(line))
    setTimeout(() => socket.destroy(), 1000).unref()
  }

  /** Wakes the replicas once for all that comes in one turn of the event loop. */
  #appended(): void {
    if (this.#isPumpScheduled) return
    this.#isPumpScheduled = true
    setImmediate(() => {
      this.#isPumpScheduled = false
      for (const { feed } of this.connections) feed?.pump()
      if (this.#tickWaiters.length > 0) this.#wakeTickWaiters()
    })
  }

  #tick(): void {
    const nowMs = Date.now()
    this.origin.tick(nowMs)
    for (const connection of [...this.connections]) connection.tick(nowMs)
    this.#wakeTickWaiters()
  }

  #wakeTickWaiters(): void {
    const waiters = this.#tickWaiters
    this.#tickWaiters = []
    for (const wake of waiters) wake()
  }
}

async function listenOn(
  server: Server | HttpServer,
  host: string,
  port: number,
): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new ListenError(
          'ERR_CANNOT_LISTEN',
          error.code === 'EADDRINUSE'
            ? `${host}:${port} is already in use`
            : `cannot listen on ${host}:${port}: ${error.code ?? error.message}`,
          { cause: error },
        ),
      ),
    )
    server.listen({ host, port }, resolve)
  })
  return server.address() as AddressInfo
}
