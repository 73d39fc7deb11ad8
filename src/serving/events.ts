/** What happens while serving, told to the caller as it happens. Addresses are `ip:port`. */
import type { LostStream } from '../replication/consumer.js'
import type { RdbMagic } from '../servers/rdb-version.js'

export type ServeEvent =
  | {
      event: 'full-resync'
      replica: string
      replid: string
      replOffset: number
      rdbVersion: number
      rdbFamily: RdbMagic['family']
      /** Set where the snapshot is sent under a lower version. */
      sentAsVersion?: number | undefined
    }
  /** A dump that was served already while it was looked through: it is whole and sound. */
  | {
      event: 'source-checked'
      keys: number
      rdbBytes: number
      rdbVersion: number
      rdbFamily: RdbMagic['family']
    }
  | { event: 'partial-resync'; replica: string; replid: string; nextReplOffset: number }
  | { event: 'replica-online'; replica: string; replOffset: number; snapshotBytes: number }
  | { event: 'replica-lost'; replica: string; reason: string; replOffset: number; cutOff: boolean }
  | { event: 'replica-refused'; replica: string; reason: string }
  | {
      event: 'replica-version-unknown'
      replica: string
      reason: string
      rdbVersion: number
      rdbFamily: RdbMagic['family']
    }
  | { event: 'client-refused'; client: string; reason: string }
  | { event: 'upstream-full-resync'; upstream: string; replid: string; replOffset: number }
  /** A full resync of another history: the replicas will have to take its data for theirs. */
  | {
      event: 'upstream-other-history'
      upstream: string
      replid: string
      previousReplid: string
      previousReplOffset: number
    }
  /** What is served is one shard of a cluster. */
  | { event: 'upstream-cluster-node'; upstream: string }
  /** As only nodes of a cluster can: all replicas take a new snapshot. */
  | { event: 'upstream-deleted-slots'; upstream: string; replOffset: number }
  /** That has no keys, where there was a history before: the replicas will be emptied. */
  | { event: 'upstream-empty'; upstream: string; replOffset: number }
  | { event: 'upstream-snapshot'; upstream: string; bytes: number; replOffset: number }
  | { event: 'upstream-continued'; upstream: string; replid: string; nextReplOffset: number }
  | {
      event: 'upstream-renamed'
      upstream: string
      replid: string
      previousReplid: string
      nextReplOffset: number
    }
  /** The failover that made upstream a master lost them: replicas that have them take a full resync. */
  | ({ event: 'upstream-lost-writes'; upstream: string; writes: number } & LostStream)
  | { event: 'upstream-lost'; upstream: string; reason: string; retryInMs: number | undefined }
  | { event: 'upstream-changed'; upstream: string }
  | { event: 'warning'; message: string }
  | { event: 'backlog-restored'; replid: string; firstReplOffset: number; endReplOffset: number }
  | { event: 'backlog-disk-failed'; reason: string }
  /** Something in the directory is not what was written there: it is not used. */
  | { event: 'backlog-damaged'; reason: string }

export type OnServeEvent = (event: ServeEvent) => void
