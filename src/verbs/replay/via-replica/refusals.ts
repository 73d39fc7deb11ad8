/** What does not go together with a load by replication. */
import { UsageError } from '../../../errors.js'
import type { ReplayCall } from '../options.js'

type OwnOption =
  'salvage' | 'connections' | 'fromMs' | 'restore' | 'onConflict' | 'rateBytesPerSecond'

const REASONS: Readonly<Record<OwnOption | 'filter.minSizeBytes', string>> = {
  salvage: 'a target drops all that it has where a dump is damaged, so only a whole one is sent',
  connections: 'the target has one link to its master',
  fromMs: 'a load begins with an empty target, and commands from a moment on need what was before',
  restore: 'the target reads a dump, and no command is sent for a key',
  onConflict: 'the target is empty then, and no key of it is in the way',
  rateBytesPerSecond: 'the target takes the dump in one go, and answers nobody until it is loaded',
  'filter.minSizeBytes': 'the size of a value is known behind it, when it is on its way already',
}

/** The target takes all of it by itself: what says how keys are written is for the other way. Throws
 * UsageError. */
export function refuseBesideReplica(options: ReplayCall): void {
  if (options.source.kind === 'server') {
    throw new UsageError('`viaReplica` loads what lies still: a live server goes on meanwhile', {
      hint: 'take a snapshot (`sync()`) and replay that, or leave `viaReplica` out',
    })
  }
  for (const [name, why] of Object.entries(REASONS)) {
    const value =
      name === 'filter.minSizeBytes' ? options.filter?.minSizeBytes : options[name as OwnOption]
    if (value === undefined || value === false) continue
    throw new UsageError(`\`${name}\` does not go with \`viaReplica\`: ${why}`)
  }
}
