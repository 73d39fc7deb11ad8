/** What an analysis of keys is asked for, what it tells of each, and what it has counted. */
import type { StringBatch } from '../rdb/lane/lane.js'
import type { KeyHeader, LostRegion, NoticeCode, ValueStats } from '../rdb/visitor.js'
import type { PrefixOptions, PrefixState } from './prefix-tree.js'
import type { OrderedKey } from './top-keys.js'
import type { DatabaseRow, SumsState, TtlState } from './totals.js'

/** What is known of a key at its end. ONE object, reused for every key. */
export interface AnalyzedKey {
  readonly header: KeyHeader
  readonly stats: ValueStats
  /** As TYPE says it; a module's type by its own name. */
  readonly type: string
  readonly encoding: string
  /** Bytes in the memory of the server that wrote the file. */
  readonly memory: number
}

/** The same of many strings. ONE object, reused. */
export interface AnalyzedStrings {
  readonly rows: StringBatch
  /** By row, as `ENCODING` has them. */
  readonly encodings: Uint8Array
  /** By row: whole bytes, as `AnalyzedKey.memory`. */
  readonly memory: Float64Array
}

export interface AnalysisOptions {
  /** Unix ms: what is before it has expired. */
  nowMs: number
  /** How many of the largest keys to keep. */
  top: number
  /** Left out: no prefixes are counted. */
  prefixes?: PrefixOptions | undefined
  /** False: the key is walked and not counted. Asked when name, type and expiry are known. */
  wantsKey?: ((header: KeyHeader, type: string) => boolean) | undefined
  /** Asked last, with the key's estimated bytes. */
  wantsMemory?: ((bytes: number) => boolean) | undefined
  onKey?: ((key: AnalyzedKey) => void) | undefined
  /** Takes strings thousands at once; those are then not told to `onKey`. */
  onStrings?: ((strings: AnalyzedStrings) => void) | undefined
  onNotice?: ((code: NoticeCode, message: string, byteOffset: number) => void) | undefined
  onLost?: ((region: LostRegion) => void) | undefined
}

export const SUMS = ['keys', 'expires', 'memory', 'dataset', 'functions', 'filteredOut'] as const

/** What was counted of some keys of a dump. */
export interface AnalysisState extends Readonly<Record<(typeof SUMS)[number], number>> {
  readonly kinds: SumsState
  readonly encodings: SumsState
  readonly modules: readonly (readonly [string, number])[]
  readonly databases: readonly (readonly [number, DatabaseRow])[]
  readonly ttl: TtlState
  readonly top: readonly OrderedKey[]
  readonly prefixes: PrefixState | undefined
}
