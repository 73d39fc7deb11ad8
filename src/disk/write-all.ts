/** The system may write less than it was given, also without an error: on a disk that is nearly
 * full, to a pipe. Whoever writes, writes all of it or hears why not. */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { errnoOf, fileError } from './file-error.js'

/** Writes bytes[start, end), at `filePosition` or where the file stands. Throws what the system
 * says, for the caller to name the file. */
export function writeAll(
  fd: number,
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
  filePosition: number | null = null,
): void {
  for (let at = start; at < end;) {
    const position = filePosition === null ? null : filePosition + at - start
    const count = writeSync(fd, bytes, at, end - at, position)
    if (count === 0) throw Object.assign(new Error('nothing was written'), { code: 'ENOSPC' })
    at += count
  }
}

/** Makes what was created, renamed or removed in the directory durable. Throws FileError. */
export function syncDirectory(directory: string): void {
  let fd: number
  try {
    fd = openSync(directory, 'r')
  } catch (error) {
    // One that may be written to but not listed; or no such thing on this system.
    if (['EACCES', 'EPERM', 'EISDIR'].includes(errnoOf(error) ?? '')) return
    throw fileError(directory, 'open', error)
  }
  try {
    fsyncSync(fd)
  } catch (error) {
    // Some file systems refuse to fsync directories; they order renames themselves.
    if (!['EINVAL', 'EBADF', 'EPERM', 'ENOTSUP', 'ENOSYS'].includes(errnoOf(error) ?? '')) {
      throw fileError(directory, 'store', error)
    }
  } finally {
    closeSync(fd)
  }
}
