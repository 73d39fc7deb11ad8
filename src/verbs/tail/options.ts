/** What `tail` is asked for, what it tells on the way, and what it says at the end: watching the
 * stream, and keeping it in an archive. */
import type { RrepError } from '../../errors.js'
import type { Readable, Writable } from 'node:stream'
import type { StatsSnapshot, StatsTable } from '../../analyze/traffic/command-stats.js'
import type { TrafficReport } from '../../analyze/traffic/traffic.js'
import type { Until } from '../../archive/moment.js'
import type { ArchiveWriterEvent } from '../../archive/writer/options.js'
import type { CommandFormat, CommandPlace, StringForm } from '../../formats/command-format.js'
import type { ServerPlace, ServerSettings } from '../../net/server-settings.js'
import type { LinkState, ResumePoint } from '../../replication/consumer.js'
import type { Progress, WarningEvent } from '../../source/progress.js'
import type { WritesLostEvent } from '../../replication/lost-writes.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'
import type { ShardEvent } from '../../topology/follow-cluster.js'

/** What is shown, and where. */
export interface TailViewOptions {
  /** Names, in any case. Default: all but PING, REPLCONF and SELECT. */
  commands?: readonly string[] | undefined
  /** By db and key name; a command passes if any of its keys does. */
  filter?: KeyFilterOptions | undefined
  /** End after so many commands shown. */
  count?: number | undefined
  /** Where lines go: a file descriptor (never blocks the reading of the stream) or a stream. */
  output?: TailOutput | undefined
  /** Each command that passes; its bytes are valid during the call only. Db -1: not known yet. */
  onCommand?: ((command: CommandDecoder, place: Readonly<CommandPlace>) => void) | undefined
  /** Commands too large to be held (16 MiB and more) come here in place of `onCommand`. */
  onTooLarge?: ((name: string, bytes: number, place: Readonly<CommandPlace>) => void) | undefined
  /** Asked between commands: a promise is waited for before more is read. */
  drain?: (() => Promise<void> | undefined) | undefined
  /** Figures in place of commands: each so often, of what was kept once at the end. */
  stats?: TailStatsOptions | undefined
  /** Figures of all that passes, told at the end, however that comes. */
  traffic?: TrafficOptions | undefined
}

export interface TrafficOptions {
  /** What ends a prefix. Default `:`. */
  separator?: string | undefined
  onReport: (report: TrafficReport) => void
}

/** Of what was kept. */
export interface RecordedTailOptions extends TailViewOptions {
  /** What `-` reads. */
  stdin?: Readable | undefined
  /** Only commands of this time (unix ms) and later. */
  fromMs?: number | undefined
  until?: Until
  signal?: AbortSignal | undefined
  onEvent?: ((event: RecordedTailEvent) => void) | undefined
}

export interface RecordedTailCall extends RecordedTailOptions {
  path: string
}

export type RecordedTailEvent =
  /** Between the two nothing was kept. */
  { event: 'gap'; fromReplOffset: number; toReplOffset: number } | WarningEvent

export interface RecordedTailResult {
  path: string
  /** Shown. */
  commands: number
  /** Whether shown or not. */
  readCommands: number
  /** False: offsets count bytes of the files. */
  hasReplOffsets: boolean
  /** Behind the last command read. */
  endOffset: number
  gaps: number
  /** Of an unfinished command or transaction at the end. */
  cutBytes: number
}

