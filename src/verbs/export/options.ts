/** What an export is asked for, what it tells on the way, and what it says at the end. */
import type { Writable } from 'node:stream'
import type { InputError } from '../../errors.js'
import type { Compression } from '../../disk/compression.js'
import type { Output } from '../../disk/output/output.js'
import type { KeyFormatName } from '../../formats/formats.js'
import type { DumpLoader } from '../../formats/key-format.js'
import type { ChecksumState, LostRegion } from '../../rdb/visitor.js'
import type { LossCounts } from '../../servers/loss.js'
import type { ServerFamily } from '../../servers/capabilities.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'
import type { KeyRewriteRule } from '../../target/key-mapping.js'
import type { ScrubCounts, ScrubOptions } from '../../target/scrub/scrubber.js'
import type { Transform } from '../../target/transform.js'
import type { Split } from './parts.js'
import type { PieceSizes } from '../threads/options.js'
import type { BuiltFrom, OpenKeysOptions } from '../keys/open.js'

export type ExportFormat = KeyFormatName

export interface ExportOptions extends OpenKeysOptions {
  /** A path (the file appears when it is whole) or a stream, which is not ended. */
  output: string | Writable
  /** @internal In place of `output`. */
  sink?: Output | undefined
  /** Pack what is written. */
  compress?: Compression | undefined
  /** Default `jsonl`. */
  format?: ExportFormat | undefined
  /** Of jsonl and json. Default `text`; `base64` is lossless and in a fixed order. */
  strings?: 'text' | 'base64' | undefined
  /** For `resp`: the server that the commands are for. Default: the one that wrote the file. */
  target?: { family: ServerFamily; version: string } | undefined
  filter?: KeyFilterOptions | undefined
  /** Of `rdb`: keys of the db go into another. */
  mapDb?: ReadonlyMap<number, number> | undefined
  /** Of `rdb`: names of keys, one rule after the other. */
  rewriteKey?: readonly KeyRewriteRule[] | undefined
  /** Of `rdb`: what becomes of each key, as in a replay; commands and copies cannot be written. */
  transform?: Transform | undefined
  /** Of `rdb`: personal data become other data of the same kind. Values of modules and arrays
   * that were to be changed are left out, and counted as lost. */
  scrub?: ScrubOptions | undefined
  /** Of `rdb`: a file for each shard of a cluster, by the hash slots of keys; `output` is a path. */
  split?: Split | undefined
  /** Of `rdb`: strings and blobs of more than 20 bytes are compressed, as servers do it. */
  lzf?: boolean | undefined
  /** @internal Of `rdb`: it goes into a server as it is written. */
  loader?: DumpLoader | undefined
  /** Of two keys that come to one name. Default `fail`. */
  onConflict?: 'fail' | 'first' | 'last' | undefined
  /** Into JSON, CSV or RESP from a plain file: so many threads write pieces of it, beside this one, which
   * reads. The bytes are the same, each takes some 50 MB. Default 1: all in this one. */
  threads?: number | undefined
  /** @internal */
  pieceSizes?: PieceSizes | undefined
  /** Goes on behind damage where that is safe: what was lost is in the result, with the error. */
  salvage?: boolean | undefined
  /** @internal Parquet by the writer that rrep brings along. */
  withoutDuckdb?: boolean | undefined
}

export interface ExportedPart {
  /** Its number, or the id of the node. */
  name: string
  file: string
  keysWritten: number
  writtenBytes: number
}

export interface ExportResult {
  /** The file that was read. */
  source: string
  format: ExportFormat
  rdbVersion: number
  checksum: ChecksumState
  keysRead: number
  keysWritten: number
  /** Left out by the filters. */
  keysFiltered: number
  /** Left out by the transform. */
  keysDropped: number
  /** With `scrub`. */
  scrubbed: ScrubCounts | undefined
  /** Left out since another key of that name was kept. */
  keysInConflict: number
  /** Commands written (`resp`). */
  commands: number
  functions: number
  writtenBytes: number
  /** With `split`. */
  parts: readonly ExportedPart[]
  /** Values of modules, by type: `null` in JSON, a RESTORE payload in RESP. */
  modules: Readonly<Record<string, number>>
  /** What the commands cannot bring to the target (`resp`). */
  losses: LossCounts
  /** Strings that are not UTF-8 and stand as text with U+FFFD in them. */
  inexactStrings: number
  /** Values too big to be put in order (base64): they are in the order of the file. */
  unorderedValues: number
  /** Oddities of the file, by name. */
  notices: Readonly<Record<string, number>>
  /** Bytes behind the RDB that were not read: the commands of an AOF, or junk. */
  trailingBytes: number
  /** With `baseOnly` or `salvage`: commands behind the snapshot, which are not in the output. */
  commandsLeftOut: number
  /** Of an AOF or archive: what its commands were applied in. */
  built: BuiltFrom | undefined
  /** With `salvage`: the first 1000 stretches that were lost, and how many in all. */
  lost: readonly LostRegion[]
  lostRegions: number
  lostBytes: number
  /** With `salvage`: what a run that throws would have thrown. */
  error: InputError | undefined
}
