/** What a comparison over time is asked for, and what it says at the end. */
import type { Buffer } from 'node:buffer'
import type { GrowthRow, KeySum } from '../../analyze/growth/sums.js'
import type { Until } from '../../archive/moment.js'
import type { Progress } from '../../source/progress.js'
import type { InspectOptions, InspectResult } from '../inspect/options.js'

export interface GrowthOptions extends Omit<
  InspectOptions,
  'until' | 'onKey' | 'onStrings' | 'drain' | 'maxPrefixes' | 'onProgress'
> {
  /** Where a side is an AOF or an archive: its state at this moment. Default: its end. */
  until?: { newer?: Until | undefined; older?: Until | undefined } | undefined
  onProgress?: ((progress: GrowthProgress) => void) | undefined
}

export interface GrowthProgress extends Progress<string> {
  side: 'newer' | 'older'
  keys?: number | undefined
}

/** A key that is told by name. */
export interface GrownKey {
  readonly db: number
  readonly key: Buffer
  readonly type: string
  /** Bytes of memory; 0 where it was not there, or is not any more. */
  readonly before: number
  readonly now: number
}

export interface PrefixGrowth extends GrowthRow {
  /** Whole, with the separator at its end; empty for all keys. Merged pieces are `*`. */
  readonly prefix: Buffer
  /** Different continuations that were merged on the way here; 0: exact. */
  readonly merged: number
  /** Of keys with no deeper prefix. */
  readonly own: GrowthRow
  /** Those that changed most in memory first. */
  readonly children: readonly PrefixGrowth[]
}

/** Exact, whatever the number of keys: each is compared with itself, by a hash of 96 bits of its db
 * and name. */
export interface GrowthTable {
  readonly total: GrowthRow
  /** Names, not figures, are lost where there are more than some ten thousand prefixes. */
  readonly prefixes: PrefixGrowth
  /** Those that changed most first; undefined: all types behind some 250. */
  readonly types: readonly (readonly [string | undefined, GrowthRow])[]
  /** By number; undefined: all behind a million. */
  readonly databases: readonly (readonly [number | undefined, GrowthRow])[]
  /** By time left, each side as of its own moment. */
  readonly ttl: readonly { name: string; before: KeySum; now: KeySum }[]
  /** Keys whose type is another now: by type they are told as gone and created. */
  readonly retyped: number
  readonly grown: readonly GrownKey[]
  readonly shrunk: readonly GrownKey[]
  readonly created: readonly GrownKey[]
  readonly gone: readonly GrownKey[]
}

export interface GrowthResult extends GrowthTable {
  /** As `inspect` has them, without prefixes and tops; `report` is of the newer side. */
  readonly newer: InspectResult
  readonly older: InspectResult
}
