/** `inspect`, as one page of HTML: see report/render.ts for what is on it. */
import { Buffer } from 'node:buffer'
import { openOutput } from '../../disk/output/open-output.js'
import { renderReport } from '../../report/render.js'
import type { SourceName } from '../../source/classify.js'
import { growth } from '../growth/run.js'
import type { GrowthResult } from '../growth/options.js'
import type { InspectOptions, InspectReportOptions, InspectResult } from './options.js'
import { inspect } from './run.js'

export interface InspectReportResult extends InspectResult {
  /** With `older`. */
  readonly growth: GrowthResult | undefined
}

/** Writes a page of what could be read, also of a damaged source. Throws as `inspect` does, and
 * FileError of the output. */
export async function inspectReport(
  source: SourceName,
  options: InspectReportOptions,
): Promise<InspectReportResult> {
  const { output: target, ask, madeBy, version, older, olderUntil, ...rest } = options
  const nowMs = options.nowMs ?? Date.now()
  const { signal } = options
  const inspected: InspectOptions = { ...rest, nowMs, report: true }
  const grown =
    older === undefined
      ? undefined
      : await growth(source, older, {
          ...inspected,
          until: { newer: options.until, older: olderUntil },
          onProgress: ({ phase, ...progress }) => {
            if (phase !== 'compare') options.onProgress?.({ ...progress, phase })
          },
        })
  const result = { ...(grown?.newer ?? (await inspect(source, inspected))), growth: grown }
  // Of what is no dump at all there is nothing to show.
  if (result.error !== undefined && result.rdbVersion === 0) return result
  const input = { ...result, growth: grown && { table: grown, older: grown.older } }
  const page = Buffer.from(renderReport(input, { ask, madeBy, version, nowMs }))
  const output = await openOutput(target, { signal })
  try {
    output.write(page)
    await output.drain()
    await output.finish()
  } catch (error) {
    output.discard()
    throw error
  }
  return result
}
