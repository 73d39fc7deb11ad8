/** A filter as an analysis asks it. */
import type { KeyAnalysis } from '../../analyze/key-analysis.js'
import { wantsKey, type KeyFilter, type KeyFilterOptions } from '../../source/key-filter.js'

/** Tests of the filter that cannot fail are left out, so that they cost nothing. */
export function filterHooks(
  filter: KeyFilter,
  options: KeyFilterOptions | undefined,
  nowMs: number,
): Pick<ConstructorParameters<typeof KeyAnalysis>[0], 'wantsKey' | 'wantsMemory'> {
  if (filter.passesAll) return {}
  return {
    wantsKey: (header) => wantsKey(filter, header, nowMs),
    wantsMemory: options?.minSizeBytes === undefined ? undefined : (bytes) => filter.size(bytes),
  }
}
