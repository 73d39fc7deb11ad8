/**
 * The stream: 140 MB of SETs of 70 bytes, decoded alone, kept to disk, and shown into a pipe, fed
 * through a socket as fast as it takes. Targets: decoding for the archive 1 GB/s, kept 300 MB/s,
 * JSON 1 million commands a second, text 700,000, memory below 120 MB.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SPECIAL_NAMES } from '../../src/aof/loadable.js'
import { CommandDecoder, RESP } from '../../src/resp/decoder.js'
import { median, ROOT, RREP } from './harness.js'

const COMMANDS = 2_000_000
const RUNS = Number(process.env['BENCH_RUNS'] ?? 3)

interface Feeder {
  child: ChildProcess
  port: number
  events: { event: string; atMs: number; fack?: number; totalBytes?: number }[]
  until: (test: () => boolean) => Promise<void>
}

export async function run(): Promise<void> {
  decodeAlone()
  await repeat('tail -o, to disk and fsynced', keepOnce)
  await repeat('tail --json into a pipe', () => showOnce(['--json']))
  await repeat('tail --json --strings base64', () => showOnce(['--json', '--strings', 'base64']))
  await repeat('tail, text into a pipe', () => showOnce([]))
}

function decodeAlone(): void {
  const command = `*3\r\n$3\r\nSET\r\n$16\r\nkey:${'1'.repeat(12)}\r\n$26\r\n${'v'.repeat(26)}\r\n`
  const bytes = Buffer.from(command.repeat(COMMANDS))
  for (const [name, boundariesOnly] of [
    ['boundaries, as the archive takes them', true],
    ['offsets of all arguments', false],
  ] as const) {
    const rates: number[] = []
    for (let round = 0; round < 5; round++) {
      const decoder = new CommandDecoder()
      let commands = 0
      const started = performance.now()
      for (let at = 0; at < bytes.length; at += 65_536) {
        decoder.feed(bytes, at, Math.min(at + 65_536, bytes.length))
        for (;;) {
          if (boundariesOnly) commands += decoder.skip(SPECIAL_NAMES)
          if (decoder.next() === RESP.MORE) break
          commands += 1
        }
      }
      if (commands !== COMMANDS) throw new Error(`decoded ${commands} commands`)
      rates.push(bytes.length / (performance.now() - started) / 1000)
    }
    const mb = median(rates)
    console.log(
      `decode: ${name.padEnd(40)} ${mb.toFixed(0)} MB/s, ` +
        `${(mb / command.length).toFixed(1)} M commands/s (best ${Math.max(...rates).toFixed(0)} MB/s)`,
    )
  }
}

interface Measured {
  ms: number
  peakBytes: number
  cpuMs: number
  totalBytes: number
}

async function repeat(title: string, once: () => Promise<Measured>): Promise<void> {
  const all: Measured[] = []
  for (let i = 0; i < RUNS; i++) all.push(await once())
  const ms = median(all.map((each) => each.ms))
  const best = Math.min(...all.map((each) => each.ms))
  const bytes = all[0]!.totalBytes
  console.log(
    `${title.padEnd(34)} ${(bytes / ms / 1000).toFixed(0)} MB/s, ` +
      `${(COMMANDS / ms / 1000).toFixed(2)} M commands/s (best ${(bytes / best / 1000).toFixed(0)} MB/s, ` +
      `${(COMMANDS / best / 1000).toFixed(2)} M), cpu ${median(all.map((each) => each.cpuMs)).toFixed(0)} ms, ` +
      `peak ${(Math.max(...all.map((each) => each.peakBytes)) / 1e6).toFixed(0)} MB`,
  )
}

async function keepOnce(): Promise<Measured> {
  const root = mkdtempSync(join(tmpdir(), 'rrep-bench-tail-'))
  const feeder = await startFeeder()
  const rrep = spawn(
    RREP[0],
    [RREP[1], 'tail', `127.0.0.1:${feeder.port}`, '-o', join(root, 'a'), '--durable', '-q'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const ended = new Promise<void>((resolve) => rrep.once('exit', () => resolve()))
  try {
    await feeder.until(() => feeder.events.some((e) => e.event === 'begin'))
    const begin = feeder.events.find((e) => e.event === 'begin')!
    const done = (e: { fack?: number }): boolean => (e.fack ?? -1) >= begin.totalBytes!
    await feeder.until(() => feeder.events.some(done))
    const end = feeder.events.find(done)!
    return {
      ms: end.atMs - begin.atMs,
      totalBytes: begin.totalBytes!,
      ...usage(rrep.pid!),
    }
  } finally {
    rrep.kill('SIGTERM')
    await ended
    feeder.child.kill()
    rmSync(root, { recursive: true, force: true })
  }
}

async function showOnce(args: readonly string[]): Promise<Measured> {
  const feeder = await startFeeder()
  // `wc` counts the lines, so what was shown is checked too.
  const shell = `"$0" "$1" tail 127.0.0.1:${feeder.port} --count ${COMMANDS} -q "$@" | wc -l`
  const script = shell.replace('"$@"', args.join(' '))
  const pipe = spawn('sh', ['-c', script, ...RREP], { stdio: ['ignore', 'pipe', 'inherit'] })
  let lines = ''
  pipe.stdout.on('data', (chunk: Buffer) => (lines += chunk.toString()))
  const ended = new Promise<number>((resolve) =>
    pipe.once('close', () => resolve(performance.now())),
  )
  let measured = { peakBytes: 0, cpuMs: 0 }
  const timer = setInterval(() => {
    const pid = childOf(pipe.pid!)
    if (pid !== undefined) measured = usage(pid)
  }, 20)
  await feeder.until(() => feeder.events.some((e) => e.event === 'begin'))
  const began = performance.now()
  const end = await ended
  clearInterval(timer)
  feeder.child.kill()
  if (Number(lines) !== COMMANDS) throw new Error(`${lines.trim()} lines were shown`)
  const totalBytes = feeder.events.find((e) => e.event === 'begin')!.totalBytes!
  return { ms: end - began, totalBytes, ...measured }
}

async function startFeeder(): Promise<Feeder> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', join(import.meta.dirname, 'tail-feeder.lib.ts'), String(COMMANDS)],
    { stdio: ['ignore', 'pipe', 'inherit'], cwd: ROOT },
  )
  const events: Feeder['events'] = []
  let rest = ''
  let wake: () => void = () => undefined
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) events.push(JSON.parse(line) as Feeder['events'][number])
    wake()
  })
  const until = async (test: () => boolean): Promise<void> => {
    while (!test()) await new Promise<void>((resolve) => (wake = resolve))
  }
  await until(() => events.length > 0)
  return { child, port: (events[0] as unknown as { port: number }).port, events, until }
}

function usage(pid: number): { peakBytes: number; cpuMs: number } {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return {
      peakBytes: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024,
      cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
    }
  } catch {
    return { peakBytes: 0, cpuMs: 0 }
  }
}

/** The node process under a shell. */
function childOf(pid: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')
    return children
      .map(Number)
      .find((child) => readFileSync(`/proc/${child}/cmdline`, 'latin1').includes('rrep.js'))
  } catch {
    return undefined
  }
}
