/** What can be read once only (a fifo, `<(…)` of a shell, a device, standard input), kept in a file
 * for those who read it twice. */
import { createWriteStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileError } from '../disk/file-error.js'
import { AbortedError, FileError } from '../errors.js'
import { statOf } from '../disk/stat.js'

export function isPipe(path: string): boolean {
  const stat = statOf(path)
  return stat !== undefined && !stat.isFile() && !stat.isDirectory()
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
