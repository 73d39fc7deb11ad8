/**
 * Addresses of servers as people write them, and back to text without their secrets.
 *
 *   host   host:6380   [::1]:6379   ::1
 *   redis://[user[:password]@]host[:port][/db]     valkey:// is the same
 *   rediss://…                                     the same over TLS; valkeys:// too
 *   unix:///run/redis.sock[?db=N]                  redis+unix:// and unix://user:pw@/path too
 *
 * A password in an address is taken, and masked in everything that is ever shown.
 */
import { isIPv6 } from 'node:net'
import { UsageError } from '../errors.js'

export const DEFAULT_PORT = 6379

export interface ServerAddress {
  readonly transport: 'tcp' | 'tls' | 'unix'
  /** Name or IP address without brackets; empty for a unix socket. */
  readonly host: string
  readonly port: number
  /** Path of the unix socket; undefined otherwise. */
  readonly socketPath: string | undefined
  readonly db: number
  readonly username: string | undefined
  readonly password: string | undefined
  /** What a place was found by, without secrets; while it is not found yet, `host` is empty. */
  readonly label?: string | undefined
  /** The short name in it, for the names of files. */
  readonly name?: string | undefined
}

const SCHEMES: Readonly<Record<string, ServerAddress['transport']>> = {
  'redis:': 'tcp',
  'valkey:': 'tcp',
  'rediss:': 'tls',
  'valkeys:': 'tls',
  'unix:': 'unix',
  'redis+unix:': 'unix',
  'redis+socket:': 'unix',
}

/** True where the text can only mean a server, even if a file of that name exists. */
export function hasServerScheme(text: string): boolean {
  const scheme = /^([a-z+]+:)\/\//i.exec(text)?.[1]
  return scheme !== undefined && scheme.toLowerCase() in SCHEMES
}

/** Parses one of the forms above. Throws UsageError, whose message never repeats a password. */
export function parseServerAddress(text: string): ServerAddress {
  if (text === '') throw badAddress(text, 'is empty')
  const scheme = /^([a-z][a-z0-9+.-]*:)\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) return parseHostPort(text)
  const transport = SCHEMES[scheme]
  if (transport === undefined) {
    throw badAddress(
      text,
      `has the unknown scheme ${scheme}//`,
      'use redis://, rediss:// or unix://',
    )
  }
  return parseUrl(text, transport)
}

/** `a:1=b:2`: who says to be at a:1 is reached at b:2. Throws UsageError. */
export function parseAddressMap(
  texts: readonly string[],
): ReadonlyMap<string, { readonly host: string; readonly port: number }> {
  const map = new Map<string, { host: string; port: number }>()
  for (const text of texts) {
    const [from, to, ...more] = text.split('=')
    const hasPorts = [from, to].every((each) => /:\d{1,5}$/.test(each ?? ''))
    if (!hasPorts || more.length > 0) {
      throw new UsageError(`'${text}' maps no address to another`, {
        hint: 'write 10.0.0.5:7000=127.0.0.1:17000: as the server has it, then where it is reached',
      })
    }
    const known = parseHostPort(from!)
    const { host, port } = parseHostPort(to!)
    map.set(`${known.host}:${known.port}`, { host, port })
  }
  return map
}

/** For people and logs: `127.0.0.1:6379`, `[::1]:6379`, `rediss://host:6379`, `unix:///path`. */
export function formatServerAddress(address: ServerAddress): string {
  if (address.transport === 'unix') return `unix://${address.socketPath ?? ''}`
  if (address.host === '' && address.label !== undefined) return address.label
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  const of = address.name === undefined ? '' : ` (${address.name})`
  return `${address.transport === 'tls' ? 'rediss://' : ''}${host}:${address.port}${of}`
}

/**
 * Any text that may hold `user:password@`, with the password replaced by stars: up to the last @ of
 * the word, since a password may hold @, / and : itself.
 */
