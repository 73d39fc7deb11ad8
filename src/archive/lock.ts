/**
 * One writer for a capture directory.
 *
 * The lock is a file that names its holder: host, process, and when that process began. A lock
 * whose process is gone is taken over. One of another host (a shared volume, a container) counts
 * as live as long as its holder touches it.
 */
import { Buffer } from 'node:buffer'
import { linkSync, readFileSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { FileError } from '../errors.js'
import { errnoOf, fileError } from '../disk/fs-util.js'

const LOCK_NAME = 'rrep.lock'
/** A lock of another host that was not touched for so long is dead. */
const FOREIGN_TIMEOUT_MS = 60_000

interface Holder {
  host: string
  pid: number
  /** From the kernel where it tells: numbers of processes are used again. */
  startedAt: string
}

export class CaptureLock {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** Takes the lock or throws FileError ERR_CAPTURE_LOCKED. */
  static acquire(dir: string): CaptureLock {
    const path = `${dir}/${LOCK_NAME}`
    const own: Holder = {
      host: hostname(),
      pid: process.pid,
      startedAt: processStart(process.pid) ?? '',
    }
    const temporary = `${path}.${own.pid}.${Buffer.from(own.host).toString('hex').slice(0, 16)}`
    try {
      writeFileSync(temporary, JSON.stringify(own), { mode: 0o600 })
      for (let attempt = 0; attempt < 3; attempt++) {
        try {
          linkSync(temporary, path)
          return new CaptureLock(path)
        } catch (error) {
          if (errnoOf(error) !== 'EEXIST') throw fileError(path, 'create', error)
        }
        const holder = readHolder(path)
        if (holder !== undefined && isAlive(holder, path, own.host)) {
          throw new FileError(
            'ERR_CAPTURE_LOCKED',
            `${dir} is in use by process ${holder.pid} on ${holder.host}`,
            {
              hint: `stop that rrep, or remove ${path} if it surely does not run`,
              details: { path, pid: holder.pid, host: holder.host },
            },
          )
        }
        try {
          unlinkSync(path)
        } catch (error) {
          if (errnoOf(error) !== 'ENOENT') throw fileError(path, 'remove', error)
        }
      }
      throw new FileError('ERR_CAPTURE_LOCKED', `cannot take ${path}: others take it too`)
    } catch (error) {
      throw error instanceof FileError ? error : fileError(path, 'create', error)
    } finally {
      try {
        unlinkSync(temporary)
      } catch {
        // It was never made.
      }
    }
  }

  /** Shows holders on other hosts that this one lives; every few seconds. */
  touch(): void {
    const now = new Date()
    try {
      utimesSync(this.path, now, now)
    } catch {
      // Removed by hand: the lock is advice, and the capture goes on.
    }
  }

  release(): void {
    try {
      unlinkSync(this.path)
    } catch {
      // Gone already.
    }
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<Holder>
    return { host: value.host ?? '', pid: value.pid ?? 0, startedAt: value.startedAt ?? '' }
  } catch {
    return undefined
  }
}

function isAlive(holder: Holder, path: string, ownHost: string): boolean {
  if (holder.host !== ownHost) {
    try {
      return Date.now() - statSync(path).mtimeMs < FOREIGN_TIMEOUT_MS
    } catch {
      return false
    }
  }
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return false
  }
  const startedAt = processStart(holder.pid)
  return startedAt === undefined || holder.startedAt === '' || startedAt === holder.startedAt
}

/** Field 22 of /proc/<pid>/stat; undefined where there is no such file. */
function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
