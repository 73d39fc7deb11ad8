/**
 * The library's door: the verbs (library.ts), the RDB reader, the replication link, types and
 * errors. Nothing here writes to a terminal or ends the process; every long call takes an
 * AbortSignal. Nothing else of the package is public. `src/README.md` shows it.
 */
export * from './errors.js'
export * from './library.js'
export {
  ledgerOfFailure,
  parseDbMapping,
  parseRewriteRule,
  transformOf,
} from './verbs/replay/run.js'

export { parseScrubRules } from './target/scrub/rules.js'
export type { ScrubOptions, ScrubRule, ScrubValues } from './target/scrub/rules.js'
export type { ScrubCounts } from './target/scrub/scrubber.js'
export { settingsOf as makeServerSettings } from './topology/settings.js'
export type { DeploymentWishes } from './topology/settings.js'
export { formatServerAddress } from './net/make-server-settings.js'
export type { ServerWishes } from './net/make-server-settings.js'
export type {
  AnnouncedLink,
  LinkAnnouncement,
  LinkStatus,
  ServerPlace,
  ServerSettings,
  TlsSettings,
} from './net/server-settings.js'
export type { ServerAddress } from './net/address.js'
export { clusterSeeds } from './topology/cluster.js'
export type { ClusterSeeds } from './topology/cluster.js'
export type { ShardEvent } from './topology/follow-cluster.js'
export { readSource } from './source/classify.js'
export type { ServerName, Source, SourceName, StoredSource } from './source/classify.js'
export type { Progress, RetryEvent, WarningEvent } from './source/progress.js'
export type { KeyFilterOptions, TimeBound } from './source/key-filter.js'
export type { Damage } from './source/damage.js'
export type { Until } from './archive/moment.js'

export type {
  GrowthOptions,
  GrowthProgress,
  GrowthResult,
  GrowthRow,
  GrowthTable,
  GrownKey,
  KeySum,
  PrefixGrowth,
} from './verbs/growth/options.js'
export type { InspectReportResult } from './verbs/inspect/report.js'

export { readCatalogue, selectBackup } from './repository/catalogue.js'
export type { ArchiveSpan, RepositoryArchive } from './repository/archives.js'
export type { Backup, Catalogue } from './repository/catalogue.js'
export type { BackupFile, BackupRecord, DatabaseCount } from './repository/record.js'
export type { Proof } from './repository/proof.js'
export type { RetentionPolicy } from './repository/retention.js'
export { prune } from './verbs/backup/prune.js'
export type { CopyOptions, CopyResult } from './verbs/backup/copy.js'
export type { VerifyArchiveOptions, VerifyArchiveResult } from './verbs/backup/verify-archive.js'
export type { VerifyOptions } from './verbs/backup/verify.js'
export type { RestoreOptions, RestoreResult } from './verbs/restore/run.js'
export type * from './verbs/backup/options.js'
export type * from './verbs/diff/options.js'
export type * from './verbs/doctor/options.js'
export type * from './verbs/history/options.js'
export type * from './verbs/sql/options.js'
export type * from './verbs/export/options.js'
export type { Split } from './verbs/export/parts.js'
export type { KeyFormatName } from './formats/formats.js'
export { LOSS } from './servers/loss.js'
export type { Loss, LossCounts } from './servers/loss.js'
export type { Compression } from './disk/compression.js'
export type * from './verbs/inspect/options.js'
export type { AnalyzedKey, AnalyzedStrings } from './analyze/key-analysis.js'
export type { MemoryReport, ReportTops, TypeSizes } from './analyze/distributions/distributions.js'
export type { PrefixNode, PrefixSums } from './analyze/distributions/prefix-figures.js'
export type { Percentiles, SizeClass } from './analyze/distributions/spread.js'
export type { SlotReport, SlotRow, TagRow } from './analyze/distributions/slots.js'
export type { ThresholdClass, TypeThresholds, WhatIf } from './analyze/distributions/thresholds.js'
export type { AccessRow } from './analyze/distributions/access.js'
export type { HourRow } from './analyze/distributions/expiry.js'
export type { ReportQuestion } from './report/input.js'
export type { PrefixTotals } from './analyze/prefix-tree.js'
export type { KeyFacts, RankedKey } from './analyze/top-keys.js'
export type { DatabaseRow, Row, TtlRow, TypeRow } from './analyze/totals.js'
export type { StringBatch } from './rdb/lane/lane.js'
export type { CheckedIncrements } from './archive/check.js'
export type { BuiltFrom, KeysEvent, KeysProgress, OpenKeysOptions } from './verbs/keys/open.js'
export type * from './verbs/replay/options.js'
export type {
  CommandCounts,
  Failure,
  KeyCounts,
  KeyRewriteRule,
  LedgerReport,
  OnConflict,
  TargetName,
  Transform,
  TransformCommand,
  TransformItem,
  TransformKey,
  TransformResult,
} from './verbs/replay/run.js'
export type { FailureReason, TargetEnd } from './target/ledger.js'
export type { CheckpointPhase } from './target/checkpoint.js'
export type { FinishOptions, FinishResult } from './verbs/replay/finish.js'
export type * from './verbs/serve/options.js'
export type { PutRight } from './target/replica/put-right.js'
export type { RdbFacts } from './serving/origin/rdb-scan.js'
export type { RdbMagic, ServerKind } from './servers/rdb-version.js'
export type { ServerFamily } from './servers/version.js'
export type { OnServeEvent, ReplicaLimits, ServeEvent } from './verbs/serve/run.js'
export type * from './verbs/sync/options.js'
export type * from './verbs/tail/options.js'
export type { TrafficEvent, TrafficReport } from './analyze/traffic/traffic.js'
export type { TimeBin } from './analyze/traffic/time-line.js'
export { renderTraffic } from './report/traffic-page.js'
export type { PageOptions } from './report/input.js'
export type { TrafficInput } from './report/traffic-page.js'
export type { StatsRow, StatsSnapshot, StatsTable } from './analyze/traffic/command-stats.js'
export type { CommandFormat, CommandPlace, StringForm } from './formats/command-format.js'
export type { TailCommandsOptions, TailedCommand } from './verbs/tail/commands.js'

export { openArchive } from './archive/reader.js'
export type { Archive, ArchiveState, ArchiveWindow } from './archive/reader.js'
export type { Moment } from './archive/moment.js'
export type { ArchiveBase, ArchiveIncrement } from './archive/state.js'
export type { ArchiveWriterEvent } from './archive/writer/options.js'
export type { RdbSource, ReadRdbOptions, WalkedRdb, WalkRdbOptions } from './source/read-rdb.js'
export type {
  RdbHashField,
  RdbKey,
  RdbKeyHead,
  RdbStream,
  RdbStreamGroup,
  RdbStreamIdempotence,
} from './source/rdb-key.js'
export { RdbParser } from './rdb/parser.js'
export type { RdbParserOptions } from './rdb/parser.js'
export { DEPTH, KIND, KIND_NAMES, NOTICE } from './rdb/visitor.js'
export type * from './rdb/visitor.js'
export type { RdbFamily, RdbType } from './rdb/numbers.js'
export { ReplicationLink } from './replication/link.js'
export type { LinkOptions } from './replication/link.js'
export type * from './replication/consumer.js'
export type { WritesLostEvent } from './replication/lost-writes.js'
export { CommandDecoder, RESP } from './resp/decoder.js'
export type { DecoderOptions, RespStatus } from './resp/decoder.js'
