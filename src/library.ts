/**
 * The verbs as the library has them: the same as on the command line, with two promises more. A call
 * whose signal fires rejects with the signal's own reason (but for `serve` and a replay of a live source,
 * which have no other end: they resolve, and say that they were stopped). A call that meets damage
 * rejects with the error that names it; where keys are read (`inspect` and its kin, `exportKeys`,
 * `diff`) `partial` of that error is what the call had come to (with `salvage` damage is what is
 * asked for: it stands in the result).
 *
 * Sources are paths, addresses (`redis://127.0.0.1:6379`, `host:6379`) or `-` for `stdin` of the
 * options, as on the command line; or what `makeServerSettings` makes, where there is more to say of
 * how to reach a server. Options that are left out have the defaults named with them.
 */
import { AbortedError, type InputError } from './errors.js'
import {
  readSource,
  refuseCluster,
  type ServerName,
  type SourceName,
  type StoredSource,
} from './source/classify.js'
import type { RdbKey } from './source/rdb-key.js'
import type { RdbSummary, RdbVisitor } from './rdb/visitor.js'
import {
  readRdb as runReadRdb,
  walkRdb as runWalkRdb,
  type RdbSource,
  type ReadRdbOptions,
  type WalkedRdb,
  type WalkRdbOptions,
} from './source/read-rdb.js'
import { backup as runBackup, type BackupOptions, type BackupResult } from './verbs/backup/run.js'
import { copyBackup as runCopy, type CopyOptions, type CopyResult } from './verbs/backup/copy.js'
import type { VerifyResult } from './verbs/backup/options.js'
import {
  verifyArchive as runVerifyArchive,
  type VerifyArchiveOptions,
  type VerifyArchiveResult,
} from './verbs/backup/verify-archive.js'
import { verifyBackup as runVerify, type VerifyOptions } from './verbs/backup/verify.js'
import { doctor as runDoctor, type DoctorOptions, type DoctorResult } from './verbs/doctor/run.js'
import { diff as compare, type DiffOptions, type DiffResult } from './verbs/diff/run.js'
import {
  exportKeys as runExport,
  type ExportOptions,
  type ExportResult,
} from './verbs/export/run.js'
import {
  history as runHistory,
  undoCommand as runUndo,
  type HistoryEntry,
  type HistoryOptions,
  type UndoOptions,
  type UndoResult,
} from './verbs/history/run.js'
import { sql as runSql, type SqlOptions, type SqlRows } from './verbs/sql/run.js'
import { inspectRows as runRows } from './verbs/inspect/lines.js'
import {
  growth as compareInTime,
  type GrowthOptions,
  type GrowthResult,
} from './verbs/growth/run.js'
import { inspectReport as runReport, type InspectReportResult } from './verbs/inspect/report.js'
import { inspectKey as runKey } from './verbs/inspect/one-key.js'
import type {
  InspectKeyOptions,
  InspectOptions,
  InspectReportOptions,
  InspectResult,
  InspectRowsOptions,
  ReadOutcome,
} from './verbs/inspect/options.js'
import { checkRdb as runCheck, inspect as runInspect } from './verbs/inspect/run.js'
import {
  finishReplay as runFinish,
  type FinishOptions,
  type FinishResult,
} from './verbs/replay/finish.js'
import {
  passLedger,
  replay as runReplay,
  type ReplayOptions,
  type ReplayResult,
  type TargetName,
} from './verbs/replay/run.js'
import {
  restoreTo as runRestore,
  type RestoreOptions,
  type RestoreResult,
} from './verbs/restore/run.js'
import { serve as runServe, type ServeOptions, type ServeResult } from './verbs/serve/run.js'
import type { ClusterSeeds } from './topology/cluster.js'
import { syncCluster as runSyncCluster } from './verbs/sync/cluster.js'
import { syncMoment as runSyncMoment } from './verbs/sync/moment.js'
import type {
  SyncClusterOptions,
  SyncClusterResult,
  SyncMomentOptions,
  SyncMomentResult,
} from './verbs/sync/options.js'
import { sync as runSync, type SyncOptions, type SyncResult } from './verbs/sync/run.js'
import {
  archive as runArchive,
  type ArchiveOptions,
  type ArchiveResult,
} from './verbs/tail/archive.js'
import {
  tailCommands,
  type TailCommandsOptions,
  type TailedCommand,
} from './verbs/tail/commands.js'
import { archiveCluster as runArchiveCluster } from './verbs/tail/archive-cluster.js'
import type {
  ArchiveClusterOptions,
  ArchiveClusterResult,
  RecordedTailOptions,
  RecordedTailResult,
  TailClusterOptions,
  TailClusterResult,
} from './verbs/tail/options.js'
import { tailRecorded } from './verbs/tail/recorded.js'
import { watchCluster as runWatchCluster } from './verbs/tail/watch-cluster.js'
import { watch as runWatch, type TailOptions, type TailResult } from './verbs/tail/watch.js'

