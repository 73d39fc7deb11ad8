/** What a place of backups is by its name: the one door to all stores. */
import { basename, dirname } from 'node:path'
import { ProtocolError } from '../errors.js'
import { DirectoryStore } from './directory.js'
import { BucketStore } from './s3/bucket-store.js'
import type { Store } from './store.js'

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i

export interface OpenStoreOptions {
  /** Ends what is asked of a store over the network. */
  signal?: AbortSignal | undefined
}

/** Rejects with ProtocolError for a scheme that is not known, UsageError for a place that is none. */
export async function openStore(place: string, options: OpenStoreOptions = {}): Promise<Store> {
  const scheme = SCHEME.exec(place)?.[0]
  if (scheme === undefined) return new DirectoryStore(place)
  if (isBucketPlace(place)) return await BucketStore.connect(place, options.signal)
  throw new ProtocolError('ERR_NOT_SUPPORTED', `a repository at ${scheme} is not supported`, {
    hint: 'name a directory, or s3://bucket/prefix',
  })
}

export function isBucketPlace(place: string): boolean {
  return place.startsWith('s3://')
}

/** `REPO/NAME` taken apart. The name is empty where there is but a bucket. */
export function splitPlace(place: string): { outer: string; name: string } {
  const bare = place.replace(/(?<=[^/])\/+$/, '')
  if (!isBucketPlace(bare)) return { outer: dirname(bare), name: basename(bare) }
  const at = bare.lastIndexOf('/')
  const isBucket = at < 's3://'.length
  return isBucket
    ? { outer: bare, name: '' }
    : { outer: bare.slice(0, at), name: bare.slice(at + 1) }
}
