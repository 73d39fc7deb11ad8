/** What `tail` is asked for, what it tells on the way, and what it says at the end: watching the
 * stream, and keeping it in an archive. */
import type { Readable, Writable } from 'node:stream'
import type { StatsSnapshot } from '../../analyze/command-stats.js'
import type { Until } from '../../archive/moment.js'
import type { ArchiveWriterEvent } from '../../archive/writer/options.js'
import type { CommandFormat, CommandPlace, StringForm } from '../../formats/command-format.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { LinkState, ResumePoint } from '../../replication/consumer.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'

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
  /** Figures in place of commands: each so often, of what was kept once at the end. */
  stats?: TailStatsOptions | undefined
}

/** Of what was kept. */
export interface RecordedTailOptions extends TailViewOptions {
  /** An AOF, an archive or another directory in multi-part form, its manifest, or `-`. */
  path: string
  stdin?: Readable | undefined
  /** Only commands of this time (unix ms) and later. */
  fromMs?: number | undefined
  until?: Until
  signal?: AbortSignal | undefined
  onNotice?: ((notice: RecordedTailNotice) => void) | undefined
}

export type RecordedTailNotice =
  /** Between the two nothing was kept. */
  | { kind: 'gap'; fromReplOffset: number; toReplOffset: number }
  | { kind: 'warning'; message: string }

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
  server: ServerSettings
  /** Begin in the past, if the backlog still has it. Default: with the next write. */
  from?: ResumePoint | undefined
  /** False: rather fail than make the master save a full snapshot. Default true. */
  allowFullResync?: boolean | undefined
  /** End after this time. */
  durationMs?: number | undefined
  /** Failed attempts in a row before giving up. Default 5. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  onNotice?: ((notice: TailNotice) => void) | undefined
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
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
  onStats: (stats: TailStats) => void
}

export interface TailStats extends StatsSnapshot {
  replOffset: number
  /** Stream bytes that the master is ahead; undefined where it does not tell. */
  lagBytes: number | undefined
}

export type TailNotice =
  /** A snapshot is about to be asked for; `keys` and `usedMemoryBytes` tell what it costs. */
  | {
      kind: 'resync-planned'
      plan: 'partial' | 'empty-snapshot' | 'full-snapshot'
      keys: number | undefined
      usedMemoryBytes: number | undefined
    }
  | { kind: 'started'; replid: string | undefined; nextReplOffset: number; dbnum: number }
  | { kind: 'link-lost'; message: string; retryInMs: number | undefined }
  /** The master no longer had what came next: commands were missed. */
  | { kind: 'gap'; fromReplOffset: number; toReplOffset: number }

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
  | { event: 'snapshot-failed'; message: string }
  /** Something in the directory is not as it should be; nothing was deleted for it. */
  | { event: 'warning'; message: string }
  /** Cut off from what a crash left: an unfinished command or transaction. */
  | { event: 'recovered'; file: string; cutBytes: number; replOffset: number }
  /** The last one, by the signal too. */
  | ({ event: 'stopped' } & ArchiveResult)

export interface ArchiveOptions {
  server: ServerSettings
  /** Made where it does not exist; its parent must. */
  dir: string
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

export interface ArchiveProgress {
  state: LinkState
  snapshotBytes: number
  streamBytes: number
  commands: number
  replOffset: number
  syncedReplOffset: number
}

export interface ArchiveResult {
  source: string
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
}