/**
 * The snapshot of a master, once, into a file (which appears only when it is whole, checked and on
 * disk) or a stream. Rejects with UsageError, LinkError, AuthError, ProtocolError, RdbError (the
 * snapshot is damaged) or FileError.
 */
export async function sync(source: ServerName, options: SyncOptions): Promise<SyncResult> {
  return await byReason(options.signal, runSync(source, options))
}

/**
 * The snapshots of all masters of a cluster (`redis-cluster://h1,h2`, or any node), in a directory that
 * appears whole, as `redis-cli --cluster backup` writes it. Rejects as `sync` does, and with
 * ProtocolError where slots move all the time or have no owner.
 */
export async function syncCluster(
  source: string | ClusterSeeds,
  options: SyncClusterOptions,
): Promise<SyncClusterResult> {
  return await byReason(options.signal, runSyncCluster(source, options))
}

/**
 * The same at one moment of the whole cluster: all shards are followed from their snapshots on, up to
 * where they are when all are asked at once. With `strict` writes are held for some milliseconds then.
 */
export async function syncMoment(
  source: string | ClusterSeeds,
  options: SyncMomentOptions,
): Promise<SyncMomentResult> {
  return await byReason(options.signal, runSyncMoment(source, options))
}

/**
 * The write commands of a server as they happen, or of an AOF or an archive as they were kept:
 *
 *   for await (const { args } of tail('redis://127.0.0.1:6379')) …
 *
 * Each step may throw LinkError, AuthError, ProtocolError, FileError or AofError.
 */
export async function* tail(
  source: SourceName,
  options: TailCommandsOptions = {},
): AsyncGenerator<TailedCommand, void, undefined> {
  try {
    yield* tailCommands(source, options)
  } catch (error) {
    throw reasonOf(error, options.signal)
  }
}

/**
 * The same with a callback in place of the loop, which allocates nothing for a command, or as lines
 * into a stream, or as figures. Of a server: resolves after `count` or `durationMs`.
 */
export async function watch(
  source: SourceName,
  options: TailOptions & RecordedTailOptions = {},
): Promise<TailResult | RecordedTailResult> {
  const opened = refuseCluster(await readSource(source))
  const running: Promise<TailResult | RecordedTailResult> =
    opened.kind === 'server' ? runWatch(opened.server, options) : tailRecorded(opened, options)
  return await byReason(options.signal, running)
}

/**
 * `watch` of all shards of a cluster: their streams as they come, each place with its `shard`, through
 * failovers, and with the shards that are added meanwhile.
 */
export async function watchCluster(
  source: string | ClusterSeeds,
  options: TailClusterOptions = {},
): Promise<TailClusterResult> {
  return await byReason(options.signal, runWatchCluster(source, options))
}

/**
 * A master's snapshot and every write since, kept in a directory that redis-server loads as it is.
 * Called again, it goes on at the byte where it stopped. Resolves when `durationMs` is over. Rejects
 * with LinkError, AuthError, ProtocolError, FileError or AofError; what was whole is on disk then.
 */
export async function archive(source: ServerName, options: ArchiveOptions): Promise<ArchiveResult> {
  return await byReason(options.signal, runArchive(source, options))
}

/**
 * `archive` of all shards of a cluster, side by side: each in a directory of its own that redis-server
 * loads, and `nodes.json` with who owned which slots when. Shards are followed through failovers, and
 * those that are added are kept from then on. Called again, it goes on in all of them.
 */
export async function archiveCluster(
  source: string | ClusterSeeds,
  options: ArchiveClusterOptions,
): Promise<ArchiveClusterResult> {
  return await byReason(options.signal, runArchiveCluster(source, options))
}

