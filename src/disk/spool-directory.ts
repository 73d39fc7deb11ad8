/**
 * The directory of a spool: ours alone, and of one process at a time. Its lock is a file with the
 * pid of who is at work; one left by a process that has ended is taken over.
 */
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { FileError } from '../errors.js'

/** The same for every run of the same replay: what a run leaves, the next one finds. Always a
 * directory of its own, also in a `parent` that the user named: that one may hold anything. */
export function spoolDirectory(
  parent: string | undefined,
  what: string,
  checkpointKey: Uint8Array,
): string {
  const hash = createHash('sha1').update(what).update(checkpointKey).digest('hex').slice(0, 16)
  if (parent !== undefined) return join(parent, `rrep-spool-${hash}`)
  // A disk, where there is one: /tmp is memory on many systems.
  const common = existsSync('/var/tmp') ? '/var/tmp' : tmpdir()
  return join(common, `rrep-spool-${userInfo().uid}-${hash}`)
}

/** In a directory that all may write to, somebody else may have made it first. */
export function makeSpoolDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const stat = lstatSync(directory)
    const uid = process.getuid?.()
    if (!stat.isDirectory() || (uid !== undefined && stat.uid !== uid)) {
      throw new FileError('ERR_SPOOL', `${directory} is not a directory of ours`, {
        hint: 'name another one with --spool-dir',
      })
    }
  } catch (error) {
    if (error instanceof FileError) throw error
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new FileError('ERR_SPOOL', `cannot make the directory ${directory}: ${code}`, {
      cause: error,
      hint: 'name another one with --spool-dir',
    })
  }
}

export function takeLock(path: string): void {
  for (let attempt = 0; ; attempt += 1) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx', mode: 0o600 })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new FileError('ERR_SPOOL', `cannot lock the spool: ${String(error)}`, {
          cause: error,
        })
      }
      const pid = Number(readText(path))
      if ((attempt > 0 || isAlive(pid)) && pid !== process.pid) {
        throw new FileError('ERR_SPOOL_IN_USE', `the spool is used by the process ${pid}`, {
          hint: `end that process first; if it is no rrep, remove ${path}`,
        })
      }
      try {
        unlinkSync(path)
      } catch {
        // Somebody was faster: the next attempt tells.
      }
    }
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
