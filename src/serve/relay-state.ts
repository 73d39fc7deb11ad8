/**
 * What a relay with a directory remembers from one process to the next: which history, from where
 * to where, and its last snapshot. One small file, replaced atomically; and a lock, since two
 * relays on one directory would ruin it for both.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { FileError } from '../errors.js'
import type { HistoryState } from './history.js'
import type { StreamPosition } from './stream-tracker.js'

const STATE_FILE = 'relay.json'
const LOCK_FILE = 'relay.lock'
const FORMAT = 1

export interface KeptSnapshot {
  /** Name in the directory. */
  file: string
  replOffset: number
  lengthBytes: number
  createdAtMs: number
}

export interface RelayState {
  history: HistoryState
  /** Part of the names of this history's segments. */
  epoch: string
  /** Where the stream begins if there is no segment. */
  nextReplOffset: number
  /** Synced up to here; `bootId` tells whether more can be trusted. */
  syncedReplOffset: number
  bootId: string
  position: StreamPosition
  snapshot: KeptSnapshot | undefined
}

export class RelayDir {
  readonly dir: string

  /** Creates the directory (0700) and locks it. Throws FileError. */
  constructor(dir: string) {
    this.dir = dir
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      this.#lock()
    } catch (error) {
      if (error instanceof FileError) throw error
      throw new FileError('ERR_CANNOT_WRITE', `cannot use ${dir}: ${codeOf(error)}`, {
        cause: error,
      })
    }
  }

  /** Undefined where there is none, or none that can be read. */
  load(): RelayState | undefined {
    const path = join(this.dir, STATE_FILE)
    if (!existsSync(path)) return undefined
    try {
      const parsed = JSON.parse(readFileSync(path, 'utf8')) as { format?: number } & RelayState
      return parsed.format === FORMAT ? parsed : undefined
    } catch {
      // A state that cannot be read is no state: upstream gives a new one.
      return undefined
    }
  }

  save(state: RelayState): void {
    const path = join(this.dir, STATE_FILE)
    try {
      const fd = openSync(`${path}.part`, 'w', 0o600)
      try {
        writeSync(fd, `${JSON.stringify({ format: FORMAT, ...state })}\n`)
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(`${path}.part`, path)
    } catch (error) {
      throw new FileError('ERR_CANNOT_WRITE', `cannot write ${path}: ${codeOf(error)}`, {
        cause: error,
      })
    }
  }

  unlock(): void {
    rmSync(join(this.dir, LOCK_FILE), { force: true })
  }

  #lock(): void {
    const path = join(this.dir, LOCK_FILE)
    for (let attempt = 0; ; attempt += 1) {
      try {
        const fd = openSync(path, 'wx', 0o600)
        writeSync(fd, String(process.pid))
        closeSync(fd)
        return
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
      }
      const pid = Number(readFileSync(path, 'utf8'))
      if (attempt > 0 || (pid !== process.pid && isAlive(pid))) {
        throw new FileError('ERR_IN_USE', `${this.dir} is used by process ${pid}`, {
          hint: 'one relay per --backlog-dir',
        })
      }
      rmSync(path, { force: true })
    }
  }
}

/** Another after each start of the machine: what was written but not synced may then be missing.
 * Empty where the system does not tell: nothing but synced bytes is trusted. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'failed'
}
