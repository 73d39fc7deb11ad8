/**
 * `redis-sentinel://[user[:password]@]host[:port][,host[:port]…][/db][?replica]#master`: the master
 * that Sentinels watch under a name. `rediss-sentinel://` is the same over TLS, to Sentinels and
 * servers; `valkey-sentinel://` too. User and password are those of the servers.
 */
import { parseServerAddress, type ServerAddress } from '../net/address.js'
import { maskSecrets } from '../net/address.js'
import { UsageError } from '../errors.js'

export const SENTINEL_PORT = 26379

export interface SentinelAddress {
  /** Where Sentinels are; at least one. */
  readonly sentinels: readonly { readonly host: string; readonly port: number }[]
  /** The name under which they watch the master. */
  readonly master: string
  readonly isTls: boolean
  readonly wants: 'master' | 'replica'
  readonly db: number
  readonly username: string | undefined
  readonly password: string | undefined
}

const SCHEME = /^(redis|valkey)(s?)-sentinel:\/\//i

export function isSentinelAddress(text: string): boolean {
  return SCHEME.test(text)
}

/** Throws UsageError. */
export function parseSentinelAddress(text: string): SentinelAddress {
  const scheme = SCHEME.exec(text)
  if (scheme === null) throw wrong(text, 'is none of Sentinels')
  const hash = text.lastIndexOf('#')
  const master = hash < 0 ? '' : decodeURIComponent(text.slice(hash + 1))
  if (master === '') throw wrong(text, 'names no master', 'write redis-sentinel://host:26379#NAME')
  const body = text.slice(scheme[0].length, hash)
  const at = body.lastIndexOf('@')
  const places = body.slice(at + 1)
  const tail = /[/?].*$/s.exec(places)?.[0] ?? ''
  const hosts = places.slice(0, places.length - tail.length).split(',')
  // The rest of it is an address of a server as any: one reading of users, passwords and numbers.
  const parsed = hosts.map((host) =>
    parseServerAddress(`redis://${at < 0 ? '' : `${body.slice(0, at)}@`}${host}${tail}`),
  )
  const first = parsed[0]!
  const wish = new URLSearchParams(/\?(.*)$/s.exec(tail)?.[1] ?? '')
  return {
    sentinels: parsed.map(({ host, port }, index) => ({
      host,
      port: /:\d+$/.test(hosts[index]!) ? port : SENTINEL_PORT,
    })),
    master,
    isTls: scheme[2] !== '',
    wants: wish.has('replica') ? 'replica' : 'master',
    db: first.db,
    username: first.username,
    password: first.password,
  }
}

/** Without secrets, and the same whoever is the master now. */
export function formatSentinelAddress(address: SentinelAddress): string {
  const places = address.sentinels.map(({ host, port }) => {
    return `${host.includes(':') ? `[${host}]` : host}:${port}`
  })
  const replica = address.wants === 'replica' ? '?replica' : ''
  const scheme = address.isTls ? 'rediss-sentinel' : 'redis-sentinel'
  return `${scheme}://${places.join(',')}${replica}#${address.master}`
}

/** As long as nobody has been asked: no host yet. */
export function unlocated(address: SentinelAddress): ServerAddress {
  return {
    transport: address.isTls ? 'tls' : 'tcp',
    host: '',
    port: 0,
    socketPath: undefined,
    db: address.db,
    username: address.username,
    password: address.password,
    label: formatSentinelAddress(address),
    name: address.master,
  }
}

function wrong(text: string, problem: string, hint?: string): UsageError {
  return new UsageError(`the address '${maskSecrets(text)}' ${problem}`, { hint })
}
