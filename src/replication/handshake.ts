/**
 * The replica's side of the handshake, pure: (state, reply line) → (state, request | outcome).
 *
 *   ping → auth → hello → port → address → capa → version → rdb-only → rdb-filter-only → info → psync ─┬→ continue
 *                                                                                         (unknown) ↓ ├→ header → payload
 *                                                                                   sync ─┘
 *
 * Steps that a plan does not need are left out. One request at a time, each reply read before the
 * next request: PSYNC behind an unanswered one is refused by every server (7.0: "invalid with
 * pending output"). Errors to REPLCONF are no failures: old servers know only some options; what
 * matters (`rdb-only`, `rdb-filter-only`) is kept in the state. `info` is asked before a partial
 * resync, on the same connection: who is ahead of a promoted master learns there from where on it is.
 */
import { LinkError, ProtocolError, type RrepError } from '../errors.js'
import { printable } from '../bytes/printable.js'
import { parseInfo } from '../net/info.js'
import type { LinkAnnouncement } from '../net/server-settings.js'
import { MAX_BULK_BYTES, readBulk } from './bulk-reply.js'
import type { PayloadFraming, ResumePoint } from './consumer.js'
import { isClusterMode, MAX_HELLO_BYTES, readHello } from './hello.js'
import {
  isAuthNotNeeded,
  isLoginWanted,
  isUnknownCommand,
  refusalError,
  type RefusalContext,
  type RefusedRequest,
} from './refusals.js'
import { parseReplicationInfo, pointBehindFailover, resumeObstacle } from './plan.js'

/** Newer than any: a Valkey >= 9.1 sends a replica that announces no version, or an old one, RDB
 * 11, and closes for ever where its data cannot be said in that. Others ignore it. */
export const NEWEST_VERSION = '99.0.0'

export interface HandshakePlan {
  /** Name of the server, for messages. */
  server: string
  username: string | undefined
  password: string | undefined
  passwordHint?: string | undefined
  /** Where a replica like this is found; undefined: nowhere. */
  announcement?: Pick<LinkAnnouncement, 'host' | 'port'> | undefined
  /** Ask that no stream be kept for us (6.2+). */
  rdbOnly: boolean
  /** Ask for a snapshot without content (7.0+). Refused: outcome `filter-refused`, no PSYNC. */
  emptySnapshot: boolean
  /** Value of REPLCONF version. */
  version: string
  /** Undefined: `PSYNC ? -1`. */
  resume: ResumePoint | undefined
  /** What to do where `resume` would be or is answered with a full resync. `leave`: outcome
   * `full-offered`, before anything is saved for us where INFO tells. */
  fullResync: 'take' | 'leave'
}

export type HandshakeStep =
  | 'ping'
  | 'auth'
  | 'hello'
  | 'port'
  | 'address'
  | 'capa'
  | 'version'
  | 'rdb-only'
  | 'rdb-filter-only'
  | 'info'
  | 'psync'
  | 'sync'
  | 'header'

export interface HandshakeState {
  readonly plan: HandshakePlan
  readonly step: HandshakeStep
  /** The server said +OK to `rdb-only 1`: it will close behind the payload. */
  readonly rdbOnlyAccepted: boolean
  /** HELLO says so; unknown is no. */
  readonly isClusterNode: boolean
  /** From `+FULLRESYNC`; undefined before it and after SYNC. */
  readonly history: { readonly replid: string; readonly replOffset: number } | undefined
}

export interface PayloadHeader {
  replid: string | undefined
  replOffset: number
  framing: PayloadFraming
  lengthBytes: number | undefined
  /** 40 bytes, framing `eof`. */
  mark: Buffer | undefined
}

export type HandshakeOutcome =
  | { kind: 'payload'; header: PayloadHeader }
  /** `replid`: as answered; undefined where the master named none (< 4.0): the same. */
  | { kind: 'continue'; replid: string | undefined }
  | { kind: 'filter-refused' }
  /** `why`: where INFO says it. */
  | { kind: 'full-offered'; why?: string }
  /** What we have from `point` on was lost by the failover that made this server the master. */
  | { kind: 'ahead'; point: ResumePoint }
  | { kind: 'failed'; error: RrepError }

