/**
 * Files that survive a crash: small files replaced atomically, directories fsynced, errors of
 * the file system as FileErrors that say what to do.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { FileError } from '../errors.js'

/** Writes a small file so that after a crash it is the old or the new one, whole. */
export function writeFileAtomic(dir: string, name: string, text: string): void {
  const path = `${dir}/${name}`
  const temporary = `${dir}/temp-${name}`
  try {
    const fd = openSync(temporary, 'w', 0o600)
    try {
      writeSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (error) {
    throw fileError(path, 'write', error)
  }
  syncDirectory(dir)
}

/** Makes creations and renames in the directory durable. */
export function syncDirectory(dir: string): void {
  let fd: number
  try {
    fd = openSync(dir, 'r')
  } catch (error) {
    throw fileError(dir, 'open', error)
  }
  try {
    fsyncSync(fd)
  } catch (error) {
    // Some file systems refuse to fsync directories; they order renames themselves.
    if (errnoOf(error) !== 'EINVAL') throw fileError(dir, 'fsync', error)
  } finally {
    closeSync(fd)
  }
}

/** The error of a failed operation on a path. */
export function fileError(path: string, doing: string, cause: unknown): FileError {
  const errno = errnoOf(cause)
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new FileError(`ERR_FILE_${doing.toUpperCase()}`, `cannot ${doing} ${path}: ${reason}`, {
    cause,
    details: { path, errno },
    hint:
      errno === 'ENOSPC' || errno === 'EDQUOT'
        ? 'the disk is full: make room and start again, it goes on where it stopped'
        : undefined,
  })
}

export function errnoOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : undefined
}
