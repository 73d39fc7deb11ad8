/**
 * `growth`: what became of the keys between two dumps. Each is read once, to a record of 32 bytes a
 * key; the records of each key are brought together part by part, on disk where there are many. So
 * every figure is exact, and memory is bounded whatever the number of keys.
 */
import { rmSync } from 'node:fs'
import type { KeyAnalysis } from '../../analyze/key-analysis.js'
import { makeTemporaryDir } from '../../disk/temporary-dir.js'
import { readSource, type SourceName } from '../../source/classify.js'
import type { InspectOptions, InspectResult } from '../inspect/options.js'
import { inspectWith } from '../inspect/run.js'
import { GrowthComparison } from './comparison.js'
import type { GrowthOptions, GrowthResult } from './options.js'

export type * from './options.js'

/** Throws as `inspect` does; damage of a side is in its result, and the figures are of what came
 * before it. */
export async function growth(
  newer: SourceName,
  older: SourceName,
  options: GrowthOptions = {},
): Promise<GrowthResult> {
  const nowMs = options.nowMs ?? Date.now()
  // What cannot be is told before either is read.
  const sources = { newer: await readSource(newer), older: await readSource(older) }
  const directory = makeTemporaryDir('rrep-growth-')
  const comparison = new GrowthComparison(directory, options)
  try {
    const read = async (side: 'newer' | 'older'): Promise<InspectResult> => {
      let analysis: KeyAnalysis
      const until = options.until?.[side]
      const momentMs = until !== undefined && 'unixMs' in until ? until.unixMs : undefined
      const keys = comparison.side(side, () => momentMs ?? analysis.madeMs ?? nowMs)
      const asked: InspectOptions = {
        ...options,
        until,
        nowMs,
        report: side === 'newer' && options.report,
        top: side === 'newer' ? options.top : 0,
        prefixDepth: 0,
        onKey: keys.add,
        onStrings: keys.addStrings,
        onProgress: (progress) => options.onProgress?.({ ...progress, side }),
      }
      const result = await inspectWith(sources[side], asked, (made) => (analysis = made))
      // What a scratch server says of itself is not when that state was.
      return result.built === undefined ? result : { ...result, madeMs: momentMs }
    }
    const results = { newer: await read('newer'), older: await read('older') }
    const error = results.newer.error ?? results.older.error
    return { ...results, error, ...(await comparison.table(options)) }
  } finally {
    comparison.close()
    rmSync(directory, { recursive: true, force: true })
  }
}