export function maskSecrets(text: string): string {
  return text.replace(/(^|\/\/|[\s'"(])([^/@\s:'"(]*):(?!\/\/)\S*@/g, '$1$2:***@')
}

/** The same of what is an address and nothing else: a password in it may hold blanks too. */
function maskAddress(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?([^:@/]*):(?!\/\/).*@/is, '$1$2:***@')
}

/** True where an address holds a password. */
export function holdsPassword(text: string): boolean {
  return maskAddress(text) !== text
}

function parseHostPort(text: string): ServerAddress {
  if (text.includes('@')) {
    throw badAddress(text, 'holds a user but no scheme', 'write redis://user:password@host:port')
  }
  const bracketed = /^\[([^\]]+)\](?::(.*))?$/.exec(text)
  if (bracketed !== null) return tcp(text, bracketed[1]!, bracketed[2])
  // Two colons and no brackets: an IPv6 address without a port.
  if (text.indexOf(':') !== text.lastIndexOf(':')) {
    if (!isIPv6(text)) {
      throw badAddress(text, 'has more than one colon', 'write host:port or [ipv6]:port')
    }
    return tcp(text, text, undefined)
  }
  const colon = text.indexOf(':')
  if (colon < 0) return tcp(text, text, undefined)
  return tcp(text, text.slice(0, colon), text.slice(colon + 1))
}

function tcp(text: string, host: string, port: string | undefined): ServerAddress {
  if (host === '') throw badAddress(text, 'names no host')
  if (/[\s/]/.test(host)) {
    const hint = text.startsWith('/') ? `a unix socket is written unix://${text}` : undefined
    throw badAddress(text, 'is no host name', hint)
  }
  return {
    transport: 'tcp',
    host,
    port: port === undefined ? DEFAULT_PORT : parsePort(text, port),
    socketPath: undefined,
    db: 0,
    username: undefined,
    password: undefined,
  }
}

// URL of node: is not used, since a password may hold characters that it refuses or re-encodes,
// and `redis://` is no special scheme to it.
function parseUrl(text: string, transport: ServerAddress['transport']): ServerAddress {
  const rest = text.slice(text.indexOf('//') + 2)
  // The password may hold an @ or a /; the host cannot. The last @ before the path is the divider.
  const at = userInfoEnd(rest, transport)
  const { username, password } = parseUserInfo(text, at < 0 ? undefined : rest.slice(0, at))
  const place = at < 0 ? rest : rest.slice(at + 1)
  const question = place.indexOf('?')
  const query = new URLSearchParams(question < 0 ? '' : place.slice(question + 1))
  const body = question < 0 ? place : place.slice(0, question)
  if (transport === 'unix') {
    if (!body.startsWith('/')) {
      throw badAddress(text, 'needs an absolute path', 'write unix:///run/redis.sock')
    }
    const db = parseDb(text, query.get('db') ?? '')
    const socketPath = decode(text, body)
    return { transport, host: '', port: 0, socketPath, db, username, password }
  }
  const slash = body.indexOf('/')
  const hostPort = slash < 0 ? body : body.slice(0, slash)
  const parsed = parseHostPort(hostPort === '' ? '127.0.0.1' : decode(text, hostPort))
  const db = parseDb(text, slash < 0 ? (query.get('db') ?? '') : body.slice(slash + 1))
  return { ...parsed, transport, db, username, password }
}

function userInfoEnd(rest: string, transport: ServerAddress['transport']): number {
  if (transport === 'unix') {
    return rest.startsWith('/') ? -1 : rest.indexOf('@/')
  }
  const at = rest.lastIndexOf('@')
  // An @ in the query is not ours.
  const question = rest.indexOf('?')
  if (question >= 0 && at > question) return rest.lastIndexOf('@', question)
  return at
}

function parseUserInfo(
  text: string,
  userInfo: string | undefined,
): { username: string | undefined; password: string | undefined } {
  if (userInfo === undefined) return { username: undefined, password: undefined }
  const colon = userInfo.indexOf(':')
  const user = decode(text, colon < 0 ? userInfo : userInfo.slice(0, colon))
  const password = colon < 0 ? undefined : decode(text, userInfo.slice(colon + 1))
  return { username: user === '' ? undefined : user, password }
}

function parsePort(text: string, port: string): number {
  const value = Number(port)
  if (!/^\d{1,5}$/.test(port) || value < 1 || value > 65_535) {
    throw badAddress(text, 'has no valid port', 'a port is a number from 1 to 65535')
  }
  return value
}

function parseDb(text: string, db: string): number {
  if (db === '') return 0
  if (!/^\d{1,9}$/.test(db)) throw badAddress(text, 'has no valid database number')
  return Number(db)
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw badAddress(text, 'holds a % that is no escape', 'write % in a password as %25')
  }
}

function badAddress(text: string, problem: string, hint?: string): UsageError {
  return new UsageError(`the address '${maskAddress(text)}' ${problem}`, { hint })
}
