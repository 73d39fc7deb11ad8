/** What does not go together with a load by replication. */
import { UsageError } from '../../../errors.js'
import type { ReplayCall } from '../options.js'

/** The target takes all of it by itself: what says how keys are written is for the other way. Throws
 * UsageError. */
export function refuseBesideReplica(options: ReplayCall): void {
  if (options.source.kind === 'server') {
    throw new UsageError('`viaReplica` loads what lies still: a live server goes on meanwhile', {
      hint: 'take a snapshot (`sync()`) and replay that, or leave `viaReplica` out',
    })
  }
  const { salvage, connections, fromMs, restore, onConflict } = options
  const { rateBytesPerSecond } = options
  const others = {
    ...{ salvage, connections, fromMs, restore, onConflict, rateBytesPerSecond },
    'filter.minSizeBytes': options.filter?.minSizeBytes,
  }
  const found = Object.entries(others).find(([, value]) => value !== undefined)
  if (found !== undefined) {
    throw new UsageError(`\`${found[0]}\` does not go with \`viaReplica\``)
  }
}
