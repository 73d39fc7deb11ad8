/** The directory of a spool: ours alone, and found again by the next run. */
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { FileError } from '../errors.js'
import { fileError } from './file-error.js'

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
      throw new FileError('ERR_CANNOT_WRITE', `${directory} is not a directory of ours`, {
        hint: 'name another one with `spoolDir`',
      })
    }
  } catch (error) {
    throw fileError(directory, 'create', error)
  }
}
