/** `rrep tail -o` as a process of its own, to be killed at any moment. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { owned } from './children.js'
import { rrepCommand } from './rrep-command.js'

export interface ArchiveProcess {
  readonly child: ChildProcess
  /** Events so far, as `--json` prints them. */
  readonly events: Record<string, unknown>[]
  readonly stderr: string
  /** Resolves with code or signal. */
  readonly ended: Promise<number | string>
}

export function startArchiveProcess(
  port: number,
  dir: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): ArchiveProcess {
  const [program, ...before] = rrepCommand
  const child = owned(
    spawn(program!, [...before, 'tail', `127.0.0.1:${port}`, '-o', dir, '--json', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: join(import.meta.dirname, '../..'),
      env: { ...process.env, ...env },
    }),
  )
  const events: Record<string, unknown>[] = []
  let rest = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) events.push(JSON.parse(line) as Record<string, unknown>)
  })
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = new Promise<number | string>((resolve) => {
    // Not `exit`: its last lines may still be on their way.
    child.once('close', (code, signal) => resolve(code ?? signal ?? -1))
  })
  return {
    child,
    events,
    get stderr() {
      return stderr
    },
    ended,
  }
}
