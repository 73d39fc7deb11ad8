/** What an inspection is asked for, what it tells on the way, and what it says at the end. */
import type { Buffer } from 'node:buffer'
import type { Writable } from 'node:stream'
import type { AnalyzedKey, AnalyzedStrings } from '../../analyze/key-analysis.js'
import type { PrefixTotals } from '../../analyze/prefix-tree.js'
import type { CheckedIncrements } from '../../archive/check.js'
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import type { KeyFacts } from '../../analyze/top-keys.js'
import type { DatabaseRow, Row, TtlRow, TypeRow } from '../../analyze/totals.js'
import type { InputError } from '../../errors.js'
import type { ReportQuestion } from '../../report/input.js'
import type { Until } from '../../archive/moment.js'
import type { ChecksumState, LostRegion } from '../../rdb/visitor.js'
import type { SourceName } from '../../source/classify.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'
import type { PieceSizes } from '../threads/options.js'
import type { BuiltFrom, KeysEvent, OpenKeysOptions } from '../keys/open.js'

export interface InspectOptions extends Omit<OpenKeysOptions, 'onEvent'> {
  /** How many of the largest keys to keep. Default 10. */
  top?: number | undefined
  /** Most prefixes told. Default 100. */
  maxPrefixes?: number | undefined
  /** How many pieces of a name make a prefix. Default 2; 0: none are counted. */
  prefixDepth?: number | undefined
  /** Between the pieces. Default `:`. */
  separator?: Uint8Array | undefined
  filter?: KeyFilterOptions | undefined
  /** Goes on behind damage where that is safe. */
  salvage?: boolean | undefined
  /** Walks every packed value, so that each key's longest element is known. Slower. */
  walkElements?: boolean | undefined
  /**
   * Makes `report` of the result as well: sizes, times to live by the hour, the tree of prefixes,
   * limits of encodings, slots. Slower; walks the elements. `onStrings` is not used then.
   */
  report?: boolean | undefined
  /** The summary (without a report, and nobody told of keys) and the check of a plain file: so many threads look
   * through pieces of it, beside this one, which reads. They come to the same, but that of more prefixes
   * than are kept apart others may be merged; each takes some 50 MB. Default 1: all in this one. */
  threads?: number | undefined
  /** @internal */
  pieceSizes?: PieceSizes | undefined
  /** Unix ms that "expired" refers to. Default: now. */
  nowMs?: number | undefined
  /** Called for every key that passes the filter; the object is reused. */
  onKey?: ((key: AnalyzedKey) => void) | undefined
  /** Takes strings thousands at once, where that can be had; `onKey` is not told of those. */
  onStrings?: ((strings: AnalyzedStrings) => void) | undefined
  /** Awaited between chunks: where what `onKey` wrote can go on. */
  drain?: (() => Promise<void> | undefined) | undefined
  onEvent?: ((event: InspectEvent) => void) | undefined
}

/** `notice`: something in the file is odd but readable. */
export type InspectEvent = KeysEvent | { event: 'notice'; message: string; byteOffset: number }

/** How a file was read to its end, or where not. */
export interface ReadOutcome {
  readonly file: string
  /** Bytes on disk; of a pipe those that came. */
  readonly bytes: number
  readonly compression: 'none' | 'gzip' | 'zstd'
  readonly family: 'redis' | 'valkey'
  /** 0 where the file ends before it says. */
  readonly rdbVersion: number
  readonly checksum: ChecksumState
  /** False: the end was not reached, or something was lost. `error` says why. */
  readonly complete: boolean
  /** What a run that throws would have thrown. */
  readonly error: InputError | undefined
  readonly keysRead: number
  /** Bytes behind the RDB: the commands of an AOF. */
  readonly trailingBytes: number
  /** With `baseOnly` or `salvage`: commands behind the snapshot, which are not part of it. */
  readonly commandsLeftOut: number
  /** Of an AOF or archive: what its commands were applied in. */
  readonly built: BuiltFrom | undefined
  /** Of an archive that was checked: its files of commands. Undefined of anything else. */
  readonly increments?: CheckedIncrements | undefined
  /** With `salvage`: the first 1000 stretches that were lost. */
  readonly lost: readonly LostRegion[]
  readonly lostRegions: number
  readonly lostBytes: number
  /** Things odd but readable, by code. */
  readonly notices: Readonly<Record<string, number>>
}

