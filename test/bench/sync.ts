/**
 * `rrep sync` against `redis-cli --rdb`, both to the same disk with fsync: from a program that
 * serves the ready file D as fast as the socket takes it, and from a real master that holds D. Of D also
 * against what receiving and writing take alone, and A into memory (/dev/shm).
 * `RREP_BENCH_SYNC=ready`, `=alone`, `=memory` or `=master` runs one part.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startServer } from '../helpers/servers.js'
import {
  benchData,
  median,
  pairwise,
  RREP,
  timeOnce,
  type CommandSpec,
  type PairResult,
} from './harness.js'

const MEMORY_TARGET_BYTES = 90 * 1e6

export async function run(): Promise<void> {
  const file = await benchData('D')
  const part = process.env['RREP_BENCH_SYNC']
  const isWanted = (name: string): boolean => (part ?? name) === name
  const dir = mkdtempSync(join(tmpdir(), 'rrep-bench-sync-'))
  try {
    if (isWanted('ready')) {
      for (const framing of ['length', 'eof'] as const) {
        await fromReady(file, framing, async (port) => {
          const title = `ready file, ${framing}`
          checkMemory(await pairwise(title, ...commands(port, dir), { runs: 5, targetRatio: 0.75 }))
        })
      }
    }
    if (isWanted('alone')) await fromReady(file, 'length', (port) => alone(file, port, dir))
    if (isWanted('memory')) await inMemory()
    if (isWanted('master')) await realMaster(file, dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Receives a payload and keeps nothing of it; tells in how many ms. */
const RECEIVE = `
const begunMs = performance.now()
let head = ''
let left = -1
const take = (count, bytes) => {
  if (left < 0) {
    head += bytes.toString('latin1', 0, count)
    const found = /\\$(\\d+)\\r\\n/.exec(head)
    if (found === null) return true
    left = Number(found[1]) - (head.length - found.index - found[0].length)
  } else left -= count
  if (left > 0) return true
  process.stdout.write(String(performance.now() - begunMs))
  socket.destroy()
  return false
}
const onread = { buffer: Buffer.allocUnsafeSlow(1 << 20), callback: take }
const socket = require('node:net').connect({ port: Number(process.argv[1]), host: '127.0.0.1', onread })
socket.write('*3\\r\\n$5\\r\\nPSYNC\\r\\n$1\\r\\n?\\r\\n$2\\r\\n-1\\r\\n')
`

/** How much more it takes than the longer of its two halves, start-up apart. */
async function alone(file: string, port: number, dir: string): Promise<void> {
  const out = join(dir, 'alone.rdb')
  const told = join(dir, 'told')
  const before = (): void => rmSync(out, { force: true })
  const sync = (to: string): CommandSpec => {
    return {
      name: 'rrep sync',
      argv: [...RREP, 'sync', `127.0.0.1:${port}`, '-q', '-o', to],
      before,
    }
  }
  const write = [
    'dd',
    `if=${file}`,
    `of=${out}`,
    'bs=1M',
    'oflag=direct',
    'conv=fsync',
    'status=none',
  ]
  const ratios: number[] = []
  const rows: number[][] = []
  for (let run = 0; run < 5; run += 1) {
    const wall = async (spec: CommandSpec): Promise<number> => (await timeOnce(spec)).wallMs
    const whole = await wall(sync(out))
    await timeOnce({
      name: 'receiving',
      argv: [process.execPath, '-e', RECEIVE, String(port)],
      stdout: told,
    })
    const receive = Number(readFileSync(told, 'utf8'))
    const disk = await wall({ name: 'dd', argv: write, before })
    const start = await wall({ name: 'rrep', argv: [...RREP, '--version'] })
    rows.push([whole, receive, disk, start])
    ratios.push((whole - start) / Math.max(receive, disk))
  }
  const [whole, receive, disk, start] = [0, 1, 2, 3].map((at) => {
    return (median(rows.map((row) => row[at]!)) / 1000).toFixed(2)
  })
  const ratio = median(ratios)
  console.log(
    `sync ${whole} s, receiving alone ${receive} s, writing alone ${disk} s, a start ${start} s: ` +
      `x${ratio.toFixed(2)} of the longer, target 1.30: ${ratio <= 1.3 ? 'met' : 'MISSED'}`,
  )
}

async function inMemory(): Promise<void> {
  const dir = mkdtempSync('/dev/shm/rrep-bench-sync-')
  try {
    await fromReady(await benchData('A'), 'length', async (port) => {
      await pairwise('A into memory', ...commands(port, dir), { runs: 5, targetRatio: 1 })
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function fromReady(
  file: string,
  framing: 'length' | 'eof',
  run: (port: number) => Promise<void>,
): Promise<void> {
  const program = join(import.meta.dirname, 'serve-ready.lib.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', program, file, framing], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const port = await new Promise<number>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString()))),
    )
    await run(port)
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
