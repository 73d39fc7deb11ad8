/**
 * Every error that rrep throws.
 *
 * A class says what kind of trouble it is (the command line maps kinds to exit codes), `code`
 * is stable and for programs, `message` is for people, `hint` says what to do. `retriable` is
 * true where the same call may go through a little later without any change.
 *
 * `details` are plain values (offsets, counts, addresses). They are printed with `--json`, so
 * they never hold a password, and bytes from a server stand in them only as printable text.
 */

import type { RrepErrorCode } from './error-codes.js'

export { ERROR_CODES, type RrepErrorCode } from './error-codes.js'

export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface ErrorOptions {
  hint?: string | undefined
  cause?: unknown
  retriable?: boolean
  details?: ErrorDetails
}

export abstract class RrepError extends Error {
  /** Stable: see ERROR_CODES. */
  readonly code: RrepErrorCode
  readonly retriable: boolean
  readonly hint: string | undefined
  readonly details: ErrorDetails

  constructor(code: RrepErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.retriable = options.retriable ?? false
    this.hint = options.hint
    this.details = options.details ?? {}
  }
}

/** The call itself is wrong: an option, a value, a combination. */
export class UsageError extends RrepError {
  constructor(message: string, options: ErrorOptions = {}) {
    super('ERR_USAGE', message, options)
  }
}

/** A state of a moment was asked for that the source does not hold, and why. */
export class MomentError extends UsageError {
  readonly reason: MomentReason

  constructor(reason: MomentReason, message: string, options: ErrorOptions = {}) {
    super(message, { ...options, details: { reason, ...options.details } })
    this.reason = reason
  }
}

export type MomentReason = 'before-first-base' | 'in-gap' | 'after-end' | 'no-times'

/** Cannot connect, or a link that was up is lost for good. */
export class LinkError extends RrepError {}

/** The address to listen on cannot be had. */
export class ListenError extends RrepError {}

/** The server wants other credentials or more rights. */
export class AuthError extends RrepError {}

/** The peer does not speak the protocol, refuses, or lacks what was asked for. */
export class ProtocolError extends RrepError {}

/** A local file, pipe or directory failed: disk full, no such directory, no right to write. */
export class FileError extends RrepError {}

/** The target of a replay refused something, or two compared sources differ. */
export class TargetError extends RrepError {}

/** The caller's AbortSignal fired. The work so far has been tidied up. */
export class AbortedError extends RrepError {
  constructor(message = 'interrupted', options: ErrorOptions = {}) {
    super('ERR_ABORTED', message, options)
  }
}

/** Something that cannot happen happened: a bug in rrep. */
export class InternalError extends RrepError {
  constructor(message: string, options: ErrorOptions = {}) {
    super('ERR_INTERNAL', message, {
      hint: 'this is a bug in rrep: please report it with what was called and the stack of this error',
      ...options,
    })
  }
}

export interface InputErrorWhere {
  /** File name, or undefined for a stream or buffer. */
  file?: string | undefined
  /** Where in the input the trouble is; for truncated input: where the bytes stop. */
  byteOffset?: number | undefined
  /** What was being read, such as `listpack entry`. */
  reading?: string | undefined
  dbnum?: number | undefined
  /** The key at hand, as printable text. */
  key?: string | undefined
  type?: string | undefined
  keysRead?: number | undefined
}

/** Bad bytes in a file or payload. The subclass names the format. */
export abstract class InputError extends RrepError {
  readonly where: InputErrorWhere
  /** The message without the place. */
  readonly what: string
  /** Where a call of the library rejects with it: what the call would have resolved with, of all
   * that was read before. */
  partial: object | undefined

  constructor(
    code: RrepErrorCode,
    where: InputErrorWhere,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(code, `${message}${formatWhere(where)}`, {
      ...options,
      details: { ...where, ...options.details },
    })
    this.where = where
    this.what = message
  }
}

export type RdbErrorCode = 'ERR_RDB_CORRUPT' | 'ERR_RDB_TRUNCATED' | 'ERR_RDB_UNSUPPORTED'

/** Truncated means that the bytes stop, corrupt that they are wrong, unsupported that rrep
 * does not know what they mean. */
export class RdbError extends InputError {
  readonly rdbCode: RdbErrorCode

  constructor(
    code: RdbErrorCode,
    where: InputErrorWhere,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(code, where, message, options)
    this.rdbCode = code
  }
}

export type AofErrorCode = 'ERR_AOF_CORRUPT' | 'ERR_AOF_TRUNCATED' | 'ERR_AOF_UNSUPPORTED'

export class AofError extends InputError {
  constructor(
    code: AofErrorCode,
    where: InputErrorWhere,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(code, where, message, options)
  }
}

/** A compressed input whose packing is broken or stops short: what is inside cannot be had. */
export class CompressedInputError extends InputError {
  constructor(file: string, compression: string, message: string, cause?: unknown) {
    super('ERR_COMPRESSED_INPUT', { file, reading: `${compression} data` }, message, { cause })
  }
}

function formatWhere(where: InputErrorWhere): string {
  const parts: string[] = []
  if (where.file !== undefined) parts.push(where.file)
  if (where.byteOffset !== undefined) parts.push(`byte ${where.byteOffset}`)
  if (where.dbnum !== undefined) parts.push(`db ${where.dbnum}`)
  if (where.key !== undefined) parts.push(`key ${where.key}`)
  if (where.type !== undefined) parts.push(`type ${where.type}`)
  if (where.reading !== undefined) parts.push(`while reading ${where.reading}`)
  if (where.keysRead !== undefined) parts.push(`after ${where.keysRead} keys`)
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}
