/** What is at a path, links followed. */
import { statSync, type Stats } from 'node:fs'
import { errnoOf, fileError } from './file-error.js'

/** Undefined: nothing. Throws FileError where that cannot be said. */
export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    // Below what is no directory there is nothing either.
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined
    throw fileError(path, 'open', error)
  }
}