export interface InspectResult extends ReadOutcome {
  /** As text; of fields that repeat the last. */
  readonly aux: ReadonlyMap<string, string>
  /** When it was made, unix ms, as it says; undefined: it does not. */
  readonly madeMs: number | undefined
  /** Libraries of functions. */
  readonly functions: number
  readonly keys: number
  readonly expires: number
  /** Keys that the filter left out. */
  readonly filteredOut: number
  /** Estimated bytes of all keys: the sum of what MEMORY USAGE would say of each. */
  readonly memory: number
  /** What INFO's used_memory_dataset would be: without objects and the databases' entries. */
  readonly datasetMemory: number
  /** And of the databases' own tables. */
  readonly tableMemory: number
  /** Most memory first. */
  readonly types: readonly (readonly [string, TypeRow])[]
  readonly encodings: readonly (readonly [string, Row])[]
  readonly databases: readonly (readonly [number, DatabaseRow])[]
  readonly ttl: readonly TtlRow[]
  readonly top: readonly KeyFacts[]
  readonly prefixes: readonly PrefixTotals[]
  /** Prefixes that share a row with others, since there were too many. */
  readonly mergedPrefixes: number
  /** With the option. */
  readonly report: MemoryReport | undefined
}

export interface InspectReportOptions extends Omit<InspectOptions, 'report'> {
  /** A path, where the page appears whole or not at all, or a stream, which is not ended. */
  output: string | Writable
  /** Since when what grew is told: an older dump, or whatever has keys. */
  older?: SourceName | undefined
  /** Where that is an AOF or an archive: its state at this moment. Default: its end. */
  olderUntil?: Until | undefined
  /** How a question of the page is asked, as its reader would type it; undefined: not at all. */
  ask?: ((question: ReportQuestion) => string | undefined) | undefined
  /** What made the page, in the same words. */
  madeBy?: string | undefined
  /** Of rrep. */
  version?: string | undefined
}

export interface InspectRowsOptions extends Omit<
  InspectOptions,
  'onKey' | 'onStrings' | 'drain' | 'top' | 'prefixDepth'
> {
  /**
   * `csv`: a header, then the columns of redis-rdb-tools' memory report. `text`: db, type, encoding,
   * elements, bytes of memory, expiry or `-`, key. `json`: an object a line, with idle time and
   * frequency as well.
   */
  format: 'csv' | 'text' | 'json'
  /** Resolves when the bytes are not needed any more: they change then. */
  write: (bytes: Uint8Array) => Promise<void>
}

/** One piece of a value, in the order of the file. Bytes are copies. */
export type KeyElement =
  | { readonly kind: 'string'; readonly value: Buffer }
  /** Of a string of more than a megabyte, in order. */
  | { readonly kind: 'part'; readonly value: Buffer }
  | { readonly kind: 'element'; readonly value: Buffer }
  | { readonly kind: 'member'; readonly value: Buffer }
  | { readonly kind: 'scored'; readonly value: Buffer; readonly score: number }
  | {
      readonly kind: 'field'
      readonly field: Buffer
      readonly value: Buffer
      /** Unix ms, or -1. */
      readonly expireAtMs: number
    }
  /** A new entry of a stream; its fields follow as `field`. */
  | { readonly kind: 'entry'; readonly id: string }
  | { readonly kind: 'meta'; readonly name: string; readonly value: string | Buffer }

/** Told in front of the elements of the key. */
export interface KeyPlace {
  readonly dbnum: number
  readonly key: Buffer
  readonly type: string
  /** Unix ms, or -1. */
  readonly expireAtMs: number
  /** -1 where the file has none. */
  readonly idleSeconds: number
  readonly freq: number
  readonly typeByte: number
  /** Of the type byte, such as `hash-listpack`. */
  readonly typeName: string
  /** Where in the file. */
  readonly byteOffset: number
  readonly valueByteOffset: number
}

/** Told behind the elements of the key. */
export interface KeyDetail extends KeyPlace {
  readonly encoding: string
  readonly memory: number
  readonly elements: number
  readonly serializedBytes: number
  readonly packedBlobs: number
  readonly packedBytes: number
  readonly compressed: boolean
  /** The first bytes of the value as it stands in the file, at most MAX_RAW_BYTES. */
  readonly raw: Buffer
}

export interface InspectKeyOptions extends Omit<InspectOptions, 'onKey' | 'top'> {
  key: Uint8Array
  /** In front of the first element of a key found. */
  onBegin?: ((place: KeyPlace) => void) | undefined
  onElement?: ((element: KeyElement) => void) | undefined
  /**
   * In place of `onElement`: the key as the very line that an export to JSON lines writes of it,
   * in pieces, before `onFound` tells of its end. The line of a damaged key breaks off.
   */
  json?: { strings: 'text' | 'base64'; write: (bytes: Buffer) => void } | undefined
  /** Behind the last element. Not told where the key is damaged. */
  onFound: (detail: KeyDetail) => void
}
