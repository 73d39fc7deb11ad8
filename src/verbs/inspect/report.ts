/** `inspect`, as one page of HTML: see report/render.ts for what is on it. */
import { Buffer } from 'node:buffer'
import { openOutput } from '../../disk/output/open-output.js'
import { renderReport } from '../../report/render.js'
import type { SourceName } from '../../source/classify.js'
import type { InspectOptions, InspectReportOptions, InspectResult } from './options.js'
import { inspect } from './run.js'

/** Writes a page of what could be read, also of a damaged source. Throws as `inspect` does, and
 * FileError of the output. */
export async function inspectReport(
  source: SourceName,
  options: InspectReportOptions,
): Promise<InspectResult> {
  const { output: target, ask, madeBy, version, ...rest } = options
  const nowMs = options.nowMs ?? Date.now()
  const { signal } = options
  const inspected: InspectOptions = { ...rest, nowMs, report: true }
  const result = await inspect(source, inspected)
  // Of what is no dump at all there is nothing to show.
  if (result.error !== undefined && result.rdbVersion === 0) return result
  const page = Buffer.from(renderReport(result, { ask, madeBy, version, nowMs }))
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
