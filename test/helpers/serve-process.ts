/** `rrep serve` as a process of its own, to be killed, stopped and measured. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { owned } from './children.js'
import { rrepCommand } from './rrep-command.js'
import { waitFor } from './servers.js'

export interface ServeProcess {
  pid: number
  port: number
  metricsPort: number | undefined
  replid: string
  /** The events of --json so far. */
  events: { event: string; [name: string]: unknown }[]
  count(event: string): number
  stderr(): string
  signal(signal: NodeJS.Signals): void
  /** Ends it and resolves with its exit code (null: by the signal). */
  kill(signal?: NodeJS.Signals): Promise<number | null>
  rssBytes(): number
  peakRssBytes(): number
  cpuMs(): number
}

export async function startServeProcess(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<ServeProcess> {
  const [program, ...before] = rrepCommand
  const argv = [...before, 'serve', ...args, '--json', '--connection-rate', '10000']
  const child = owned(
    spawn(program!, argv, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: join(import.meta.dirname, '../..'),
      env: { ...process.env, ...env },
    }),
  )
  const events: ServeProcess['events'] = []
  let rest = ''
  let talk = ''
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop()!
    for (const line of lines) events.push(JSON.parse(line) as ServeProcess['events'][number])
  })
  child.stderr.on('data', (chunk: Buffer) => (talk = (talk + chunk.toString()).slice(-16_384)))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  await waitFor(
    () => {
      if (child.exitCode !== null) throw new Error(`rrep serve ended: ${talk}`)
      return events.some(({ event }) => event === 'listening')
    },
    { what: 'rrep serve to listen', timeoutMs: 60_000 },
  )
  const listening = events.find(({ event }) => event === 'listening')!
  const pid = child.pid!
  const status = (name: string): number =>
    Number(
      new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1],
    ) * 1024
  return {
    pid,
    port: Number(listening['port']),
    metricsPort: listening['metricsPort'] as number | undefined,
    replid: String(listening['replid']),
    events,
    count: (name) => events.filter(({ event }) => event === name).length,
    stderr: () => talk,
    signal: (signal) => child.kill(signal),
    kill: async (signal = 'SIGTERM') => {
      child.kill(signal)
      return await ended
    },
    rssBytes: () => status('VmRSS'),
    peakRssBytes: () => status('VmHWM'),
    cpuMs: () => {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return (Number(fields[11]) + Number(fields[12])) * 10
    },
  }
}
