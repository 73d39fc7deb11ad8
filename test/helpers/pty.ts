/**
 * Runs the command line in a real terminal, for what only a terminal shows: spinners, Ctrl-C as a
 * key, a line that is hung up. The terminal is that of `script` (util-linux).
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { owned } from './children.js'
import { rrepCommand } from './rrep-command.js'
import { waitFor } from './servers.js'

export interface PtyProcess {
  /** What the terminal has been sent so far, escape sequences included. */
  screen(): string
  /** Resolves when the screen holds this. */
  sees(text: string | RegExp): Promise<void>
  /** Keys, e.g. `\x03` for Ctrl-C. */
  type(keys: string): void
  /** A signal to rrep itself, from elsewhere. */
  kill(signal: NodeJS.Signals): void
  /** The terminal goes away, as with a dropped ssh. Its exit code is nobody's then. */
  hangUp(): void
  /** True while rrep runs. */
  isAlive(): boolean
  /** Resolves when rrep has ended, or when the terminal has. */
  readonly ended: Promise<{ code: number | null; screen: string; endedMs: number }>
}

export interface PtyOptions {
  columns?: number
  env?: Record<string, string>
  /** What to run, before the arguments. Default: as rrep-command.ts has it. */
  command?: readonly string[]
  /** Shell text behind the arguments, such as `> file`. */
  redirect?: string
}

export const CTRL_C = '\x03'

/** False where there is no `script` with what is needed: tests say that they are skipped. */
export const hasPty =
  spawnSync('script', ['-qec', 'true', '/dev/null'], { input: '', timeout: 5000 }).status === 0

export async function spawnInPty(
  args: readonly string[],
  options: PtyOptions = {},
): Promise<PtyProcess> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-pty-'))
  const pidFile = join(dir, 'pid')
  const rrep = options.command ?? rrepCommand
  const line =
    `stty cols ${options.columns ?? 100} rows 40; echo $$ > ${quote(pidFile)}; ` +
    `exec ${[...rrep, ...args].map(quote).join(' ')} ${options.redirect ?? ''}`
  const child = owned(
    spawn('script', ['-qefc', line, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, SHELL: '/bin/sh', TERM: 'xterm', ...options.env },
    }),
  )
  child.stdin.on('error', () => undefined)
  let screen = ''
  child.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString('latin1')))
  const ended = new Promise<{ code: number | null; screen: string; endedMs: number }>((resolve) =>
    child.once('close', (code) => {
      rmSync(dir, { recursive: true, force: true })
      resolve({ code, screen, endedMs: performance.now() })
    }),
  )
  let pid = Number.NaN
  await waitFor(
    () => {
      try {
        pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10)
      } catch {
        // Not yet.
      }
      return pid > 0
    },
    { what: 'the terminal' },
  )
  const signal = (name: NodeJS.Signals | 0): boolean => {
    try {
      return process.kill(pid, name)
    } catch {
      return false
    }
  }
  return {
    screen: () => screen,
    sees: async (text) =>
      await waitFor(() => (typeof text === 'string' ? screen.includes(text) : text.test(screen)), {
        what: `${String(text)} on the screen`,
      }),
    type: (keys) => child.stdin.write(keys),
    kill: (name) => void signal(name),
    hangUp: () => child.kill('SIGKILL'),
    isAlive: () => signal(0),
    ended,
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
