/** The same bytes under a second name, at no cost where the file system can do that. */
import { constants, copyFileSync, linkSync } from 'node:fs'
import { fileError } from './file-error.js'

/** For files that nobody writes into: both names may stand for one file. Throws FileError. */
export function shareFile(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    try {
      copyFileSync(from, to, constants.COPYFILE_FICLONE)
    } catch (error) {
      throw fileError(to, 'write', error)
    }
  }
}
