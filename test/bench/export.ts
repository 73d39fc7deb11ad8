/** `rrep export` against redis-check-rdb, which only walks the file. Data: bench-data.mjs. */
import { serverBinaries } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'

const MEMORY_LIMIT_BYTES = 120 << 20

interface Case {
  kind: 'A' | 'B' | 'C'
  format: string
  filter?: readonly string[]
  targetRatio: number
  memoryLimitBytes?: number
}

const CASES: readonly Case[] = [
  { kind: 'A', format: 'jsonl', targetRatio: 2 },
  { kind: 'B', format: 'jsonl', targetRatio: 0.8 },
  { kind: 'C', format: 'jsonl', targetRatio: 2 },
  { kind: 'A', format: 'resp', targetRatio: 0.8 },
  // On two cores of 2025 500 MB/s, with a filter on names 300.
  { kind: 'A', format: 'rdb', targetRatio: 0.3 },
  { kind: 'B', format: 'rdb', targetRatio: 0.6 },
  // By DuckDB; without it 600,000 keys a second, eight times as long.
  { kind: 'A', format: 'parquet', targetRatio: 3, memoryLimitBytes: 200 << 20 },
  { kind: 'A', format: 'rdb', filter: ['--match', '*1*'], targetRatio: 0.8 },
]

export async function run(): Promise<void> {
  const { checkRdb } = serverBinaries()[0]!
  for (const { kind, format, filter = [], targetRatio, memoryLimitBytes } of CASES) {
    const file = await benchData(kind)
    const { ours } = await pairwise(
      ['export', kind, format, ...filter].join(' '),
      { name: 'rrep', argv: [...RREP, 'export', file, '--format', format, ...filter, '-q'] },
      { name: 'check-rdb', argv: [checkRdb, file] },
      { runs: 3, targetRatio },
    )
    const limit = memoryLimitBytes ?? MEMORY_LIMIT_BYTES
    if (ours.peakRssBytes > limit) console.log(`  memory: over ${limit >> 20} MiB`)
  }
}
