/** Keys that are counted, of all pieces of a thread. */
import { serialize } from 'node:v8'
import { KeyAnalysis } from '../../../analyze/key-analysis.js'
import { allocateInputBuffer } from '../../../kernels/kernel.js'
import { compileKeyFilter } from '../../../source/key-filter.js'
import { filterHooks } from '../../inspect/filter-hooks.js'
import type { AnalysisJob, WorkerStart } from '../options.js'
import type { PieceMaker } from './maker.js'

export function analysisMaker({ readBytes }: WorkerStart, job: AnalysisJob): PieceMaker {
  const { nowMs, top, prefixes, filter } = job
  let isOdd = false
  const analysis = new KeyAnalysis({
    nowMs,
    top,
    prefixes,
    ...filterHooks(compileKeyFilter(filter), filter, nowMs),
    onNotice: () => (isOdd = true),
  })
  return {
    input: allocateInputBuffer(readBytes),
    begin: () => ({
      visitor: analysis,
      walkBlobs: false,
      drain: () => undefined,
      finish: () => {
        if (isOdd) throw new Error('what is odd is told by who reads all')
        return {}
      },
    }),
    sums: () => new Uint8Array(serialize(analysis.state())),
  }
}
