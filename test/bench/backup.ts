/**
 * `rrep backup` of D into a directory against `rrep sync`, both from a real master that holds it: it saves
 * for some 16 s each time, so that six pairs take four minutes.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'

const MEMORY_TARGET_BYTES = 200 * 1e6

export async function run(): Promise<void> {
  const file = await benchData('D')
  const dir = mkdtempSync(join(tmpdir(), 'rrep-bench-backup-'))
  const data = join(dir, 'data')
  const [repo, dump] = [join(dir, 'repo'), join(dir, 'dump.rdb')]
  mkdirSync(data)
  symlinkSync(file, join(data, 'dump.rdb'))
  const server = await startServer({ dir: data, args: ['--repl-diskless-sync-delay', '0'] })
  try {
    await server.client.ping()
    const address = `127.0.0.1:${server.port}`
    const { ours } = await pairwise(
      'D into a directory',
      {
        name: 'rrep backup',
        argv: [...RREP, 'backup', address, '-q', '--to', repo],
        before: () => rmSync(repo, { recursive: true, force: true }),
      },
      {
        name: 'rrep sync',
        argv: [...RREP, 'sync', address, '-q', '-o', dump],
        before: () => rmSync(dump, { force: true }),
      },
      { runs: Number(process.env['RREP_BENCH_RUNS'] ?? 5), targetRatio: 1.1 },
    )
    const met = ours.peakRssBytes < MEMORY_TARGET_BYTES
    console.log(
      `peak memory ${(ours.peakRssBytes / 1e6).toFixed(0)} MB, target 200: ${met ? 'met' : 'MISSED'}`,
    )
  } finally {
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}
