/** `inspect`, as one page of HTML: see report/render.ts for what is on it. */
import { isClusterArchive } from '../../archive/cluster-record.js'
import type { ReportSection } from '../../report/input.js'
import { renderReport } from '../../report/render.js'
import { trafficSections } from '../../report/sections/traffic.js'
import { writePage } from '../../report/write-page.js'
import { readSource, type SourceName } from '../../source/classify.js'
import { isFarArchive } from '../../source/fetched-archive.js'
import { tailRecorded } from '../tail/recorded.js'
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
  const traffic = await trafficOf(source, result, options)
  const page = renderReport(input, { ask, madeBy, version, nowMs, more: traffic })
  await writePage(target, page, signal)
  return result
}

/** Where commands stand behind the snapshot, and can be read once more: what they were. */
async function trafficOf(
  source: SourceName,
  { built, commandsLeftOut }: InspectResult,
  { until, signal }: InspectReportOptions,
): Promise<readonly ReportSection[]> {
  const opened = await readSource(source)
  const isRead = built !== undefined || commandsLeftOut > 0
  if (!isRead || (opened.kind !== 'file' && opened.kind !== 'directory')) return []
  if (isFarArchive(opened) || isClusterArchive(opened.path)) return []
  let sections: readonly ReportSection[] = []
  await tailRecorded(opened, {
    ...(until === undefined ? {} : { until }),
    signal,
    traffic: { onReport: (report) => (sections = trafficSections(report)) },
  })
  return sections
}
