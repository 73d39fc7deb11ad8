/**
 * After a long load over connections: would a load by replication have worked, and how much faster is
 * that? Measured with redis-server 7.0 (`npm run bench -- via-replica`): of 5 million small strings (54
 * bytes a key) it is 2.4 to 3 times as fast as a load by RESTORE; of 200,000 collections (2 KB a key) it
 * is not, since a server is as busy with a large value whichever way it comes.
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
const MEASURED: Advice = { timesFrom: 2.4, timesTo: 3 }

/** Undefined: the load was short, its keys were large, or it would not have worked. */
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
  if (readBytes / totals.read >= SMALL_KEY_BYTES) return undefined
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
  return MEASURED
}
