/** An archive in a bucket, brought here as far as a moment needs it: what reads archives reads files. */
import { mkdirSync } from 'node:fs'
import { momentOf, type Until } from '../archive/moment.js'
import { fileError } from '../disk/file-error.js'
import { fetchArchive } from '../repository/archives.js'
import { isBucketPlace, openStore, splitPlace } from '../storage/open-store.js'
import type { Source } from './classify.js'

/** True of a directory that is not on this machine. */
export function isFarArchive(source: Source): source is Source & { kind: 'directory' } {
  return source.kind === 'directory' && isBucketPlace(source.path)
}

/** Into a directory that is made. Rejects as the store does, or with FileError. */
export async function fetchSource(
  path: string,
  until: Until,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    throw fileError(directory, 'create', error)
  }
  const { outer, name } = splitPlace(path)
  const store = await openStore(outer, { signal })
  await fetchArchive(store, [name], momentOf(until), directory, signal)
}
