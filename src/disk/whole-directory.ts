/**
 * A directory that appears under its name whole or not at all: it is filled as a hidden temporary
 * beside its place, and takes the name when all that is in it is on disk. What stands there already is
 * never replaced, unless it is an empty directory.
 */
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { FileError } from '../errors.js'
import { fileError } from './file-error.js'
import { removeLeftovers } from './leftovers.js'
import { temporaryName, temporaryState } from './owner.js'
import { statOf } from './stat.js'
import { syncDirectory } from './write-all.js'

export class WholeDirectory {
  readonly targetPath: string
  /** Where to write until `commit`. */
  readonly temporaryPath: string
  #isOpen = true

  /** Throws FileError. */
  constructor(targetPath: string) {
    this.targetPath = resolve(targetPath)
    const parent = dirname(this.targetPath)
    const name = basename(this.targetPath)
    const stat = statOf(this.targetPath)
    if (stat !== undefined && (!stat.isDirectory() || readdirSync(this.targetPath).length > 0)) {
      throw new FileError(
        'ERR_CANNOT_WRITE',
        `${targetPath} exists, and is not an empty directory`,
        {
          hint: 'name a directory that does not exist: what stands there is never replaced',
        },
      )
    }
    removeLeftovers(parent, (each) => temporaryState(each, name))
    this.temporaryPath = join(parent, temporaryName(name))
    try {
      mkdirSync(this.temporaryPath, { mode: 0o700 })
    } catch (error) {
      throw fileError(this.temporaryPath, 'write', error)
    }
  }

  /** All files in it are on disk already. */
  commit(): void {
    try {
      syncDirectory(this.temporaryPath)
      renameSync(this.temporaryPath, this.targetPath)
      this.#isOpen = false
      syncDirectory(dirname(this.targetPath))
    } catch (error) {
      this.discard()
      throw fileError(this.targetPath, 'write', error)
    }
  }

  /** Leaves no trace. Nothing happens behind `commit`. */
  discard(): void {
    if (this.#isOpen) rmSync(this.temporaryPath, { recursive: true, force: true })
    this.#isOpen = false
  }
}
