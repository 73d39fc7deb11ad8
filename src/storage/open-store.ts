/** What a place of backups is by its name: the one door to all stores. */
import { basename, dirname } from 'node:path'
import { ProtocolError } from '../errors.js'
import { DirectoryStore } from './directory.js'
import type { Store } from './store.js'

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i

/** Throws ProtocolError for a scheme that is not known. */
export async function openStore(place: string): Promise<Store> {
  const scheme = SCHEME.exec(place)?.[0]
  if (scheme === undefined) return await Promise.resolve(new DirectoryStore(place))
  throw new ProtocolError('ERR_NOT_SUPPORTED', `a repository at ${scheme} is not supported`, {
    hint: 'name a directory; what it holds are plain files, which any tool copies elsewhere',
  })
}

/** `REPO/NAME` taken apart. */
export function splitPlace(place: string): { outer: string; name: string } {
  return { outer: dirname(place), name: basename(place) }
}
