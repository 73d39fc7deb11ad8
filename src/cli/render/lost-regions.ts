/** What a run with `--salvage` could not read: for people, and as JSON. */
import type { ExportResult } from '../../verbs/export/options.js'
import { countOf, formatSize } from '../units.js'

export interface Lost {
  readonly lost: ExportResult['lost']
  readonly lostRegions: number
  readonly lostBytes: number
}

const SHOWN = 20

/** @param outcome what came out of it all the same */
export function describeLost({ lost, lostRegions, lostBytes }: Lost, outcome?: string): string[] {
  if (lostRegions === 0) return []
  const lines = lost.slice(0, SHOWN).map(({ key, dbnum, fromByte, toByte, error }) => {
    const what = key === undefined ? 'records' : `key ${key} (db${dbnum})`
    return `lost: ${what}, bytes ${fromByte} to ${toByte}: ${error.message}`
  })
  return [
    ...lines,
    `in all ${countOf(lostRegions, 'region')} lost, ${formatSize(lostBytes)}` +
      (outcome === undefined ? '' : `; ${outcome}`),
  ]
}

/** The errors as their words. */
export function lostObject({ lost, lostRegions, lostBytes }: Lost): object {
  return {
    lostRegions,
    lostBytes,
    lost: lost.map((region) => ({ ...region, error: region.error.message })),
  }
}
