/**
 * `rrep inspect --compare` of two dumps of five million keys, against both inspected by themselves. The
 * second is the first with every tenth key under another name.
 */
import { existsSync, renameSync } from 'node:fs'
import { exportKeys, growth, inspect } from '../../src/index.js'
import { parseRewriteRule } from '../../src/index.js'
import { benchData, pairwise, RREP } from './harness.js'

const MEMORY_TARGET_BYTES = 200 * 1e6

export async function run(): Promise<void> {
  const older = await benchData('A')
  const newer = older.replace(/\.rdb$/, '-renamed.rdb')
  if (!existsSync(newer)) {
    const rewriteKey = [parseRewriteRule('s/0$/0:renamed/')]
    await exportKeys(older, { output: `${newer}.part`, format: 'rdb', rewriteKey })
    renameSync(`${newer}.part`, newer)
  }
  const [was, is] = [await inspect(older), await inspect(newer)]
  const { total } = await growth(newer, older)
  const isExact =
    total.before.keys === was.keys &&
    total.now.keys === is.keys &&
    total.before.memory === was.memory &&
    total.now.memory === is.memory &&
    total.created.keys === total.gone.keys
  console.log(
    `${total.before.keys} and ${total.now.keys} keys, ${total.created.keys} new, totals ${isExact ? 'those of inspect: met' : 'MISSED'}`,
  )
  const { ours } = await pairwise(
    'growth of A and A renamed',
    { name: 'inspect --compare', argv: [...RREP, 'inspect', newer, '--compare', older, '-q'] },
    {
      name: 'inspect, both',
      argv: ['sh', '-c', '"$@" inspect "$OLD" -q; exec "$@" inspect "$NEW" -q', 'sh', ...RREP],
      env: { OLD: older, NEW: newer },
    },
    { runs: Number(process.env['RREP_BENCH_RUNS'] ?? 5), targetRatio: 2.5 },
  )
  const met = ours.peakRssBytes < MEMORY_TARGET_BYTES
  console.log(
    `peak memory ${(ours.peakRssBytes / 1e6).toFixed(0)} MB, target 200: ${met ? 'met' : 'MISSED'}`,
  )
}
