/** Streams of shards in which slots move to and fro, in one key space: they make what the cluster holds. Many
 * more orders are tried by `npm run soak -- shard-merge`. */
import { test } from 'vitest'
import { MERGES, playMerge } from '../helpers/merge-play.js'

const SEEDS = 3

test.each(MERGES)('%s', async (_name, options) => {
  for (let seed = 1; seed <= SEEDS; seed += 1) await playMerge(seed, options)
})
