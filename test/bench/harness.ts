/**
 * Fair timing of whole processes: two commands in alternation, medians, and the ratio pair by
 * pair, so that a machine whose speed drifts does not favour one of them. Wall time, CPU of the
 * process and its children, and the peak memory of the process.
 */
import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../helpers/servers.js'

export interface Timed {
  wallMs: number
  cpuMs: number
  /** 0 where the process ended before it could be asked. */
  peakRssBytes: number
  exitCode: number
}

export interface CommandSpec {
  name: string
  argv: readonly string[]
  /** Where stdout goes: a file, or `/dev/null` (the default). */
  stdout?: string
  env?: Record<string, string>
  /** Runs before each run, untimed: removes an old file, empties a server. */
  before?: () => void | Promise<void>
  /** Accepted exit codes; default only 0. */
  exitCodes?: readonly number[]
}

export const ROOT = join(import.meta.dirname, '../..')
export const RREP = [process.execPath, join(ROOT, 'bin/rrep.js')] as const

const DATA_DIR = join(tmpdir(), 'rrep-bench-data')

/** Runs the command once. CPU is what the kernel charged to reaped children meanwhile. */
export async function timeOnce(spec: CommandSpec): Promise<Timed> {
  await spec.before?.()
  const stdout = openSync(spec.stdout ?? '/dev/null', 'w')
  const cpuBefore = childrenCpuMs()
  const started = performance.now()
  const child = spawn(spec.argv[0]!, spec.argv.slice(1), {
    stdio: ['ignore', stdout, 'pipe'],
    env: { ...environment(), ...spec.env },
  })
  let talk = ''
  child.stderr?.on('data', (chunk: Buffer) => (talk = (talk + chunk.toString()).slice(-4096)))
  let peakRssBytes = 0
  const poll = setInterval(() => (peakRssBytes = peakOf(child.pid, peakRssBytes)), 25)
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? -1))
  })
  const wallMs = performance.now() - started
  clearInterval(poll)
  closeSync(stdout)
  if (!(spec.exitCodes ?? [0]).includes(exitCode)) {
    throw new Error(`${spec.name} ended with ${exitCode}:\n${talk}`)
  }
  return { wallMs, cpuMs: childrenCpuMs() - cpuBefore, peakRssBytes, exitCode }
}

/**
 * Certificates that a machine adds for every Node are read at its start, 40 ms long: that says
 * nothing of the programs that are timed here.
 */
function environment(): NodeJS.ProcessEnv {
  const env = { ...process.env }
  delete env['NODE_EXTRA_CA_CERTS']
  return env
}

export interface PairResult {
  ours: Timed
  theirs: Timed
  /** Medians of the pairwise ratios ours / theirs. */
  wallRatio: number
  cpuRatio: number
}

/** A B A B …, one warm-up each; prints a row and returns the medians. */
export async function pairwise(
  title: string,
  ours: CommandSpec,
  theirs: CommandSpec,
  { runs = 5, targetRatio }: { runs?: number; targetRatio?: number } = {},
): Promise<PairResult> {
  const a: Timed[] = []
  const b: Timed[] = []
  for (let run = -1; run < runs; run += 1) {
    const one = await timeOnce(ours)
    const other = await timeOnce(theirs)
    if (run < 0) continue
    a.push(one)
    b.push(other)
  }
  const result: PairResult = {
    ours: medians(a),
    theirs: medians(b),
    wallRatio: median(a.map((each, index) => each.wallMs / b[index]!.wallMs)),
    cpuRatio: median(a.map((each, index) => each.cpuMs / Math.max(1, b[index]!.cpuMs))),
  }
  const target =
    targetRatio === undefined
      ? ''
      : `  target ${targetRatio.toFixed(2)}: ${result.wallRatio <= targetRatio ? 'met' : 'MISSED'}`
  console.log(
    `${title.padEnd(34)} ${row(ours.name, result.ours)} | ${row(theirs.name, result.theirs)} | ` +
      `wall x${result.wallRatio.toFixed(2)} cpu x${result.cpuRatio.toFixed(2)}${target}`,
  )
  return result
}

/** One command alone: medians over the runs, printed. */
export async function alone(title: string, spec: CommandSpec, runs = 3): Promise<Timed> {
  const times: Timed[] = []
  for (let run = -1; run < runs; run += 1) {
    const one = await timeOnce(spec)
    if (run >= 0) times.push(one)
  }
  const result = medians(times)
  console.log(`${title.padEnd(34)} ${row(spec.name, result)}`)
  return result
}

/**
 * The RDB file of bench data `A`, `B`, `C` or `D`, made once by a redis-server of this machine
 * and kept in the temporary directory. Made of what bench-data.mjs writes.
 */
export async function benchData(kind: 'A' | 'B' | 'C' | 'D'): Promise<string> {
  const file = join(DATA_DIR, `${kind}.rdb`)
  if (existsSync(file)) return file
  const generator = join(import.meta.dirname, 'bench-data.mjs')
  console.log(`making bench data ${kind} (once)…`)
  mkdirSync(DATA_DIR, { recursive: true })
  const server = await startServer()
  try {
    const script = '"$0" "$1" "$2" | redis-cli -p "$3" --pipe'
    const filled = spawnSync(
      'sh',
      ['-c', script, process.execPath, generator, kind, String(server.port)],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
    if (filled.status !== 0) throw new Error('filling the server failed')
    await server.client.call('SAVE')
    // Complete under its name or not there at all.
    copyFileSync(join(server.dir, 'dump.rdb'), `${file}.part`)
    renameSync(`${file}.part`, file)
  } finally {
    await server.stop()
  }
  return file
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function medians(times: readonly Timed[]): Timed {
  return {
    wallMs: median(times.map((each) => each.wallMs)),
    cpuMs: median(times.map((each) => each.cpuMs)),
    // Not the median: one run over the limit is over the limit.
    peakRssBytes: Math.max(...times.map((each) => each.peakRssBytes)),
    exitCode: times[0]!.exitCode,
  }
}

function row(name: string, timed: Timed): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)}s`
  const mib = (timed.peakRssBytes / 1048576).toFixed(0)
  return `${name}: ${seconds(timed.wallMs)} cpu ${seconds(timed.cpuMs)} ${mib} MiB`
}

/** cutime + cstime of this process, in ms (clock ticks are 10 ms on Linux). */
function childrenCpuMs(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[13]) + Number(fields[14])) * 10
}

function peakOf(pid: number | undefined, before: number): number {
  try {
    const status = readFileSync(`/proc/${pid ?? 0}/status`, 'utf8')
    return Math.max(before, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024)
  } catch {
    return before
  }
}