export interface Transition {
  readonly state: HandshakeState
  /** Bytes to send now. */
  readonly request?: Buffer
  readonly outcome?: HandshakeOutcome
}

const ASTERISK = 0x2a
const DOLLAR = 0x24

export function beginHandshake(plan: HandshakePlan): Transition {
  const state: HandshakeState = {
    plan,
    step: 'ping',
    rdbOnlyAccepted: false,
    isClusterNode: false,
    history: undefined,
  }
  return { state, request: encodeRequest(['PING']) }
}

/** A reply that has more than one line is made one: that to HELLO, an array, and that to INFO.
 * Undefined while bytes of it are missing, and where the next reply is a line as it stands. */
export function readLongReply(
  state: HandshakeState,
  bytes: Buffer,
  start: number,
  end: number,
): { kind: 'line' | 'more' } | { kind: 'reply'; end: number; line: string } {
  if (state.step === 'info' && bytes[start] === DOLLAR) {
    const bulk = readBulk(bytes, start, end)
    if (bulk === undefined && end - start <= 2 * MAX_BULK_BYTES) return { kind: 'more' }
    const line = bulk?.line ?? bytes.toString('latin1', start + 1, Math.min(end, start + 80))
    return { kind: 'reply', end: bulk?.end ?? end, line }
  }
  if (state.step !== 'hello' || bytes[start] !== ASTERISK) return { kind: 'line' }
  const hello = readHello(bytes, start, end)
  if (hello === undefined && end - start <= MAX_HELLO_BYTES) return { kind: 'more' }
  // What is no answer to HELLO is shown by its begin, and refused.
  const line = hello?.line ?? bytes.toString('latin1', start + 1, Math.min(end, start + 80))
  return { kind: 'reply', end: hello?.end ?? end, line }
}

/** Takes one line of the master, without its line end. Empty lines are keepalives: not for here. */
export function onHandshakeLine(state: HandshakeState, line: string): Transition {
  return REPLIES[state.step](state, line)
}

type Reply = (state: HandshakeState, line: string) => Transition

const REPLIES: Readonly<Record<HandshakeStep, Reply>> = {
  ping: (state, line) => {
    if (line.startsWith('+')) return next(state, 'ping')
    if (!line.startsWith('-')) return notRedis(state, line)
    // Which of the two it is shows at AUTH or, without one, at PSYNC.
    if (isLoginWanted(line.slice(1))) {
      const hopeless = line.startsWith('-NOAUTH') && state.plan.password === undefined
      return hopeless ? refused(state, 'PING', line) : next(state, 'ping')
    }
    return refused(state, 'PING', line)
  },
  auth: (state, line) => {
    if (line.startsWith('+') || isAuthNotNeeded(line)) return next(state, 'auth')
    return line.startsWith('-') ? refused(state, 'AUTH', line) : notRedis(state, line)
  },
  hello: (state, line) => {
    // Before 6.0 an error, from a proxy that knows no better +OK: so no cluster node to care for.
    if (/^[-+]/.test(line)) return next(state, 'hello')
    if (!line.startsWith('*')) return notRedis(state, line)
    return next({ ...state, isClusterNode: isClusterMode(line) }, 'hello')
  },
  port: (state, line) => replconf(state, line),
  address: (state, line) => replconf(state, line),
  capa: (state, line) => replconf(state, line),
  version: (state, line) => replconf(state, line),
  'rdb-only': (state, line) =>
    replconf({ ...state, rdbOnlyAccepted: line.startsWith('+OK') }, line),
  'rdb-filter-only': (state, line) => {
    // Without the filter, PSYNC would bring everything.
    if (!line.startsWith('+')) return { state, outcome: { kind: 'filter-refused' } }
    return next(state, state.step)
  },
  // Who may not ask, or is answered something else, learns it by PSYNC.
  info: (state, line) =>
    line.startsWith('$') ? informed(state, line.slice(1)) : next(state, 'info'),
  psync: (state, line) => {
    const [word, ...rest] = line.split(' ')
    if (word === '+FULLRESYNC') return fullResync(state, line, rest)
    if (word === '+CONTINUE') {
      const replid = rest[0]
      if (replid !== undefined && !isReplid(replid)) return violation(state, line)
      return { state, outcome: { kind: 'continue', replid } }
    }
    if (!line.startsWith('-')) return violation(state, line)
    if (!isUnknownCommand(line.slice(1))) return refused(state, 'PSYNC', line)
    // 2.4 and 2.6. Inline, as every server sends it.
    return { state: { ...state, step: 'sync' }, request: Buffer.from('SYNC\r\n') }
  },
  // The header follows without a line of its own; a refusal stands in its place.
  sync: (state, line) =>
    line.startsWith('-') ? refused(state, 'SYNC', line) : payloadHeader(state, line),
  header: (state, line) =>
    line.startsWith('-') ? refused(state, 'payload', line) : payloadHeader(state, line),
}

