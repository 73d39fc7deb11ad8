/** Runs the command line as a real process, for signals, limits and pipes. */
import { spawn, type ChildProcess } from 'node:child_process'
import { owned } from './children.js'
import { rrepCommand } from './rrep-command.js'

export interface RrepProcess {
  readonly child: ChildProcess
  /** Resolves when the process has ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; err: string }>
  /** stderr so far. */
  err(): string
  /** stdout so far, with `stdout: 'keep'`. */
  out(): string
}

export interface RrepProcessOptions {
  env?: Record<string, string>
  /** Shell text in front, such as `ulimit -f 64;`. */
  prelude?: string
  /** `pipe`: read `child.stdout` yourself. */
  stdout?: 'ignore' | 'pipe' | 'keep'
}

export function spawnRrep(args: readonly string[], options: RrepProcessOptions = {}): RrepProcess {
  const command = rrepCommand
  const keeps = options.stdout === 'keep'
  const stdout = options.stdout === 'keep' ? 'pipe' : (options.stdout ?? 'ignore')
  const stdio = ['ignore', stdout, 'pipe'] as const
  const env = { ...process.env, ...options.env }
  const child = owned(
    options.prelude === undefined
      ? spawn(command[0]!, [...command.slice(1), ...args], { stdio: [...stdio], env })
      : spawn('bash', ['-c', `${options.prelude} exec "$@"`, 'bash', ...command, ...args], {
          stdio: [...stdio],
          env,
        }),
  )
  let err = ''
  let out = ''
  if (keeps) child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null; err: string }>(
    (resolve) => child.once('close', (code, signal) => resolve({ code, signal, err })),
  )
  return { child, ended, err: () => err, out: () => out }
}