/**
 * What a dump, an AOF, an archive or a live server holds, written into another server. Single keys
 * that could not be written are no error: they stand in the ledger, and `complete` is false. Rejects
 * with UsageError, LinkError, AuthError, ProtocolError, InputError, FileError or TargetError; the
 * ledger up to there is `ledgerOfFailure(error)`.
 */
export async function replay(
  source: SourceName,
  target: TargetName,
  options: ReplayOptions = {},
): Promise<ReplayResult> {
  return await byReason(options.signal, runReplay(source, target, options))
}

/** Is a backup (`REPO[@SEL]`) what was stored? With `prove`: and does a server that loads it hold the same?
 * Rejects with RdbError (it is not), TargetError ERR_NOT_PROVEN, FileError, UsageError. */
export async function verifyBackup(
  selector: string,
  options: VerifyOptions = {},
): Promise<VerifyResult> {
  return await byReason(options.signal, runVerify(selector, options))
}

/** The same of an archive that was shipped (`REPO@archive`): every base and command is read, and with `prove`
 * a moment is brought back by a server. */
export async function verifyArchive(
  selector: string,
  options: VerifyArchiveOptions = {},
): Promise<VerifyArchiveResult> {
  return await byReason(options.signal, runVerifyArchive(selector, options))
}

/** A backup (`REPO[@SEL]`) into another repository, under the same name and id. Rejects with RdbError (it is
 * not what was stored), FileError, UsageError; nothing is left there then. */
export async function copyBackup(
  selector: string,
  to: string,
  options: CopyOptions = {},
): Promise<CopyResult> {
  return await byReason(options.signal, runCopy(selector, to, options))
}

/** A backup (`REPO[@SEL]`) into a directory that is absent or empty, for a server to start on; it appears
 * whole. Rejects with RdbError (the backup is not what was stored), FileError, UsageError. */
export async function restoreTo(
  selector: string,
  target: string,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  return await byReason(options.signal, runRestore(selector, target, options))
}

/** Puts right what an interrupted replay of a live server left in its target. */
export async function finishReplay(
  target: ServerName,
  options: FinishOptions = {},
): Promise<FinishResult> {
  return await byReason(options.signal, runFinish(target, options))
}

/**
 * A snapshot of a server or a cluster into a repository of backups: stored, checked, described; then
 * older ones removed by `keep`. Rejects as `sync` does; nothing is left of the backup then.
 */
export async function backup(source: SourceName, options: BackupOptions): Promise<BackupResult> {
  return await byReason(options.signal, runBackup(source, options))
}

/**
 * What happened to a key, in an AOF or an archive: every command that touched it, FLUSHALL and its kin
 * included, and with `values` what it was behind each. Throws FileError, AofError, RdbError, UsageError or
 * ProtocolError (no server to make values in).
 */
export async function* history(
  source: string | StoredSource,
  key: string | Buffer,
  options: HistoryOptions = {},
): AsyncGenerator<HistoryEntry, void, undefined> {
  try {
    yield* runHistory(source, key, options)
  } catch (error) {
    throw reasonOf(error, options.signal)
  }
}

/** The command that makes a key what it was before another one of its history. Nothing is changed. Rejects
 * as `history` throws. */
export async function undoCommand(
  source: string | StoredSource,
  key: string | Buffer,
  options: UndoOptions,
): Promise<UndoResult> {
  return await byReason(options.signal, runUndo(source, key, options))
}

/**
 * What is asked of sources in the SQL of DuckDB, which must be installed (`@duckdb/node-api`): tables `keys`
 * and `commands`. Rows as they come, with their columns; the first part may have none. Throws UsageError
 * (what DuckDB says of the query), ProtocolError (DuckDB is not there), and as `inspect` rejects.
 */
export async function* sql(
  sources: SourceName | readonly SourceName[],
  query: string,
  options: SqlOptions = {},
): AsyncGenerator<SqlRows, void, undefined> {
  try {
    yield* runSql(sources, query, options)
  } catch (error) {
    throw reasonOf(error, options.signal)
  }
}

/** What would go wrong with a source, and with a replay of it into a target. Changes nothing. Rejects with
 * LinkError, AuthError or ProtocolError where nobody can be asked. */
