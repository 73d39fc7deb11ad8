/** `rrep export` against redis-check-rdb, which only walks the file. Data: bench-data.mjs. */
import { serverBinaries } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'

const MEMORY_LIMIT_BYTES = 120 << 20

const CASES = [
  { kind: 'A', format: 'jsonl', targetRatio: 2 },
  { kind: 'B', format: 'jsonl', targetRatio: 0.8 },
  { kind: 'C', format: 'jsonl', targetRatio: 6 },
  { kind: 'A', format: 'resp', targetRatio: 0.8 },
] as const

export async function run(): Promise<void> {
  const { checkRdb } = serverBinaries()[0]!
  for (const { kind, format, targetRatio } of CASES) {
    const file = await benchData(kind)
    const { ours } = await pairwise(
      `export ${kind} ${format}`,
      { name: 'rrep', argv: [...RREP, 'export', file, '--format', format, '-q'] },
      { name: 'check-rdb', argv: [checkRdb, file] },
      { runs: 3, targetRatio },
    )
    if (ours.peakRssBytes > MEMORY_LIMIT_BYTES) console.log('  memory: over 120 MiB')
  }
}
