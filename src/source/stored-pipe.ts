/** What can be read once only (a fifo, `<(…)` of a shell, a device, standard input), kept in a file
 * for those who read it twice. */
import { closeSync, createReadStream, createWriteStream, openSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileError } from '../disk/file-error.js'
import { AbortedError, FileError } from '../errors.js'
import { statOf } from '../disk/stat.js'
import { writeAll } from '../disk/write-all.js'
import { isBucketPlace } from '../storage/open-store.js'
import type { ByteInput } from './byte-input.js'
import { openInput } from './source.js'

/** It costs to read it again, or cannot be done. */
export function isPipe(path: string): boolean {
  if (isBucketPlace(path)) return true
  const stat = statOf(path)
  return stat !== undefined && !stat.isFile() && !stat.isDirectory()
}

/** What `isPipe`, for its owner only. `name` stands in errors. Rejects with FileError, AbortedError, and
 * what the reading of an object may reject with. */
export async function storeSource(
  path: string,
  to: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (isBucketPlace(path)) await storeInput(await openInput(path, { signal }), to, signal)
  else await storePipe(createReadStream(path), to, name, signal)
}

/** Unpacked, and closed then. Rejects with FileError, or as the input does. */
export async function storeInput(
  input: ByteInput,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const fd = openSync(path, 'wx', 0o600)
  try {
    await input.pump(
      (chunk) => {
        try {
          writeAll(fd, chunk)
        } catch (error) {
          throw fileError(path, 'write', error)
        }
        return true
      },
      { signal },
    )
  } finally {
    input.close()
    closeSync(fd)
  }
}

/** Copies all of it to `path`, for its owner only. `name` stands in errors. Rejects with FileError
 * or AbortedError. */
export async function storePipe(
  input: Readable,
  path: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await pipeline(input, createWriteStream(path, { mode: 0o600 }), { signal })
  } catch (error) {
    if (signal?.aborted === true) throw new AbortedError()
    if (input.errored !== error) throw fileError(path, 'write', error)
    throw new FileError('ERR_CANNOT_READ', `cannot read ${name}: ${String(error)}`, {
      cause: error,
    })
  }
}
