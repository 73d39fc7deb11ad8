/**
 * What the system says about a connection, as errors that say what to do. Which of them may pass
 * by themselves (`retriable`) is decided here: a refused or reset connection may, a wrong
 * certificate or an unknown host may not.
 */
import { LinkError, type RrepErrorCode } from '../errors.js'
import { formatServerAddress } from './address.js'
import type { ServerSettings } from './server-settings.js'

interface SystemError extends Error {
  code?: string
  errors?: SystemError[]
}

/** A connection that could not be made. */
export function connectError(settings: ServerSettings, cause: Error): LinkError {
  const name = formatServerAddress(settings.address)
  // With several addresses of one name Node hands over one error for each.
  const reported: SystemError = cause
  const first = reported.errors?.[0] ?? reported
  const code = first.code ?? ''
  const known = CONNECT_FAULTS[code]
  if (known !== undefined) {
    const [errorCode, what, retriable, hint] = known
    return new LinkError(errorCode, `cannot connect to ${name}: ${what}`, {
      cause,
      retriable,
      hint,
      details: { server: name, systemCode: code },
    })
  }
  if (settings.address.transport === 'tls') return tlsError(name, first)
  return new LinkError('ERR_CONNECT', `cannot connect to ${name}: ${first.message}`, {
    cause,
    retriable: true,
    details: { server: name, ...(code === '' ? {} : { systemCode: code }) },
  })
}

/** An open connection that broke. */
export function lineError(name: string, cause: Error): LinkError {
  const code = (cause as SystemError).code ?? ''
  const what = LINE_FAULTS[code] ?? cause.message
  return new LinkError('ERR_LINK_LOST', `the connection to ${name} broke: ${what}`, {
    cause,
    retriable: true,
    details: { server: name, ...(code === '' ? {} : { systemCode: code }) },
  })
}

/** `what` such as `no connection`, `no answer to PSYNC`. */
export function timeoutError(settings: ServerSettings, what: string): LinkError {
  const name = formatServerAddress(settings.address)
  const seconds = settings.timeoutMs / 1000
  return new LinkError('ERR_TIMEOUT', `${name}: ${what} within ${seconds} s`, {
    retriable: true,
    hint: 'a server that is busy or far away may need a longer `timeoutMs`',
    details: { server: name, timeoutMs: settings.timeoutMs },
  })
}

/** TLS was asked for, and the other side took the connection and said nothing. A server that is
 * busy does so too: the system takes connections for it. */
export function noTlsError(settings: ServerSettings): LinkError {
  const name = formatServerAddress(settings.address)
  const seconds = settings.timeoutMs / 1000
  return new LinkError('ERR_TIMEOUT', `${name}: connected, but no TLS answer within ${seconds} s`, {
    retriable: true,
    hint: 'does this port speak TLS? redis:// is without; a busy server may need a longer `timeoutMs`',
    details: { server: name, timeoutMs: settings.timeoutMs },
  })
}

/** TLS was asked for, and the port answered a plain command: this does not pass by waiting. */
export function plainPortError(settings: ServerSettings): LinkError {
  const name = formatServerAddress(settings.address)
  return new LinkError('ERR_TLS', `${name}: this port speaks no TLS, it answers without`, {
    retriable: false,
    hint: 'take redis:// (or leave out what asks for TLS), or the port that is `tls-port` of the server',
    details: { server: name },
  })
}

type Fault = readonly [
  code: RrepErrorCode,
  what: string,
  retriable: boolean,
  hint: string | undefined,
]

const CONNECT_FAULTS: Readonly<Record<string, Fault>> = {
  ECONNREFUSED: [
    'ERR_CONNECT_REFUSED',
    'connection refused',
    true,
    'does the server run, and on this port?',
  ],
  ECONNRESET: ['ERR_CONNECT', 'connection reset', true, undefined],
  EPIPE: ['ERR_CONNECT', 'connection closed', true, undefined],
  ETIMEDOUT: ['ERR_TIMEOUT', 'no answer', true, 'a firewall may drop the packets'],
  EHOSTUNREACH: ['ERR_CONNECT', 'no route to the host', true, undefined],
  ENETUNREACH: ['ERR_CONNECT', 'network unreachable', true, undefined],
  EAI_AGAIN: ['ERR_HOST_NOT_FOUND', 'the name server does not answer', true, undefined],
  ENOTFOUND: ['ERR_HOST_NOT_FOUND', 'no such host', false, 'check the spelling of the host name'],
  ENOENT: [
    'ERR_CONNECT',
    'no such socket file',
    false,
    'check the path, and `unixsocket` of the server',
  ],
  ENOTSOCK: ['ERR_CONNECT', 'this file is no socket', false, undefined],
  EACCES: [
    'ERR_CONNECT',
    'not allowed to use the socket',
    false,
    'see `unixsocketperm` of the server',
  ],
  EPERM: ['ERR_CONNECT', 'not allowed', false, undefined],
}

const LINE_FAULTS: Readonly<Record<string, string>> = {
  ECONNRESET: 'reset by the server',
  EPIPE: 'closed by the server',
  ETIMEDOUT: 'the peer does not answer any more',
}

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
])

function tlsError(name: string, cause: SystemError): LinkError {
  const code = cause.code ?? ''
  let hint: string | undefined
  if (UNTRUSTED.has(code)) {
    hint = 'name the authority that signed the certificate with `caFile`'
  } else if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    hint = 'name the host as its certificate does, with `sni`'
  } else if (code === 'CERT_HAS_EXPIRED') {
    hint = 'the certificate of the server has to be renewed'
  } else if (
    /wrong version number|packet length too long|EPROTO/i.test(`${code} ${cause.message}`)
  ) {
    hint = 'the server may not speak TLS on this port'
  } else if (/certificate required|bad certificate|unknown ca/i.test(cause.message)) {
    hint = 'the server wants a client certificate that it trusts: `certFile` and `keyFile`'
  }
  // openssl's own text begins with a thread id and a source line.
  const what = /:SSL routines:[^:]*:([^:]+):/.exec(cause.message)?.[1] ?? cause.message
  const silent = code === '' && /closed while it was set up|before secure/.test(cause.message)
  return new LinkError('ERR_TLS', `cannot set up TLS with ${name}: ${what.trim()}`, {
    cause,
    // A server that just closes may be restarting; a certificate does not heal.
    retriable: silent,
    hint: hint ?? (silent ? 'the server may not speak TLS on this port' : undefined),
    details: { server: name, ...(code === '' ? {} : { systemCode: code }) },
  })
}
