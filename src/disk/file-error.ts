/** What the system says about a local file, as errors that say what happened and what to do. The
 * only place that knows what an errno means: one trouble has one code, whoever meets it. */
import { FileError, RrepError, type RrepErrorCode } from '../errors.js'

type Fault = readonly [code: RrepErrorCode, what: string, hint?: string]

const FAULTS: Readonly<Record<string, Fault>> = {
  ENOSPC: ['ERR_DISK_FULL', 'no space left on the disk', 'make room, or write to another disk'],
  EDQUOT: ['ERR_DISK_FULL', 'the disk quota is used up', 'make room, or write to another disk'],
  EFBIG: ['ERR_FILE_TOO_LARGE', 'the file would become larger than allowed', 'see ulimit -f'],
  EPIPE: ['ERR_OUTPUT_CLOSED', 'the reader went away'],
  ENOTDIR: ['ERR_NO_SUCH_DIRECTORY', 'a part of the path is no directory'],
  ELOOP: ['ERR_NO_SUCH_DIRECTORY', 'its symbolic links lead in a circle'],
  ENAMETOOLONG: ['ERR_NAME_TOO_LONG', 'the name is too long', 'most disks take 255 bytes'],
}

/** What else there is, where the code depends on what was wanted. */
const REASONS: Readonly<Record<string, readonly [what: string, hint?: string]>> = {
  EACCES: ['not allowed'],
  EPERM: ['not allowed'],
  EROFS: ['the file system is read-only'],
  EISDIR: ['this is a directory', 'name a file in it'],
  EEXIST: ['it exists already'],
  EIO: ['the disk reports an I/O error'],
  ESTALE: ['the network file system has lost it'],
  EMFILE: ['too many open files', 'raise ulimit -n'],
  ENFILE: ['too many open files on this machine'],
  ENXIO: ['nothing is at the other end'],
}

const READING = new Set(['open', 'read', 'list', 'load'])

/**
 * `doing` is the verb of the message: `open`, `read`, `list` and `load` are about what must exist,
 * everything else (`write`, `create`, `rename`, …) about what is made. `byteOffset`: where in the
 * file. An error that is ours already comes back as it is.
 */
export function fileError(
  path: string,
  doing: string,
  cause: unknown,
  byteOffset?: number,
): FileError {
  if (cause instanceof FileError) return cause
  const systemCode = errnoOf(cause) ?? ''
  const [code, what, hint] = FAULTS[systemCode] ?? faultOf(systemCode, READING.has(doing), cause)
  const where = byteOffset === undefined ? '' : ` at byte ${byteOffset}`
  return new FileError(code, `cannot ${doing} ${path}${where}: ${what}`, {
    cause,
    hint,
    details: { file: path, byteOffset, systemCode },
  })
}

function faultOf(systemCode: string, isReading: boolean, cause: unknown): Fault {
  if (systemCode === 'ENOENT') {
    return isReading
      ? ['ERR_NO_SUCH_FILE', 'no such file or directory']
      : ['ERR_NO_SUCH_DIRECTORY', 'no such directory', 'the directory must exist']
  }
  const code = isReading ? 'ERR_CANNOT_READ' : 'ERR_CANNOT_WRITE'
  const known = REASONS[systemCode]
  if (known !== undefined) return [code, ...known]
  return [code, cause instanceof Error ? cause.message : String(cause)]
}

/** The system's own name of an error, such as `ENOENT`. */
export function errnoOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : undefined
}

/** The same for an output: a reader that goes away had what it wanted, which callers tell from a
 * failure by its code, ERR_OUTPUT_CLOSED. What an output says that is a store, is said as it is. */
export function outputError(cause: unknown, name = 'the output'): RrepError {
  if (cause instanceof RrepError) return cause
  const gone = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes(errnoOf(cause) ?? '')
  if (!gone) return fileError(name, 'write', cause)
  return new FileError('ERR_OUTPUT_CLOSED', `the reader of ${name} is gone`, { cause })
}
