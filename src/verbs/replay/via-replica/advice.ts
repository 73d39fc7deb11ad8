/**
 * After a long load over connections: would a load by replication have worked, and how much faster is
 * that? Measured with redis-server 7.0, files of 5 million small strings (54 bytes a key) and of 200,000
 * collections (2 KB a key), each against a load by RESTORE: 2.4 to 3 and 1.3 to 1.7 times.
 */
import { RrepError } from '../../../errors.js'
import { ControlClient } from '../../../net/control.js'
import { atDb0 } from '../../../target/replica/put-right.js'
import type { Advice } from '../options.js'
import type { ReplaySession } from '../session.js'
import { refuseBesideReplica } from './refusals.js'
import { requireFit } from './fitness.js'

const LONG_MS = 10_000
/** Of the file, for each key. */
const SMALL_KEY_BYTES = 500

/** Undefined: the load was short, or it would not have worked. */
export async function adviceFor(
  session: ReplaySession,
  { durationMs, readBytes }: { durationMs: number; readBytes: number },
): Promise<Advice | undefined> {
  const { options, ledger, isDry, targetWasEmpty } = session
  const { totals, commands } = ledger
  const isLong = durationMs >= (options.adviceFromMs ?? LONG_MS)
  const isLoad = totals.written > 0 && commands.read === 0 && options.shard === undefined
  if (!isLong || !isLoad || isDry || !targetWasEmpty || options.viaReplica === true) {
    return undefined
  }
  try {
    refuseBesideReplica(options)
    const control = await ControlClient.open(atDb0(options.target), options.signal)
    try {
      await requireFit(control, session.facts, undefined)
    } finally {
      control.close()
    }
  } catch (error) {
    if (error instanceof RrepError) return undefined
    throw error
  }
  const isSmall = readBytes / totals.read < SMALL_KEY_BYTES
  return isSmall ? { timesFrom: 2.4, timesTo: 3 } : { timesFrom: 1.3, timesTo: 1.7 }
}
