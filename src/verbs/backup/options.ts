/** What a backup is asked for, what it tells on the way, and what it says at the end. */
import type { RrepError } from '../../errors.js'
import type { Readable } from 'node:stream'
import type { Until } from '../../archive/moment.js'
import type { Compression } from '../../disk/compression.js'
import type { Proof } from '../../repository/proof.js'
import type { BackupRecord } from '../../repository/record.js'
import type { RetentionPolicy } from '../../repository/retention.js'
import type { Progress, RetryEvent, WarningEvent } from '../../source/progress.js'

export interface BackupOptions {
  /** The repository: a directory, made where it does not exist (its parent must), or `s3://bucket/prefix`. */
  to: string
  /** Default: host and port of the source. */
  name?: string | undefined
  compress?: Compression | undefined
  /** An AOF or an archive: its state at this moment. Default: the end. */
  until?: Until
  /** What `-` reads. */
  stdin?: Readable | undefined
  /** Recipients of age (`age1…`), or files with one a line: what is stored can be read with an identity of one
   * of them only. */
  encryptTo?: readonly string[] | undefined
  /** The file with an identity of age: for `prove` of what is encrypted, and for an encrypted source. */
  identity?: string | undefined
  tags?: readonly string[] | undefined
  /** What is kept behind it, of this name; else nothing is removed. */
  keep?: RetentionPolicy | undefined
  /** Far fewer keys than last time: stored, and nothing is removed. A share from 0 to 1 of the keys that
   * may go; 0: no guard. Default 0.5. */
  guard?: number | undefined
  /** A server of our own loads it, and is compared with it. */
  prove?: boolean | undefined
  /** The redis-server or valkey-server for that, and for the commands of an archive. Default: that of
   * PATH. */
  withServer?: string | undefined
  /** A cluster: all shards at one moment, to which their streams are followed. */
  moment?: boolean | undefined
  /** With `moment`: all writes are held for some milliseconds meanwhile, so that none is cut off from one
   * before it. */
  strict?: boolean | undefined
  /** One node of a cluster is meant, its shard alone. */
  node?: boolean | undefined
  /** Nothing is stored or removed. */
  dryRun?: boolean | undefined
  retries?: number | undefined
  signal?: AbortSignal | undefined
  onEvent?: ((event: WarningEvent | RetryEvent) => void) | undefined
  /** `sync`: the snapshot comes in. `check`: it is read again, whole. `prove`: it is compared with
   * what a server has loaded. */
  onProgress?: ((progress: Progress<'sync' | 'check' | 'prove'>) => void) | undefined
}

export interface BackupResult {
  record: BackupRecord
  directory: string
  /** The guard held: far fewer keys than before, and nothing was removed. */
  guarded: { before: number; now: number } | undefined
  proof?: Proof | undefined
  /** The backup is stored, and could not be proven: nothing was removed. */
  proofError?: RrepError | undefined
  pruned: readonly string[]
  /** The backup is stored, and older ones could not be removed. */
  pruneError?: RrepError | undefined
}

export interface PruneOptions {
  name?: string | undefined
  keep: RetentionPolicy
  /** Say only what would go. */
  dryRun?: boolean | undefined
  signal?: AbortSignal | undefined
}

export interface KeptBackup {
  name: string
  id: string
  directory: string
  /** Why it is kept; empty: it goes. */
  reasons: readonly string[]
}

export interface PruneResult {
  backups: readonly KeptBackup[]
  removed: readonly string[]
  /** Without a record, and older than a day. */
  unfinishedRemoved: readonly string[]
}

export interface VerifyResult {
  record: BackupRecord
  directory: string
  /** Those that were read, or, where the content was not, those of the record. */
  keys: number
  /** False: it is encrypted and no identity was given. Its bytes are those that were stored. */
  wasContentRead: boolean
  /** False: an older version wrote its record, without a hash of the record itself. */
  wasRecordHashed: boolean
  proof?: Proof | undefined
}
