/** Streams of shards in which slots move to and fro, received, played, killed and resumed in 300 orders for
 * each way in which servers move slots: applied to one key space they make what the cluster holds. */
import { MERGES, playMerge } from '../helpers/merge-play.js'

const SEEDS = 300

export async function run(): Promise<void> {
  for (const [name, options] of MERGES) {
    const failed: unknown[] = []
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      await playMerge(seed, options).catch((error: unknown) => failed.push(error))
    }
    console.log(`${name}: ${SEEDS - failed.length} of ${SEEDS} as the cluster`)
    if (failed.length > 0) throw failed[0]
  }
}
