/** What a comparison is asked for, what it tells on the way, and what it says at the end. */
import type { Buffer } from 'node:buffer'
import type { Readable } from 'node:stream'
import type { GrowthTable } from '../../analyze/growth/table.js'
import type { Until } from '../../archive/moment.js'
import type { Progress, RetryEvent, WarningEvent } from '../../source/progress.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'
import type { LedgerReport } from '../../target/ledger.js'
import type { PieceSizes } from '../threads/options.js'

/** How a server is read: see `DiffOptions.by`. */
export type ServerWay = 'sync' | 'scan'

export interface DiffSideResult {
  /** Path or address. */
  name: string
  keys: number
  rdbVersion: number
  /** `file`: as it stands there. `replay`: by its commands in a scratch server. */
  by: 'file' | 'replay' | ServerWay
  /** Of a live server or an archive: where in its stream the state stands. */
  replid?: string | undefined
  replOffset?: number | undefined
  /** Of a replay: the scratch server, and what became of keys and commands there. */
  built?: { server: string; complete: boolean; ledger: LedgerReport }
}

/** `missing-in-a`, `missing-in-b`: the key is there on the other side only. `stream-counters`:
 * entries ever added, highest deleted id, entries read, remembered ids of producers. */
export type DifferenceKind =
  'missing-in-a' | 'missing-in-b' | 'type' | 'ttl' | 'value' | 'field-ttl' | 'stream-counters'

export interface Difference {
  kind: DifferenceKind
  db: number
  key: Buffer
  /** `type`: the types; `ttl`: the expiries in unix ms, null for none. Else undefined. */
  a?: string | number | null
  b?: string | number | null
  /** With `values`: what differs inside. The first hundred keys have it. */
  detail?: ValueDetail
}

export interface DiffOptions {
  /** Where a side is an AOF or an archive: its state at this moment. Default: its end. */
  until?: { a?: Until; b?: Until } | undefined
  /** Servers: attempts after a failure that can pass. Default 5. */
  retries?: number | undefined
  /** What `-` reads. */
  stdin?: Readable | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  /** Expiries that differ by no more than this are the same. Default 1000 ms. */
  ttlToleranceMs?: number | undefined
  /** How many differences are handed to `onDifference`; all are counted. Default 100. */
  limit?: number | undefined
  filter?: KeyFilterOptions | undefined
  /** Plain files: so many threads read pieces of them first, beside this one. What they say is the same.
   * Default 1: all in this one. */
  threads?: number | undefined
  /** @internal */
  pieceSizes?: PieceSizes | undefined
  /** Also look what differs inside the values that are shown: two more readings of both sides. */
  values?: boolean | undefined
  /** Also what became of the keys from A to B, by prefix, type, database and time to live: one more
   * reading of both sides. */
  stat?: boolean | undefined
  /** For `stat`: as `inspect` has them. */
  top?: number | undefined
  prefixDepth?: number | undefined
  separator?: Uint8Array | undefined
  /** How servers are read. Default: by a sync; where a server refuses that, by SCAN and DUMP, with a
   * warning. */
  by?: ServerWay | undefined
  /** The redis-server or valkey-server that commands are applied in. Default: that of PATH. */
  withServer?: string | undefined
  signal?: AbortSignal | undefined
  onEvent?: ((event: WarningEvent | RetryEvent) => void) | undefined
  onDifference?: ((difference: Difference) => void) | undefined
  onProgress?: ((progress: DiffProgress) => void) | undefined
}

/** `build`: commands into a scratch server. `scan`: keys by DUMP. */
export interface DiffProgress extends Progress<
  'sync' | 'scan' | 'build' | 'read' | 'compare' | 'values' | 'stat'
> {
  side: 'a' | 'b'
}

export interface DiffResult {
  /** No difference was found, and both sides could be had whole. */
  same: boolean
  /** False: a side was replayed and not everything could be written; see its `built`. */
  trusted: boolean
  a: DiffSideResult
  b: DiffSideResult
  /** How many differences of each kind; a key may have several. */
  differences: Partial<Record<DifferenceKind, number>>
  /** Keys that differ in anything. */
  keysDifferent: number
  /** Keys on one side only whose time is past: gone on the other side, and no difference. */
  keysExpired: number
  /** With `stat`. */
  stat?: GrowthTable
}

export interface ValueDetail {
  /** Bytes of strings, else elements. */
  sizeA: number
  sizeB: number
  /** The first ones that differ. */
  elements: ElementDifference[]
  /** There are others. */
  more: boolean
}

export interface ElementDifference {
  /** Printable: `field "name"`, `element 7`, `byte 1042`. */
  element: string
  /** Printable and cut; null where the side lacks it. */
  a: string | null
  b: string | null
}