const ORDER: readonly HandshakeStep[] = [
  'ping',
  'auth',
  'hello',
  'port',
  'address',
  'capa',
  'version',
  'rdb-only',
  'rdb-filter-only',
  'info',
  'psync',
]

/** The step that follows, with its request. */
function next(state: HandshakeState, after: HandshakeStep): Transition {
  const { plan } = state
  for (const step of ORDER.slice(ORDER.indexOf(after) + 1)) {
    const request = REQUESTS[step]?.(plan)
    if (request !== undefined) return { state: { ...state, step }, request: encodeRequest(request) }
  }
  throw new RangeError('psync is always asked')
}

const REQUESTS: Readonly<
  Partial<Record<HandshakeStep, (plan: HandshakePlan) => readonly string[] | undefined>>
> = {
  auth: ({ username, password }) => {
    if (password === undefined) return undefined
    return username === undefined ? ['AUTH', password] : ['AUTH', username, password]
  },
  hello: () => ['HELLO'],
  port: ({ announcement }) =>
    announcement?.port === undefined
      ? undefined
      : ['REPLCONF', 'listening-port', String(announcement.port)],
  address: ({ announcement }) =>
    announcement?.host === undefined ? undefined : ['REPLCONF', 'ip-address', announcement.host],
  capa: () => ['REPLCONF', 'capa', 'eof', 'capa', 'psync2'],
  version: ({ version }) => ['REPLCONF', 'version', version],
  'rdb-only': ({ rdbOnly }) => (rdbOnly ? ['REPLCONF', 'rdb-only', '1'] : undefined),
  'rdb-filter-only': ({ emptySnapshot }) =>
    emptySnapshot ? ['REPLCONF', 'rdb-filter-only', ''] : undefined,
  info: ({ resume }) => (resume === undefined ? undefined : ['INFO']),
  psync: ({ resume }) =>
    resume === undefined
      ? ['PSYNC', '?', '-1']
      : ['PSYNC', resume.replid, String(resume.nextReplOffset)],
}

function replconf(state: HandshakeState, line: string): Transition {
  if (line.startsWith('+')) return next(state, state.step)
  if (!line.startsWith('-')) return notRedis(state, line)
  // Unknown option (any version), unknown command (2.4): go on. A missing right will not pass.
  if (/^-(NOAUTH|NOPERM|ERR operation not permitted)/.test(line)) {
    return refused(state, 'REPLCONF', line)
  }
  return next(state, state.step)
}

function informed(state: HandshakeState, text: string): Transition {
  const { resume, fullResync } = state.plan
  const info = parseReplicationInfo(parseInfo(text))
  if (info === undefined || resume === undefined) return next(state, 'info')
  const point = pointBehindFailover(info, resume)
  if (point !== undefined) return { state, outcome: { kind: 'ahead', point } }
  const why = resumeObstacle(info, resume)
  if (why === undefined || fullResync === 'take') return next(state, 'info')
  return { state, outcome: { kind: 'full-offered', why } }
}