export interface TailOptions extends TailViewOptions {
  /** Begin in the past, if the backlog still has it. Default: with the next write. */
  from?: ResumePoint | undefined
  /** False: rather fail than make the master save a full snapshot. Default true. */
  allowFullResync?: boolean | undefined
  /** End after this time. */
  durationMs?: number | undefined
  /** Behind Sentinels: where their connections are answered, as by a replica that is neither listed nor
   * promoted. An address of ours that they reach; port 0: any that is free. Default: loopback where
   * the source is there, else nowhere, with a warning that says what they will list. */
  announce?: ServerPlace | undefined
  /** Failed attempts in a row before giving up. Default 5. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  onEvent?: ((event: TailEvent) => void) | undefined
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

export interface TailCall extends TailOptions {
  server: ServerSettings
}

/** Of a whole cluster: all shards' streams, as they come. */
export type TailClusterOptions = Omit<TailOptions, 'from' | 'stats' | 'announce' | 'onEvent'> & {
  onEvent?: ((event: TailClusterEvent) => void) | undefined
}

/** `shard` is the address of its master. */
export type TailClusterEvent = (TailEvent & { shard: string }) | ShardEvent

export interface TailClusterResult extends Omit<TailResult, 'replid' | 'replOffset'> {
  /** Where each ended. */
  shards: readonly Pick<TailResult, 'source' | 'replid' | 'replOffset'>[]
}

export interface TailOutput {
  to: number | Writable
  format: CommandFormat
  /** Of JSON. Default text. */
  strings?: StringForm | undefined
  /** Memory for a slow reader; beyond it the stream waits, for 10 s at most. Default 24 MB. */
  boundBytes?: number | undefined
  patienceMs?: number | undefined
}

export interface TailStatsOptions {
  intervalMs?: number | undefined
  /** What ends a prefix. Default `:`. */
  separator?: string | undefined
  /** What is counted by. Default: command, prefix, db. */
  tables?: readonly StatsTable[] | undefined
  onStats: (stats: TailStats) => void
}

export interface TailStats extends StatsSnapshot {
  replOffset: number
  /** Stream bytes that the master is ahead; undefined where it does not tell. */
  lagBytes: number | undefined
}

export type TailEvent =
  /** A snapshot is about to be asked for; `keys` and `usedMemoryBytes` tell what it costs. */
  | {
      event: 'resync-planned'
      plan: 'partial' | 'empty-snapshot' | 'full-snapshot'
      keys: number | undefined
      usedMemoryBytes: number | undefined
    }
  | { event: 'started'; replid: string | undefined; nextReplOffset: number; dbnum: number }
  | { event: 'link-lost'; message: string; retryInMs: number | undefined }
  | WarningEvent
  /** The master no longer had what came next: commands were missed. */
  | { event: 'gap'; fromReplOffset: number; toReplOffset: number }
  | WritesLostEvent

export interface TailResult {
  source: string
  /** Shown. */
  commands: number
  /** Of the stream, whether shown or not. */
  streamCommands: number
  streamBytes: number
  replid: string | undefined
  /** Last stream byte seen. */
  replOffset: number
  gaps: number
}

/**
 * `refused`: the master no longer has what comes next. `other-history`: there is another history at
 * the address now: a server that lost its data, or one that follows another master (in a cluster:
 * of another shard). `desync`: the stream made no sense.
 */
export type FullResyncReason = 'first' | 'refused' | 'other-history' | 'desync'

export type ArchiveEvent =
  | ArchiveWriterEvent
  /** Goes on where an earlier run (or connection) stopped. */
  | { event: 'continued'; replid: string; replOffset: number; previousReplid?: string | undefined }
  | {
      event: 'full-resync'
      replid: string
      replOffset: number
      reason: FullResyncReason
    }
  | { event: 'link-lost'; message: string; retryInMs: number | undefined }
  /** `file`: where they are kept, beside the archive's own files; undefined where they stay in it, in
   * front of the gap that follows. */
  | (WritesLostEvent & { file: string | undefined })
  | { event: 'snapshot-failed'; message: string }
  /** All stream bytes up to this one are in the repository. */
  | { event: 'shipped'; place: string; replOffset: number }
  /** It is tried again, the last time by the next run; the archive goes on. */
  | { event: 'ship-failed'; message: string; isLast: boolean }
  /** Something in the directory is not as it should be; nothing was deleted for it. */
  | WarningEvent
  /** Cut off from what a crash left: an unfinished command or transaction. */
  | { event: 'recovered'; file: string; cutBytes: number; replOffset: number }
  /** The last one, by the signal too. */
  | ({ event: 'stopped' } & ArchiveResult)

export interface ArchiveOptions {
  /** Made where it does not exist; its parent must. Default, with `ship`: none, and the disk holds only what has
   * not arrived there. */
  dir?: string | undefined
  /** Without `dir`: where that lies. Default: in /var/tmp. Found again by the next run. */
  spoolDir?: string | undefined
  /** Begin a new increment above this size, bytes; 0: never. Default 256 MB. */
  rotateBytes?: number | undefined
  /** A new base so often, over a second connection. Default: never. */
  snapshotEveryMs?: number | undefined
  /** Which older bases to keep. Default: all. */
  keep?: { bases: number } | { ageMs: number } | undefined
  /** Go on in an archive of another address whose history this master does not know: its
   * snapshot then follows, behind a gap. Default: refuse. */
  adopt?: boolean | undefined
  /** Default everysec. */
  fsync?: 'always' | 'everysec' | 'no' | undefined
  /** Acknowledge what is fsynced, so that WAITAOF (7.2+) counts the archive. WAIT then counts it
   * too, and FAILOVER may choose it. Default: ACK 0, which counts for nothing. */
  durable?: boolean | undefined
  /** Behind Sentinels: where their connections are answered, as by a replica that is neither listed nor
   * promoted. An address of ours that they reach; port 0: any that is free. Default: loopback where
   * the source is there, else nowhere, with a warning that says what they will list. */
  announce?: ServerPlace | undefined
  /** A repository (a directory, `s3://bucket/prefix`) that gets a copy as the archive grows. */
  ship?: string | undefined
  /** How often. Default 60 s. */
  shipEveryMs?: number | undefined
  /** Failed attempts in a row before giving up. Default: 5 until the first connection has
   * succeeded, then without end. */
  retries?: number | undefined
  /** End after this time as if done. */
  durationMs?: number | undefined
  signal?: AbortSignal | undefined
  onEvent?: ((event: ArchiveEvent) => void) | undefined
  /** Each second. */
  onProgress?: ((progress: ArchiveProgress) => void) | undefined
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
  /** In place of fdatasync; for tests of slow disks. */
  sync?: ((fd: number) => Promise<void>) | undefined
}

export interface ArchiveCall extends ArchiveOptions {
  server: ServerSettings
}

/** `done` is what has come in this run: snapshots and stream. */
export interface ArchiveProgress extends Progress<LinkState> {
  snapshotBytes: number
  streamBytes: number
  commands: number
  replOffset: number
  syncedReplOffset: number
}

export interface ArchiveResult {
  source: string
  /** Without a directory: where it lies in the repository. */
  dir: string
  replid: string | undefined
  replOffset: number
  /** Of this run. */
  streamBytes: number
  commands: number
  snapshots: number
  /** Times that the master no longer had what came next, in this run. */
  gaps: number
  /** Commands left out that had an effect on data (TRIMSLOTS, …), by name, over all runs. */
  dropped: Readonly<Record<string, number>>
  /** Of them in this run. */
  droppedCommands: number
  /** A server that loads the archive needs `databases` above this. */
  highestDbnum: number
  /** With `ship`: where the copy lies, and what it has; `error`: what the last attempt ended with. */
  shipped?: { place: string; replOffset: number; error: RrepError | undefined } | undefined
}

/** Of a whole cluster: an archive a shard beside `nodes.json`. */
export type ArchiveClusterOptions = Omit<
  ArchiveOptions,
  'dir' | 'spoolDir' | 'adopt' | 'announce' | 'ship' | 'shipEveryMs' | 'onEvent' | 'onProgress'
> & {
  /** Made where it does not exist; its parent must. */
  dir: string
  onEvent?: ((event: ArchiveClusterEvent) => void) | undefined
  /** Each second: the sums of all shards. */
  onProgress?: ((progress: ArchiveClusterProgress) => void) | undefined
}

/** `shard` is the address of its master. */
export type ArchiveClusterEvent = (ArchiveEvent & { shard: string }) | ShardEvent

export interface ArchiveClusterProgress extends Progress<LinkState> {
  shards: number
  /** Last stream byte kept of each shard, by its id. */
  replOffsets: Readonly<Record<string, number>>
  snapshotBytes: number
  streamBytes: number
  commands: number
}

export interface ArchiveClusterResult {
  source: string
  dir: string
  /** Of each shard that there was in this run. */
  shards: readonly ArchiveResult[]
  gaps: number
}
