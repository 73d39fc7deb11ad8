/**
 * `rrep sync` against `redis-cli --rdb`, both to the same disk with fsync: from a program that
 * serves the ready file D as fast as the socket takes it, and from a real master that holds D.
 * `RREP_BENCH_SYNC=ready` or `=master` runs one half.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startServer } from '../helpers/servers.js'
import { benchData, median, pairwise, RREP, type CommandSpec, type PairResult } from './harness.js'

const MEMORY_TARGET_BYTES = 90 * 1e6

export async function run(): Promise<void> {
  const file = await benchData('D')
  const half = process.env['RREP_BENCH_SYNC'] ?? 'both'
  const dir = mkdtempSync(join(tmpdir(), 'rrep-bench-sync-'))
  try {
    if (half !== 'master') {
      for (const framing of ['length', 'eof'] as const) await ready(file, framing, dir)
    }
    if (half !== 'ready') await realMaster(file, dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function ready(file: string, framing: 'length' | 'eof', dir: string): Promise<void> {
  const program = join(import.meta.dirname, 'serve-ready.lib.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', program, file, framing], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const port = await new Promise<number>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString()))),
    )
    const result = await pairwise(`ready file, ${framing}`, ...commands(port, dir), {
      runs: 5,
      targetRatio: 0.6,
    })
    checkMemory(result)
  } finally {
    child.kill()
  }
}

async function realMaster(file: string, dir: string): Promise<void> {
  const data = join(dir, 'data')
  mkdirSync(data)
  symlinkSync(file, join(data, 'dump.rdb'))
  const server = await startServer({ dir: data })
  try {
    await server.client.ping()
    const [ours, theirs] = commands(server.port, dir)
    const latencies: Record<string, number[]> = { [ours.name]: [], [theirs.name]: [] }
    const result = await pairwise('real master', ours, theirs, { runs: 3, targetRatio: 1 })
    console.log(`cpu ratio target 0.60: ${result.cpuRatio <= 0.6 ? 'met' : 'MISSED'}`)
    checkMemory(result)
    for (let i = 0; i < 3; i += 1) {
      for (const command of [ours, theirs]) {
        latencies[command.name]!.push(await p99While(command, server.port))
      }
    }
    const mine = median(latencies[ours.name]!)
    const other = median(latencies[theirs.name]!)
    console.log(
      `master's p99 under redis-benchmark -c 1: ${mine.toFixed(3)} ms during ${ours.name}, ` +
        `${other.toFixed(3)} ms during ${theirs.name}`,
    )
  } finally {
    await server.stop()
  }
}

function commands(port: number, dir: string): [CommandSpec, CommandSpec] {
  const ours = join(dir, 'ours.rdb')
  const theirs = join(dir, 'theirs.rdb')
  const clean = (path: string) => () => rmSync(path, { force: true })
  return [
    {
      name: 'rrep sync',
      argv: [...RREP, 'sync', `127.0.0.1:${port}`, '-q', '-o', ours],
      before: clean(ours),
    },
    {
      name: 'redis-cli --rdb',
      argv: ['redis-cli', '-p', String(port), '--rdb', theirs],
      before: clean(theirs),
    },
  ]
}

/** p99 in ms of SETs by one client, as redis-benchmark reports it, while the command runs. */
async function p99While(command: CommandSpec, port: number): Promise<number> {
  await command.before?.()
  const child = spawn(command.argv[0]!, command.argv.slice(1), { stdio: 'ignore' })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let running = true
  void ended.then(() => (running = false))
  const seen: number[] = []
  do {
    const { stdout } = await promisify(execFile)('redis-benchmark', [
      ...['-p', String(port), '-c', '1', '-n', '20000', '-r', '1000', '-t', 'set', '--csv'],
    ])
    // "test","rps","avg","min","p50","p95","p99","max"
    const fields = stdout.trim().split('\n').at(-1)!.replaceAll('"', '').split(',')
    seen.push(Number(fields[6]))
  } while (running)
  await ended
  return median(seen)
}

function checkMemory({ ours }: PairResult): void {
  const met = ours.peakRssBytes < MEMORY_TARGET_BYTES
  console.log(
    `peak memory ${(ours.peakRssBytes / 1e6).toFixed(0)} MB, target 90: ${met ? 'met' : 'MISSED'}`,
  )
}
