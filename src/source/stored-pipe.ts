/** What can be read once only (a fifo, `<(…)` of a shell, a device, standard input), kept in a file
 * for those who read it twice. */
import { closeSync, createReadStream, createWriteStream, openSync, readSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileError } from '../disk/file-error.js'
import { AbortedError, FileError } from '../errors.js'
import { statOf } from '../disk/stat.js'
import { writeAll } from '../disk/write-all.js'
import { isSealed } from '../storage/age/streams.js'
import { isBucketPlace } from '../storage/open-store.js'
import type { ByteInput } from './byte-input.js'
import { openInput, type OpenInputOptions } from './source.js'

const HEAD_BYTES = 64

/** It costs to read it again, or cannot be done. */
export function isPipe(path: string): boolean {
  if (isBucketPlace(path)) return true
  const stat = statOf(path)
  if (stat === undefined || stat.isDirectory()) return false
  return !stat.isFile() || isSealedFile(path)
}

/** It can be read again, though at a cost. */
export function isRereadable(path: string): boolean {
  return isBucketPlace(path) || statOf(path)?.isFile() === true
}

function isSealedFile(path: string): boolean {
  const head = Buffer.alloc(HEAD_BYTES)
  try {
    const fd = openSync(path, 'r')
    try {
      return isSealed(head.subarray(0, readSync(fd, head)))
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw fileError(path, 'open', error)
  }
}

/** What `isPipe`, for its owner only. `name` stands in errors. Rejects with FileError, AbortedError, and
 * what the reading of an object may reject with. */
export async function storeSource(
  path: string,
  to: string,
  name: string,
  options: OpenInputOptions,
): Promise<void> {
  const { signal } = options
  if (isRereadable(path)) await storeInput(await openInput(path, options), to, signal)
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
