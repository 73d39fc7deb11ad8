/**
 * The library: one function per verb, the RDB reader, and the errors they throw. Nothing here
 * writes to a terminal or ends the process; every long call takes an AbortSignal.
 */
export * from './errors.js'

export { makeServerSettings, formatServerAddress } from './api/server-settings.js'
export type { ServerSettings, ServerWishes } from './api/server-settings.js'
export { classifySource, openInput, openStream } from './api/source.js'
export type { ByteInput, InputKind, PumpOptions, SourceSpec } from './api/source.js'
export { compileKeyFilter } from './api/key-filter.js'
export type { KeyFilter, KeyFilterOptions } from './api/key-filter.js'

export { sync } from './api/sync.js'
export type { SyncOptions, SyncProgress, SyncResult } from './api/sync.js'
export { checkRdb, inspect, readRdbFile } from './api/inspect.js'
export type { InspectOptions, InspectResult } from './api/inspect.js'
export { inspectRows, type InspectRowsOptions } from './api/inspect-rows.js'
export { inspectKey } from './api/inspect-key.js'
export { readRdb, walkRdb } from './api/read-rdb.js'
export type * from './api/rdb-key.js'
export { diff } from './api/diff.js'
export type { DiffOptions, DiffResult } from './api/diff.js'
export { exportKeys } from './api/export.js'
export type { ExportOptions, ExportResult } from './api/export.js'
export { tail } from './api/tail.js'
export type { TailOptions, TailResult } from './api/tail.js'
export { capture } from './api/capture.js'
export type { CaptureOptions, CaptureResult } from './api/capture.js'
export { replay } from './api/replay.js'
export type { ReplayOptions, ReplayResult } from './api/replay.js'
export { serve } from './api/serve.js'
export type {
  ServeEvent,
  ServeHandle,
  ServeOptions,
  ServeResult,
  ServeSource,
} from './api/serve.js'

export { RdbParser } from './rdb/parser.js'
export type { RdbParserOptions } from './rdb/parser.js'
export { DEPTH, KIND, KIND_NAMES, NOTICE } from './rdb/visitor.js'
export type * from './rdb/visitor.js'
export { ReplicationLink } from './replication/link.js'
export type { LinkOptions } from './replication/link.js'
export type * from './replication/consumer.js'
export { CommandDecoder, RESP } from './resp/decoder.js'
