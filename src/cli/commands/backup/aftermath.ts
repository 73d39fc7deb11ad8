/**
 * What a backup sets off beside itself: a ping, metrics, a command. All of it comes after the fact, within
 * a time limit, and changes nothing of the backup: where it fails the status is 8.
 */
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { openOutput } from '../../../disk/output/open-output.js'
import { RrepError, UsageError } from '../../../errors.js'
import { readCatalogue, type Backup } from '../../../repository/catalogue.js'
import type { BackupResult } from '../../../verbs/backup/run.js'
import { EXIT, exitCodeOf } from '../../exit-codes.js'
import type { Talk } from '../../talk.js'
import { metricsOf, mergeMetrics } from './metrics.js'

export interface AftermathOptions {
  to?: string
  name?: string
  ping?: string
  textfile?: string
  onSuccess?: string
  onFailure?: string
  dryRun?: boolean
}

export interface Outcome {
  exitCode: number
  result: BackupResult
}

const PING_MS = 10_000
const PING_TRIES = 3
/** Who was interrupted ends at once. */
const INTERRUPTED_MS = 500
const HOOK_MS = 60_000

export class Aftermath {
  /** Of the backups, once it is known. */
  name: string
  readonly #options: AftermathOptions
  readonly #talk: Talk
  readonly #signal: AbortSignal
  readonly #startedMs = Date.now()
  #failed = false

  constructor(options: AftermathOptions, talk: Talk, signal: AbortSignal) {
    this.#options = options
    this.name = options.name ?? ''
    this.#talk = talk
    this.#signal = signal
    const { ping } = options
    if (ping !== undefined && !/^https?:\/\/[^/]/.test(ping)) {
      throw new UsageError('--ping wants an address that begins with https:// or http://')
    }
  }

  /** Runs it, tells the others, and resolves with the status; rejects as it does. */
  async around(run: () => Promise<Outcome>): Promise<number> {
    await this.#ping('/start', '')
    try {
      const { exitCode, result } = await run()
      const { proofError, pruneError, guarded } = result
      const problem =
        proofError?.message ??
        pruneError?.message ??
        (guarded === undefined ? '' : `${guarded.now} keys, ${guarded.before} before`)
      await this.#tell(exitCode, problem, result)
      if (exitCode !== EXIT.OK) return exitCode
      return this.#failed ? EXIT.WARNING : EXIT.OK
    } catch (error) {
      const text = error instanceof RrepError ? error.message : 'it failed'
      await this.#tell(exitCodeOf(error, this.#signal.reason), text, undefined)
      throw error
    }
  }

  async #tell(exitCode: number, problem: string, result: BackupResult | undefined): Promise<void> {
    if (this.#options.dryRun === true) return
    await this.#writeMetrics(exitCode, result)
    const isWell = exitCode === EXIT.OK
    const hook = isWell ? this.#options.onSuccess : this.#options.onFailure
    if (hook !== undefined && !this.#signal.aborted)
      await this.#run(hook, exitCode, problem, result)
    const record = result?.record
    const summary = record === undefined ? '' : `${record.name}/${record.id}: ${record.keys} keys\n`
    await this.#ping(isWell ? '' : `/${exitCode}`, `${summary}${problem}`)
  }

  /** The address is a secret: whoever has it can say that all is well. */
  async #ping(path: string, body: string): Promise<void> {
    const { ping, dryRun } = this.#options
    if (ping === undefined || dryRun === true) return
    let fault = ''
    for (let attempt = 0; attempt < PING_TRIES; attempt += 1) {
      const isLast = this.#signal.aborted
      try {
        const url = new URL(ping)
        url.pathname = `${url.pathname.replace(/\/$/, '')}${path}`
        const reply = await fetch(url, {
          method: 'POST',
          body,
          signal: AbortSignal.timeout(isLast ? INTERRUPTED_MS : PING_MS),
        })
        await reply.body?.cancel()
        if (reply.ok) return
        fault = `status ${reply.status}`
      } catch (error) {
        fault = faultOf(error)
      }
      if (isLast) break
    }
    this.#problem(`the ping failed: ${fault}`)
  }

  async #writeMetrics(exitCode: number, result: BackupResult | undefined): Promise<void> {
    const { textfile, to } = this.#options
    if (textfile === undefined || to === undefined) return
    try {
      const now = { exitCode, startedMs: this.#startedMs, result }
      const text = mergeMetrics(
        readIfThere(textfile),
        metricsOf(this.name, now, await this.#backups(to)),
      )
      const output = await openOutput(textfile, {})
      try {
        output.write(Buffer.from(text))
        await output.finish()
      } catch (error) {
        output.discard()
        throw error
      }
      // Who collects it is another user.
      chmodSync(textfile, 0o644)
    } catch (error) {
      this.#problem(`the metrics could not be written: ${(error as Error).message}`)
    }
  }

  /** None where they cannot be read: what the last run told of them stays. */
  async #backups(repository: string): Promise<readonly Backup[] | undefined> {
    if (this.name === '') return undefined
    try {
      return (await readCatalogue(repository, this.name, { signal: this.#signal })).backups
    } catch {
      return undefined
    }
  }

  async #run(
    command: string,
    exitCode: number,
    problem: string,
    result: BackupResult | undefined,
  ): Promise<void> {
    const record = result?.record
    const bytes = record?.files.reduce((sum, each) => sum + each.bytes, 0)
    const child = spawn('/bin/sh', ['-c', command], {
      // A group of its own, so that all of it can be ended.
      detached: true,
      stdio: ['ignore', process.stderr.fd, process.stderr.fd],
      env: {
        ...process.env,
        RREP_BACKUP_STATUS: String(exitCode),
        RREP_BACKUP_NAME: this.name,
        RREP_BACKUP_ID: record?.id ?? '',
        RREP_BACKUP_DIRECTORY: result?.directory ?? '',
        RREP_BACKUP_KEYS: record === undefined ? '' : String(record.keys),
        RREP_BACKUP_BYTES: bytes === undefined ? '' : String(bytes),
        RREP_BACKUP_ERROR: problem.replaceAll('\0', ''),
      },
    })
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It has ended by itself.
      }
    }
    const timer = setTimeout(kill, HOOK_MS)
    this.#signal.addEventListener('abort', kill, { once: true })
    const fault = await new Promise<string | undefined>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, signal) =>
        resolve(code === 0 ? undefined : signal === null ? `status ${code}` : `ended by ${signal}`),
      )
    })
    clearTimeout(timer)
    this.#signal.removeEventListener('abort', kill)
    if (fault !== undefined) this.#problem(`the hook failed: ${fault}`)
  }

  #problem(text: string): void {
    this.#failed = true
    this.#talk.problem(text)
  }
}

function faultOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string } }
  if (name === 'TimeoutError') return 'no answer in time'
  return cause?.code ?? 'it could not be sent'
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
