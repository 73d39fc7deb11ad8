/**
 * Directories of our own for a while, which nobody else may enter: in TMPDIR, as tools have it.
 * Each names its process, so that the next run removes what a killed one has left.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileError } from '../errors.js'
import { errnoOf, fileError } from './file-error.js'
import { removeLeftovers } from './leftovers.js'
import { newOwnerToken, ownerStateOf } from './owner.js'

/** `prefix` such as `rrep-diff-`. The caller removes it. Throws FileError. */
export function makeTemporaryDir(prefix: string, parent: string = tmpdir()): string {
  removeLeftovers(parent, (name) =>
    name.startsWith(prefix) ? ownerStateOf(name.slice(prefix.length)) : undefined,
  )
  const path = join(parent, `${prefix}${newOwnerToken()}`)
  try {
    mkdirSync(path, { mode: 0o700 })
    return path
  } catch (error) {
    const { code, message } = fileError(`a temporary directory in ${parent}`, 'make', error)
    const isFull = code === 'ERR_DISK_FULL'
    throw new FileError(isFull ? code : 'ERR_NO_TEMPORARY_DIR', message, {
      cause: error,
      hint: 'name a directory with room, that you may write to, in TMPDIR',
      details: { file: parent, systemCode: errnoOf(error) },
    })
  }
}

/** With all that is in it. Never throws: the next run removes what is left. */
export function removeTemporaryDir(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch {
    // See above.
  }
}
