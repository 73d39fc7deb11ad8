/** What a connection needs of the master it belongs to. */
import type { ChunkPool } from './chunk-pool.js'
import type { Client } from './clients/client.js'
import type { ServeEvent } from './events.js'
import type { FairTurns } from './clients/fair-turns.js'
import type { ReplicaLimits } from './limits.js'
import type { Origin } from './origin/origin.js'
import type { ServerKind } from '../servers/rdb-version.js'

export interface ServeStats {
  connections: number
  refusedConnections: number
  commands: number
  full: number
  partialGranted: number
  partialRefused: number
  cutOff: number
  /** Of replicas that are gone; those that are there are added where it is shown. */
  snapshotBytes: number
  streamBytes: number
}

export interface ConnectionHost {
  readonly origin: Origin
  readonly password: string | undefined
  readonly limits: ReplicaLimits
  /** A replica without a sign of life for so long is dropped (repl-timeout). */
  readonly timeoutMs: number
  readonly stats: ServeStats
  readonly connections: ReadonlySet<Client>
  readonly turns: FairTurns
  readonly chunks: ChunkPool
  /** What to take replicas for that do not tell. */
  readonly assumedReplica: ServerKind | undefined
  readonly probeReplicas: boolean
  /** Passwords that it does not have are taken: Sentinels send one to all that they watch. */
  readonly isAnnouncement: boolean
  /** Told by INFO and HELLO: the server whose data this is. */
  readonly reportedServer: ServerKind
  readonly startedMs: number
  readonly listenPort: number
  readonly runId: string
  nextClientId(): number
  emit(event: ServeEvent): void
  closed(connection: Client): void
  /** An ACK came: WAIT may be over. */
  acknowledged(connection: Client): void
  /** Resolves at the next second, or when the log grew; rejects where aborted by then. */
  nextTick(signal: AbortSignal): Promise<void>
  /** WAIT: resolves with the number of replicas that have everything of now; at the latest at the
   * next ACK or second after the signal. */
  waitForAcks(replicas: number, timeoutMs: number, signal: AbortSignal): Promise<number>
}
