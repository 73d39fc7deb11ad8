/** `inspect` against `redis-check-rdb`, which does less than `--check`: pairwise, on one machine. */
import { alone, benchData, pairwise, RREP, type CommandSpec } from './harness.js'

/** Most of redis-check-rdb's wall time, by data and mode; undefined: no target. */
const TARGETS = {
  A: { '--check': 0.3, summary: 0.6, '--csv': 0.8 },
  B: { '--check': 0.15, summary: 0.3, '--csv': 0.3 },
  C: { '--check': 0.5, summary: undefined, '--csv': undefined },
  D: { '--check': 0.3, summary: 0.3, '--csv': undefined },
} as const

const MAX_RSS_BYTES = 120 * 1024 * 1024

export async function run(): Promise<void> {
  const runs = Number(process.env['RREP_BENCH_RUNS'] ?? 5)
  const kinds = (process.env['RREP_BENCH_DATA'] ?? 'ABCD').split('') as (keyof typeof TARGETS)[]
  for (const kind of kinds) {
    const file = await benchData(kind)
    const theirs: CommandSpec = { name: 'redis-check-rdb', argv: ['redis-check-rdb', file] }
    for (const [mode, targetRatio] of Object.entries(TARGETS[kind])) {
      const ours: CommandSpec = {
        name: 'rrep',
        argv: [...RREP, 'inspect', file, ...(mode === 'summary' ? [] : [mode])],
      }
      const result = await pairwise(`inspect ${mode}, ${kind}`, ours, theirs, {
        runs,
        ...(targetRatio === undefined ? {} : { targetRatio }),
      })
      if (result.ours.peakRssBytes > MAX_RSS_BYTES) {
        console.log(`  peak memory over ${MAX_RSS_BYTES / 1048576} MiB: MISSED`)
      }
    }
  }
  await alone('inspect --help (start-up alone)', {
    name: 'rrep',
    argv: [...RREP, 'inspect', '--help'],
  })
}
