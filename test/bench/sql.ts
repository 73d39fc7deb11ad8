/** `rrep sql` against `rrep inspect --csv`, which reads the same and asks nothing. Data: bench-data.mjs. */
import { benchData, pairwise, RREP } from './harness.js'

const MEMORY_LIMIT_BYTES = 200 * 1_000_000
const TARGET_RATIO = 1.6

const QUERIES = {
  'by prefix': 'select prefix(key), count(*), sum(size_in_bytes) from keys group by 1',
  'by type': 'select type, count(*), sum(size_in_bytes), count(expiry) from keys group by 1',
  count: 'select count(*) from keys',
}

export async function run(): Promise<void> {
  const file = await benchData('A')
  for (const [name, query] of Object.entries(QUERIES)) {
    const { ours } = await pairwise(
      `sql A ${name}`,
      { name: 'sql', argv: [...RREP, 'sql', file, query, '-q'] },
      { name: 'inspect --csv', argv: [...RREP, 'inspect', file, '--csv', '-q'] },
      { runs: 5, targetRatio: TARGET_RATIO },
    )
    if (ours.peakRssBytes > MEMORY_LIMIT_BYTES) console.log('  memory: over 200 MB')
  }
}
