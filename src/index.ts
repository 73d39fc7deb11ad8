/**
 * The library: one function per verb, the RDB reader, and the errors they throw. Nothing here
 * writes to a terminal or ends the process; every long call takes an AbortSignal.
 */
export * from './errors.js'

export { makeServerSettings, formatServerAddress } from './net/make-server-settings.js'
export type { ServerSettings, ServerWishes } from './net/make-server-settings.js'
export { classifySource } from './source/classify.js'
export type { Source, SourceSpec } from './source/classify.js'
export { openInput, openStream } from './source/source.js'
export type { ByteInput, InputKind, PumpOptions } from './source/source.js'
export { compileKeyFilter } from './source/key-filter.js'
export type { KeyFilter, KeyFilterOptions } from './source/key-filter.js'

export { sync } from './verbs/sync/run.js'
export type { SyncOptions, SyncProgress, SyncResult } from './verbs/sync/run.js'
export { checkRdb, inspect, readRdbFile } from './verbs/inspect/run.js'
export type { InspectOptions, InspectResult } from './verbs/inspect/run.js'
export { inspectRows, type InspectRowsOptions } from './verbs/inspect/lines.js'
export { inspectKey } from './verbs/inspect/one-key.js'
export { readRdb, walkRdb } from './source/read-rdb.js'
export type * from './source/rdb-key.js'
export { diff } from './verbs/diff/run.js'
export type { DiffOptions, DiffResult } from './verbs/diff/run.js'
export { exportKeys } from './verbs/export/run.js'
export type { ExportOptions, ExportResult } from './verbs/export/run.js'
export { tail } from './verbs/tail/watch.js'
export type { TailOptions, TailResult } from './verbs/tail/watch.js'
export { tailRecorded } from './verbs/tail/recorded.js'
export type { RecordedTailOptions, RecordedTailResult } from './verbs/tail/options.js'
export { openArchive } from './archive/reader.js'
export type { Archive, ArchiveState, ArchiveWindow } from './archive/reader.js'
export { archive } from './verbs/tail/archive.js'
export type {
  ArchiveEvent,
  ArchiveOptions,
  ArchiveProgress,
  ArchiveResult,
} from './verbs/tail/archive.js'
export { replay } from './verbs/replay/run.js'
export { finishReplay } from './verbs/replay/finish.js'
export type { FinishOptions, FinishResult } from './verbs/replay/finish.js'
export type { ReplayOptions, ReplayResult } from './verbs/replay/run.js'
export { serve } from './verbs/serve/run.js'
export type {
  ServeEvent,
  ServeHandle,
  ServeOptions,
  ServeResult,
  ServeSource,
} from './verbs/serve/run.js'

export { RdbParser } from './rdb/parser.js'
export type { RdbParserOptions } from './rdb/parser.js'
export { DEPTH, KIND, KIND_NAMES, NOTICE } from './rdb/visitor.js'
export type * from './rdb/visitor.js'
export { ReplicationLink } from './replication/link.js'
export type { LinkOptions } from './replication/link.js'
export type * from './replication/consumer.js'
export { CommandDecoder, RESP } from './resp/decoder.js'
