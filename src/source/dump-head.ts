/** What the first bytes of a dump tell before it is read: its moment, and what may stand behind. */
import type { Buffer } from 'node:buffer'
import { UsageError } from '../errors.js'
import type { Until } from '../archive/moment.js'
import { readAuxFields } from '../rdb/head.js'

/**
 * A dump has one moment, that of its making (AUX ctime), and stands for what came later as far as
 * it is known. Throws UsageError where another one is asked for.
 */
export function checkMomentOfDump(head: Buffer, name: string, until: Until): void {
  if (until === undefined) return
  if ('offset' in until) {
    throw new UsageError(`${name} is a snapshot: it has one moment only, and no offsets`, {
      hint: 'offsets are for AOFs, archives and live servers',
    })
  }
  const seconds = Number(readAuxFields(head).get('ctime') ?? Number.NaN)
  // The second asked for is in it as a whole.
  if (!(seconds > Math.floor(until.unixMs / 1000))) return
  const madeAt = new Date(seconds * 1000).toISOString()
  throw new UsageError(`${name} was saved at ${madeAt}, after the moment asked for`, {
    hint: 'an older snapshot is needed to go back further',
  })
}

/** AUX `aof-preamble` (4.0 to 6.2) or `aof-base` (7.0): commands may stand behind the snapshot. */
export function hasPreamble(head: Buffer): boolean {
  const aux = readAuxFields(head)
  return aux.get('aof-preamble') === '1' || aux.get('aof-base') === '1'
}
