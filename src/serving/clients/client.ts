/** What the rest of the master's side sees of one client: who it is, and how far it has come. */
import type { Listener } from './pubsub.js'
import type { ReplicaProfile } from './replica-profile.js'
import type { Transaction } from './transaction.js'

export type ConnectionState = 'client' | 'wait' | 'send_bulk' | 'held' | 'online' | 'closed'

/** Of INFO's slaveN lines and of ROLE. */
export const STATE_NAMES: Readonly<Record<ConnectionState, string>> = {
  client: 'none',
  wait: 'wait_bgsave',
  send_bulk: 'send_bulk',
  held: 'send_bulk',
  online: 'online',
  closed: 'none',
}

export interface Client extends Listener {
  readonly id: number
  readonly profile: ReplicaProfile
  readonly connectedMs: number
  readonly peer: string
  readonly peerIp: string
  readonly peerPort: number
  isAuthenticated: boolean
  failedAuths: number
  readonly requestCount: number
  readonly inlineRequests: number
  readonly lastRequestMs: number
  readonly state: ConnectionState
  /** What the replica has processed, as it says; -1 before it said. */
  readonly ackedReplOffset: number
  readonly ackMs: number
  readonly isReplica: boolean
  /** How logs and metrics name it. */
  readonly replicaName: string
  /** What it has got of snapshot and stream, once it is a replica. */
  readonly feed:
    | {
        readonly nextReplOffset: number
        readonly lagBytes: number
        readonly streamBytes: number
        readonly snapshotBytes: number
      }
    | undefined
  readonly transaction: Transaction
  /** Aborted when it is gone. */
  readonly signal: AbortSignal
  /** Nothing more of it is read until then. */
  answerWith(reply: Promise<Buffer>): void
  /** Closes it, after the answer where there is one. */
  finish(lastWords?: Buffer): void
}
