/** What a comparison over time is asked for, and what it says at the end. */
import type { GrowthTable } from '../../analyze/growth/table.js'
import type { InputError } from '../../errors.js'
import type { Until } from '../../archive/moment.js'
import type { Progress } from '../../source/progress.js'
import type { KeysProgress } from '../keys/open.js'
import type { InspectOptions, InspectResult } from '../inspect/options.js'

export interface GrowthOptions extends Omit<
  InspectOptions,
  'until' | 'onKey' | 'onStrings' | 'drain' | 'maxPrefixes' | 'onProgress'
> {
  /** Where a side is an AOF or an archive: its state at this moment. Default: its end. */
  until?: { newer?: Until | undefined; older?: Until | undefined } | undefined
  onProgress?: ((progress: GrowthProgress) => void) | undefined
}

/** `compare`: both are read. */
export interface GrowthProgress extends Progress<KeysProgress['phase'] | 'compare'> {
  side: 'newer' | 'older'
  keys?: number | undefined
}

export interface GrowthResult extends GrowthTable {
  /** As `inspect` has them, without prefixes and tops; `report` is of the newer side. */
  readonly newer: InspectResult
  readonly older: InspectResult
  /** Of the side that is damaged. */
  readonly error: InputError | undefined
}

export type { GrowthRow, KeySum } from '../../analyze/growth/sums.js'
export { changeOf, growthLines } from '../../analyze/growth/table.js'
export type { GrowthLine, GrownKey, GrowthTable, PrefixGrowth } from '../../analyze/growth/table.js'
