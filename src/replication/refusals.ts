/**
 * The error lines of a master, each as one of our errors: what it means, whether it passes by
 * itself, what to do about it. Servers word them differently from version to version, so only
 * prefixes are looked at.
 */
import {
  AuthError,
  LinkError,
  ProtocolError,
  type RrepError,
  type RrepErrorCode,
} from '../errors.js'
import { printable } from '../bytes/printable.js'
import { PASSWORD_HINT } from '../net/server-settings.js'

/** What was sent when the line came. */
export type RefusedRequest = 'PING' | 'AUTH' | 'REPLCONF' | 'PSYNC' | 'SYNC' | 'payload' | 'nothing'

export interface RefusalContext {
  /** Name of the server, for messages. */
  server: string
  request: RefusedRequest
  /** Who we are, for the ACL to be printed. */
  username: string | undefined
  /** True where AUTH was sent. */
  authenticated: boolean
  passwordHint?: string | undefined
}

/** Begins of lines that mean "not now": try again in a moment. */
const TRANSIENT: readonly (readonly [begin: string, code: RrepErrorCode, meaning: string])[] = [
  ['LOADING', 'ERR_LOADING', 'it is loading its data'],
  ['NOMASTERLINK', 'ERR_NOMASTERLINK', 'it is a replica without a link to its own master'],
  [
    "ERR Can't SYNC while not connected",
    'ERR_NOMASTERLINK',
    'it is a replica without a link to its own master',
  ],
  ['MASTERDOWN', 'ERR_MASTERDOWN', 'it is a replica whose master is down'],
  ['BUSY', 'ERR_BUSY', 'a script keeps it busy'],
  ['ERR BGSAVE failed', 'ERR_BGSAVE_FAILED', 'it could not start its save'],
  ['ERR max number of clients', 'ERR_TOO_MANY_CLIENTS', 'it has too many clients'],
]

const TRANSIENT_HINTS: Readonly<Record<string, string>> = {
  ERR_BGSAVE_FAILED:
    'its log says why: often no memory to fork (vm.overcommit_memory=1), or a full disk',
  ERR_NOMASTERLINK: 'sync from its master, or repair its replication first',
  ERR_MASTERDOWN: 'sync from its master, or repair its replication first',
  ERR_TOO_MANY_CLIENTS: 'raise maxclients, or close idle clients',
}

/** The smallest ACL under which rrep can replicate from a server. */
export function minimalAcl(username: string | undefined): string {
  const user = username ?? 'rrep'
  return `ACL SETUSER ${user} on >PASSWORD +psync +replconf +ping`
}

/** `line` is an error reply without its `-`. */
export function refusalError(line: string, context: RefusalContext): RrepError {
  const { server, request } = context
  const shown = printable(Buffer.from(line, 'latin1'), 0, line.length, 200)
  const details = { server, request, reply: shown }
  for (const [begin, code, meaning] of TRANSIENT) {
    if (!line.startsWith(begin)) continue
    return new LinkError(code, `${server} cannot replicate now: ${meaning} (${shown})`, {
      retriable: true,
      hint: TRANSIENT_HINTS[code],
      details,
    })
  }
  const auth = authError(line, shown, context)
  if (auth !== undefined) return auth
  if (isUnknownCommand(line)) {
    return new ProtocolError('ERR_NOT_SUPPORTED', `${server} does not know ${request} (${shown})`, {
      hint: 'a Sentinel, a proxy and many hosted services do not offer replication; sync from the server itself',
      details,
    })
  }
  return new ProtocolError('ERR_REFUSED', `${server} refused ${request}: ${shown}`, { details })
}

export function isUnknownCommand(line: string): boolean {
  return /^ERR unknown command/i.test(line)
}

/** True for the answers that AUTH gets where no password is set; replication works without. */
export function isAuthNotNeeded(line: string): boolean {
  return /no password is set|without any password configured/.test(line)
}

/** True for the answers to PING that a login may cure. */
export function isLoginWanted(line: string): boolean {
  return /^(NOAUTH|NOPERM|ERR operation not permitted)/.test(line)
}

function authError(line: string, shown: string, context: RefusalContext): AuthError | undefined {
  const { server, request, username, authenticated } = context
  const details = { server, request, reply: shown }
  if (/^(NOAUTH|ERR operation not permitted)/.test(line)) {
    return new AuthError('ERR_NOAUTH', `${server} wants a password (${shown})`, {
      hint: context.passwordHint ?? PASSWORD_HINT,
      details,
    })
  }
  if (/^(WRONGPASS|ERR invalid password)/.test(line)) {
    const who = username === undefined ? 'the password' : `user ${username} or the password`
    return new AuthError('ERR_WRONGPASS', `${server} does not accept ${who} (${shown})`, {
      details,
    })
  }
  if (line.startsWith('NOPERM')) {
    const who = username ?? (authenticated ? 'the default user' : 'this connection')
    return new AuthError('ERR_NOPERM', `${server} does not allow ${who} to ${request} (${shown})`, {
      hint: `the smallest ACL that suffices: ${minimalAcl(username)}`,
      details,
    })
  }
  if (line.startsWith('DENIED')) {
    return new AuthError('ERR_DENIED', `${server} is in protected mode and refuses strangers`, {
      hint: 'set a password and `bind` on the server, or connect from the same host',
      details,
    })
  }
  if (request === 'AUTH') {
    return new AuthError('ERR_AUTH', `${server} refused AUTH (${shown})`, {
      hint:
        username !== undefined && line.includes('wrong number of arguments')
          ? 'servers before 6.0 know no users: leave `username` out'
          : undefined,
      details,
    })
  }
  return undefined
}
