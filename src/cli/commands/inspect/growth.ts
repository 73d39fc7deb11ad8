/** `rrep inspect --compare`: what became of the keys since an older source. */
import type { Source } from '../../../source/classify.js'
import { growth } from '../../../verbs/growth/run.js'
import type { GrowthOptions, GrowthResult } from '../../../verbs/growth/options.js'
import type { InspectOptions, InspectResult } from '../../../verbs/inspect/options.js'
import { printableText } from '../../../bytes/key-text.js'
import { growthObject, renderGrowth } from '../../render/growth.js'
import { outcomeObject } from '../../render/inspect-json.js'
import { serverText } from '../../render/inspect-summary.js'
import { lookOf } from '../../render/inspect-table.js'
import type { Talk } from '../../talk.js'
import { formatDuration, formatSize } from '../../units.js'

interface Moments {
  readonly olderUntil: InspectOptions['until']
}

interface GrowthTalk {
  readonly talk: Talk
  readonly show: GrowthOptions['onProgress']
  readonly stop: () => void
}

export async function showGrowth(
  newer: Source,
  older: Source,
  options: Omit<InspectOptions, 'onProgress'> & Moments,
  { talk, show, stop }: GrowthTalk,
): Promise<GrowthResult> {
  const { olderUntil, ...rest } = options
  const result = await growth(newer, older, {
    ...rest,
    until: { newer: options.until, older: olderUntil },
    onProgress: show,
  })
  stop()
  // Of what is no dump at all there is nothing to show.
  const isNothing = [result.newer, result.older].some((side) => side.rdbVersion === 0)
  if (isNothing) return result
  if (talk.json) {
    await talk.event({
      event: 'compared',
      newer: sideObject(result.newer),
      older: sideObject(result.older),
      ...growthObject(result),
    })
  } else if (!talk.quiet) {
    await talk.write(`${sides(result, talk)}\n\n${renderGrowth(result, lookOf(talk))}\n`)
  }
  return result
}

function sideObject(side: InspectResult): object {
  return {
    ...outcomeObject(side),
    keys: side.keys,
    memory: side.memory,
    madeAt: side.madeMs ?? null,
    ...(side.filteredOut > 0 ? { filteredOut: side.filteredOut } : {}),
  }
}

function sides({ newer, older }: GrowthResult, { out }: Talk): string {
  return [
    `${out.bold('Older')}  ${sideText(older)}`,
    `${out.bold('Newer')}  ${sideText(newer)}${spanText(newer, older)}`,
    ...[newer, older]
      .filter(({ complete }) => !complete)
      .map(({ file }) =>
        out.red(`${printableText(file)} is damaged: the figures are of what could be read`),
      ),
  ].join('\n')
}

function sideText(side: InspectResult): string {
  const made =
    side.madeMs === undefined
      ? ''
      : `, made ${new Date(side.madeMs).toISOString().replace('.000Z', 'Z')}`
  return `${printableText(side.file)} (${formatSize(side.bytes)}), ${serverText(side)}${made}`
}

function spanText(newer: InspectResult, older: InspectResult): string {
  if (newer.madeMs === undefined || older.madeMs === undefined) return ''
  const ms = newer.madeMs - older.madeMs
  return ms >= 0 ? `, ${formatDuration(ms)} later` : `: ${formatDuration(-ms)} before the older one`
}
