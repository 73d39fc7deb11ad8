/** Errors → the exit codes of the command line. The library knows none of them. */
import {
  AbortedError,
  AuthError,
  InputError,
  LinkError,
  ProtocolError,
  TargetError,
  UsageError,
} from '../errors.js'

export const EXIT = {
  OK: 0,
  FAILED: 1,
  USAGE: 2,
  LINK: 3,
  AUTH: 4,
  PROTOCOL: 5,
  INPUT: 6,
  DIFFERENT: 7,
  WARNING: 8,
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
} as const

export function exitCodeOf(error: unknown, interruption: unknown): number {
  if (error instanceof AbortedError) return interruptionCode(interruption)
  if (error instanceof UsageError) return EXIT.USAGE
  if (error instanceof LinkError) return EXIT.LINK
  if (error instanceof AuthError) return EXIT.AUTH
  if (error instanceof ProtocolError) return EXIT.PROTOCOL
  if (error instanceof InputError) return EXIT.INPUT
  if (error instanceof TargetError) return EXIT.DIFFERENT
  return EXIT.FAILED
}

/** A reader of stdout that went away is no failure: it had what it wanted. */
export function interruptionCode(interruption: unknown): number {
  switch (interruption) {
    case 'EPIPE':
      return EXIT.OK
    case 'SIGHUP':
      return EXIT.SIGHUP
    case 'SIGTERM':
      return EXIT.SIGTERM
    default:
      return EXIT.SIGINT
  }
}

/** The table that ends every command's help. */
export const EXIT_STATUS_HELP = `
Exit status:
  0  done                                4  authentication or permission
  1  failed (disk full, cannot write)    5  refused by the protocol, not supported
  2  wrong usage                         6  input corrupt or truncated
  3  cannot connect, or link lost        7  target refused something, or the two differ
                                         8  done, but with a warning that was asked for
  130, 143, 129  interrupted by SIGINT, SIGTERM, SIGHUP (after tidying up)
`
