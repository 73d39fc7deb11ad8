/** What a replay is asked for, what it tells on the way, and what it says at the end. */
import type { Readable } from 'node:stream'
import type { RrepError } from '../../errors.js'
import type { WritesLostEvent } from '../../replication/lost-writes.js'
import type { ServerPlace, ServerSettings } from '../../net/server-settings.js'
import type { Source } from '../../source/classify.js'
import type { Damage } from '../../source/damage.js'
import type { Progress } from '../../source/progress.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'
import type { KeyRewriteRule } from '../../target/key-mapping.js'
import type { OnConflict } from '../../target/key-target.js'
import type { LedgerReport } from '../../target/ledger.js'
import type { Transform } from '../../target/transform.js'
import type { ClusterSeeds } from '../../topology/cluster.js'
import type { DiffResult } from '../diff/options.js'

export interface ReplayOptions {
  /** What `-` reads. */
  stdin?: Readable | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  /** Stop behind this moment (unix ms: by `#TS:` lines; of a live source, by when it was received, to 5 ms) or
   * behind this offset: of the replication stream for archives and servers, of the file's bytes for
   * other AOFs. */
  until?: { unixMs: number } | { offset: number } | undefined
  /** AOF and archive: only commands stamped at or after this time (unix ms); no base is loaded. */
  fromMs?: number | undefined
  /** A key that the target has already. `fail` (default): it is left and reported. */
  onConflict?: OnConflict | undefined
  /** RESTORE payloads or commands. Default auto. */
  restore?: 'auto' | 'always' | 'never' | undefined
  filter?: KeyFilterOptions | undefined
  mapDb?: ReadonlyMap<number, number> | undefined
  rewriteKey?: readonly KeyRewriteRule[] | undefined
  transform?: Transform | undefined
  /** Bytes a second to the target. */
  rateBytesPerSecond?: number | undefined
  /** Reads everything, writes nothing: what would be done stands in the ledger. */
  dryRun?: boolean | undefined
  /** FLUSHALL (and FUNCTION FLUSH) first. Who asks the user is the caller. */
  emptyTarget?: boolean | undefined
  /** A live source: end when the lag has been under a second for a second. */
  untilSynced?: boolean | undefined
  /** A live source: end when no write has come for a second and everything is in the target. */
  untilQuiet?: boolean | undefined
  /** Default `rrep:checkpoint`. Two replays into one target need two. */
  checkpointKey?: string | undefined
  /** Where a live source is spooled. Default: a directory of its own in the temporary directory. */
  spoolDir?: string | undefined
  /** A live source behind Sentinels: where their connections are answered, as by a replica that is neither listed nor
   * promoted. An address of ours that they reach; port 0: any that is free. Default: loopback where
   * the source is there, else nowhere, with a warning that says what they will list. */
  announce?: ServerPlace | undefined
  /** Connections for the snapshot. Default 3. */
  connections?: number | undefined
  /** Values above this size go by commands in place of one RESTORE. Default 16 MiB. */
  maxPayloadBytes?: number | undefined
  /** The fastest way into an empty server: the target replicates from a master of ours for the load, and
   * is a master again at the end, with the settings that it had. Refused with the reason where that
   * cannot be. Of a dump, an AOF or an archive. */
  viaReplica?: boolean | undefined
  /** With `viaReplica`: where to listen for the target. Default: the address that it sees us by. */
  listen?: ListenPlace | undefined
  /** With `viaReplica`: where it is kept what the target was before. Default: `$XDG_STATE_HOME/rrep`, else
   * `~/.local/state/rrep`. */
  stateDir?: string | undefined
  /** @internal A load that takes so long is told that `viaReplica` is faster. */
  adviceFromMs?: number | undefined
  /** Compare source and target when done (see `diff`). For a file, an archive, or a live server whose
   * writers have stopped, written under its own names into its own dbs. */
  verify?: boolean | undefined
  /** `verify` of an AOF or an archive: the redis-server or valkey-server in which its commands are
   * applied for the comparison. Default: that of PATH. */
  withServer?: string | undefined
  /** A dump: goes on behind damage where that is safe. What is sound is written, what was lost is
   * in the result with the error, and what follows the snapshot is left out. */
  salvage?: boolean | undefined
  /** Attempts after a failure that can pass, on each side. Default 5. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: ReplayProgress) => void) | undefined
  onEvent?: ((event: ReplayEvent) => void) | undefined
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

/** `0.0.0.0` and `::` listen on all addresses; port 0 is any that is free. */
export interface ListenPlace {
  readonly host: string
  readonly port: number
}

/** By slot: 1 where it counts. */
export interface ShardTarget {
  readonly slots: Uint8Array
  readonly nodes: readonly { readonly server: ServerSettings; readonly slots: Uint8Array }[]
  /** A node has failed. True: the load goes on without it. */
  readonly mayLose?: (error: unknown, node: number) => boolean
}

/** A replay under way. */
export interface ReplayCall extends ReplayOptions {
  source: Exclude<Source, { kind: 'cluster' }>
  target: ServerSettings
  /** The target is masters of a cluster, with these slots; `target` is one of them. Keys of other slots
   * are not for it. */
  shard?: ShardTarget | undefined
  /** The target is the cluster of these nodes, as one; `target` is one of them. */
  intoCluster?: ClusterSeeds | undefined
  /** The source is the cluster of these nodes, live; `source` is one of them. */
  cluster?: ClusterSeeds | undefined
}

/** `check`: is the source whole, before the target is emptied. `receive`: the snapshot comes in.
 * `load`: it goes out. `stream`: commands. `finish`: expiries, counted in keys. */
export interface ReplayProgress extends Progress<
  'check' | 'receive' | 'load' | 'stream' | 'finish'
> {
  keys: number
  commands: number
  /** A live source: received and not yet in the target. */
  lagBytes?: number
  lagMs?: number
}

export type ReplayEvent =
  | { event: 'target'; server: string; version: string; keys: number }
  | { event: 'expiry'; how: 'import-mode' | 'shift' }
  /** Of several streams no offset is told. */
  | { event: 'resumed'; replOffset: number | undefined }
  | { event: 'emptied' }
  | { event: 'snapshot'; replOffset: number; bytes: number }
  | { event: 'loaded'; keys: number }
  /** With `viaReplica`: the target is a replica now, of this address of ours. */
  | { event: 'replicates'; from: string }
  /** A target that a load by replication left behind is a master again. `data`: what it has of the load. */
  | {
      event: 'put-right'
      why: string
      data: 'whole' | 'none' | 'part'
      keys: number
      /** What its own `masterauth` or `masteruser` was is not known here. */
      isIncomplete: boolean
    }
  /** `viaReplica` would have worked, and this load was long. */
  | ({ event: 'advice' } & Advice)
  | { event: 'caught-up'; replOffset: number | undefined }
  /** The end that was waited for. `same`: source and target are the same there; else everything up
   * to there was sent. */
  | { event: 'synced'; replOffset: number | undefined; same: boolean }
  /** Of a live source. `keys`: what the target held of it, which is put right; the first of them by name. */
  | (WritesLostEvent & { keys: number; names: readonly string[] })
  /** They are as they are on the new master at this offset. */
  | { event: 'repaired'; keys: number; replOffset: number }
  | { event: 'link-lost'; side: 'source' | 'target'; message: string; retryInMs?: number }
  | { event: 'warning'; message: string }

/** So many times as fast it would have been, by what was measured of such keys. */
export interface Advice {
  timesFrom: number
  timesTo: number
}

export interface ReplayResult {
  ledger: LedgerReport
  /** False: something was not written that nobody asked to skip. */
  complete: boolean
  /** Where the replay ended in the source, where that has offsets. */
  replOffset: number | undefined
  /** Set where the run was stopped by the signal (a live source: the normal end). */
  stopped: boolean
  durationMs: number
  /** What the comparison said, where one was asked for; `complete` does not count it in. */
  verified: DiffResult | undefined
  /** With `salvage`. */
  salvaged: Salvaged | undefined
}

/** What a replay with `salvage` did not get out of the dump. */
export type Salvaged = Damage

/** How a replay ended, whatever its source. */
export interface ReplayOutcome {
  replOffset: number | undefined
  stopped: boolean
  salvaged?: Salvaged
}

/** An error of a replay under way: the ledger up to there goes with it. */
export interface ReplayFailure {
  error: RrepError
  ledger: LedgerReport
}
