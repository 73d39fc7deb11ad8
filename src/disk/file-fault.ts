/** What the system says about a local file, as errors that say what to do. */
import { FileError } from '../errors.js'

const FAULTS: Readonly<Record<string, readonly [code: string, what: string, hint?: string]>> = {
  ENOSPC: ['ERR_DISK_FULL', 'no space left on the disk', 'make room, or write to another disk'],
  EDQUOT: ['ERR_DISK_FULL', 'the disk quota is used up', 'make room, or write to another disk'],
  EFBIG: ['ERR_FILE_TOO_LARGE', 'the file would become larger than allowed', 'see ulimit -f'],
  ENOENT: ['ERR_NO_SUCH_DIRECTORY', 'no such directory', 'the directory must exist'],
  ENOTDIR: ['ERR_NO_SUCH_DIRECTORY', 'a part of the path is no directory'],
  EACCES: ['ERR_CANNOT_WRITE', 'not allowed'],
  EPERM: ['ERR_CANNOT_WRITE', 'not allowed'],
  EROFS: ['ERR_CANNOT_WRITE', 'the file system is read-only'],
  EISDIR: ['ERR_CANNOT_WRITE', 'this is a directory', 'name a file in it'],
  EIO: ['ERR_CANNOT_WRITE', 'the disk reports an I/O error'],
  EMFILE: ['ERR_CANNOT_WRITE', 'too many open files', 'raise ulimit -n'],
}

/** `doing` such as `write` or `rename`; `byteOffset` where in the file. */
export function fileFault(
  path: string,
  doing: string,
  cause: unknown,
  byteOffset?: number,
): FileError {
  const systemCode = (cause as NodeJS.ErrnoException | undefined)?.code ?? ''
  const [code, what, hint] = FAULTS[systemCode] ?? [
    'ERR_CANNOT_WRITE',
    cause instanceof Error ? cause.message : String(cause),
  ]
  const where = byteOffset === undefined ? '' : ` at byte ${byteOffset}`
  return new FileError(code, `cannot ${doing} ${path}${where}: ${what}`, {
    cause,
    hint,
    details: { file: path, byteOffset, systemCode },
  })
}