export async function doctor(
  source: SourceName,
  options: DoctorOptions = {},
): Promise<DoctorResult> {
  return await byReason(options.signal, runDoctor(source, options))
}

/** Do two sources hold the same keys with the same values, types and expiries? */
export async function diff(
  a: SourceName,
  b: SourceName,
  options: DiffOptions = {},
): Promise<DiffResult> {
  return await byReason(options.signal, compare(a, b, options))
}

/** Is a master, from a file, an archive or a live upstream, until the signal fires: then it resolves. */
export async function serve(source: SourceName, options: ServeOptions): Promise<ServeResult> {
  return await byReason(options.signal, runServe(source, options))
}

/** What a source holds, and where the memory goes: totals, types, encodings, prefixes, largest keys. */
export async function inspect(
  source: SourceName,
  options: InspectOptions = {},
): Promise<InspectResult> {
  return await whole(options, byReason(options.signal, runInspect(source, options)))
}

/** Reads everything and verifies checksum and structure to the last byte of every value. */
export async function checkRdb(
  source: SourceName,
  options: InspectOptions = {},
): Promise<ReadOutcome> {
  return await whole(options, byReason(options.signal, runCheck(source, options)))
}

/** The same as one page of HTML, which asks nothing of anybody. Writes also of a damaged source. */
export async function inspectReport(
  source: SourceName,
  options: InspectReportOptions,
): Promise<InspectReportResult> {
  return await whole(options, byReason(options.signal, runReport(source, options)))
}

/** What became of the keys since an older dump: by prefix, type, database and time to live, and those
 * that changed most. Rejects where either is damaged. */
export async function growth(
  newer: SourceName,
  older: SourceName,
  options: GrowthOptions = {},
): Promise<GrowthResult> {
  return await whole(options, byReason(options.signal, compareInTime(newer, older, options)))
}

/** A line for each key, as it is read. */
export async function inspectRows(
  source: SourceName,
  options: InspectRowsOptions,
): Promise<InspectResult> {
  return await whole(options, byReason(options.signal, runRows(source, options)))
}

/** One key, whole, with how it is stored. Rejects with FileError ERR_NO_SUCH_KEY where there is none. */
export async function inspectKey(
  source: SourceName,
  options: InspectKeyOptions,
): Promise<ReadOutcome> {
  return await whole(options, byReason(options.signal, runKey(source, options)))
}

/**
 * The keys of an RDB, one by one, each with its whole value: `RdbKey`, told apart by `type`. Reads
 * on only as keys are taken; of the file no more than a chunk of a megabyte is ahead. Leaving the
 * loop closes the source. Throws as walkRdb does, after the keys before the damage.
 */
export async function* readRdb(
  source: RdbSource,
  options: ReadRdbOptions = {},
): AsyncGenerator<RdbKey, RdbSummary, undefined> {
  try {
    return yield* runReadRdb(source, options)
  } catch (error) {
    throw reasonOf(error, options.signal)
  }
}

/** An RDB told to a visitor, element by element; nothing is made per key. Rejects with FileError or
 * RdbError. */
export async function walkRdb(
  source: RdbSource,
  visitor: RdbVisitor,
  options: WalkRdbOptions = {},
): Promise<WalkedRdb> {
  return await byReason(options.signal, runWalkRdb(source, visitor, options))
}

/** Keys and values in another form: JSON lines, JSON, commands, CSV, a dump. Several sources are merged
 * into one dump. */
export async function exportKeys(
  sources: SourceName | readonly SourceName[],
  options: ExportOptions,
): Promise<ExportResult> {
  return await byReason(options.signal, runExport(sources, options))
}

async function byReason<Result>(
  signal: AbortSignal | undefined,
  running: Promise<Result>,
): Promise<Result> {
  try {
    return await running
  } catch (error) {
    throw reasonOf(error, signal)
  }
}

function reasonOf(error: unknown, signal: AbortSignal | undefined): unknown {
  if (!(error instanceof AbortedError) || signal?.aborted !== true) return error
  passLedger(error, signal.reason)
  return signal.reason
}

async function whole<Result extends { readonly error: InputError | undefined }>(
  { salvage }: { salvage?: boolean | undefined },
  running: Promise<Result>,
): Promise<Result> {
  const result = await running
  const { error } = result
  if (error === undefined || salvage === true) return result
  error.partial = result
  throw error
}
