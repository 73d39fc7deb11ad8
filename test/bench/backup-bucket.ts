/** `rrep backup` into a bucket of Swift, against the parts of the ready file alone. */
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { hasSwift, startSwift } from '../helpers/swift.js'
import { benchData, pairwise, RREP } from './harness.js'

const MEMORY_TARGET_BYTES = 200 * 1e6

export async function run(): Promise<void> {
  if (!hasSwift) {
    console.log('backup-bucket: skipped, Swift is not installed')
    return
  }
  const file = await benchData('D')
  const swift = await startSwift()
  const program = join(import.meta.dirname, 'serve-ready.lib.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', program, file, 'length'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await swift.makeBucket('bench')
    const port = await new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
    )
    const raw = join(import.meta.dirname, 'upload-raw.lib.ts')
    const { ours } = await pairwise(
      'D into a bucket',
      {
        name: 'rrep backup',
        argv: [
          ...RREP,
          'backup',
          `127.0.0.1:${port}`,
          '-q',
          '--to',
          's3://bench/repo',
          '--name',
          'a',
        ],
        env: { ...swift.env },
      },
      {
        name: 'parts alone',
        argv: [process.execPath, '--import', 'tsx', raw, file, 'bench', 'raw'],
        env: { ...swift.env },
      },
      { runs: Number(process.env['RREP_BENCH_RUNS'] ?? 3), targetRatio: 1.3 },
    )
    const met = ours.peakRssBytes < MEMORY_TARGET_BYTES
    console.log(
      `peak memory ${(ours.peakRssBytes / 1e6).toFixed(0)} MB, target 200: ${met ? 'met' : 'MISSED'}`,
    )
  } finally {
    child.kill()
    await swift.stop()
  }
}