function fullResync(state: HandshakeState, line: string, rest: readonly string[]): Transition {
  const [replid, replOffset] = rest
  if (replid === undefined || !isReplid(replid) || !/^\d{1,19}$/.test(replOffset ?? '')) {
    return violation(state, line)
  }
  if (state.plan.fullResync === 'leave') return { state, outcome: { kind: 'full-offered' } }
  const history = { replid: replid.toLowerCase(), replOffset: Number(replOffset) }
  return { state: { ...state, step: 'header', history } }
}

function payloadHeader(state: HandshakeState, line: string): Transition {
  const { history } = state
  const known = { replid: history?.replid, replOffset: history?.replOffset ?? -1 }
  const eof = /^\$EOF:([0-9a-zA-Z]{40})$/.exec(line)
  if (eof !== null) {
    const mark = Buffer.from(eof[1]!, 'latin1')
    const header: PayloadHeader = { ...known, framing: 'eof', lengthBytes: undefined, mark }
    return { state, outcome: { kind: 'payload', header } }
  }
  if (!/^\$\d{1,15}$/.test(line)) return violation(state, line)
  const lengthBytes = Number(line.slice(1))
  const header: PayloadHeader = { ...known, framing: 'length', lengthBytes, mark: undefined }
  return { state, outcome: { kind: 'payload', header } }
}

function refused(state: HandshakeState, request: RefusedRequest, line: string): Transition {
  const { plan } = state
  const context: RefusalContext = {
    server: plan.server,
    request,
    username: plan.username,
    authenticated: plan.password !== undefined,
    passwordHint: plan.passwordHint,
  }
  return { state, outcome: { kind: 'failed', error: refusalError(line.slice(1), context) } }
}

function violation(state: HandshakeState, line: string): Transition {
  const { server } = state.plan
  const shown = printable(Buffer.from(line, 'latin1'), 0, line.length, 80)
  const error = new ProtocolError(
    'ERR_PROTOCOL',
    `${server} answered ${state.step} with '${shown}', which no master sends`,
    { details: { server, step: state.step, reply: shown } },
  )
  return { state, outcome: { kind: 'failed', error } }
}

function notRedis(state: HandshakeState, line: string): Transition {
  const { server } = state.plan
  const shown = printable(Buffer.from(line, 'latin1'), 0, line.length, 80)
  const tls = line.charCodeAt(0) === 0x15 || line.charCodeAt(0) === 0x16
  const error = new ProtocolError('ERR_NOT_REDIS', `${server} is no Redis server: '${shown}'`, {
    hint: tls ? 'it speaks TLS on this port: use `tls` or rediss://' : 'check host and port',
    details: { server, reply: shown },
  })
  return { state, outcome: { kind: 'failed', error } }
}

/** The peer closed in the middle: what that means at this step. */
export function closedInHandshake(state: HandshakeState, cause?: Error): RrepError {
  const { server } = state.plan
  const first = state.step === 'ping'
  const what =
    state.step === 'header' || state.step === 'sync'
      ? 'closed the connection instead of sending its snapshot'
      : `closed the connection at ${state.step}`
  return new LinkError('ERR_LINK_LOST', `${server} ${what}`, {
    cause,
    retriable: true,
    hint: first
      ? 'if it speaks TLS on this port, use `tls` or rediss://'
      : state.step === 'header'
        ? 'its save may have failed or it was restarted: its log says why'
        : undefined,
    details: { server, step: state.step },
  })
}

function isReplid(text: string): boolean {
  return /^[0-9a-f]{40}$/i.test(text)
}

/** As RESP. Masters take it since 1.2. */
function encodeRequest(args: readonly string[]): Buffer {
  let text = `*${args.length}\r\n`
  for (const arg of args) text += `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`
  return Buffer.from(text)
}
