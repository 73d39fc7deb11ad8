/**
 * Who may connect: where we listen without asking more, and how many and how fast.
 *
 *   loopback                         nothing is asked for
 *   private networks                 a password
 *   anything else, all addresses     a password and TLS
 *
 * `--unprotected` waives both. A replica is given every key: an open port is a copy for anybody.
 */
import { isIP, BlockList } from 'node:net'
import { UsageError } from '../../errors.js'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

const PRIVATE = new BlockList()
PRIVATE.addSubnet('10.0.0.0', 8)
PRIVATE.addSubnet('172.16.0.0', 12)
PRIVATE.addSubnet('192.168.0.0', 16)
PRIVATE.addSubnet('169.254.0.0', 16)
PRIVATE.addSubnet('fc00::', 7, 'ipv6')
PRIVATE.addSubnet('fe80::', 10, 'ipv6')

export type Reach = 'loopback' | 'private' | 'public'

/** Names other than localhost count as public: what they resolve to may change. */
export function reachOf(host: string): Reach {
  if (host === 'localhost') return 'loopback'
  const version = isIP(host)
  if (version === 0) return 'public'
  const family = version === 6 ? 'ipv6' : 'ipv4'
  if (LOOPBACK.check(host, family)) return 'loopback'
  return PRIVATE.check(host, family) ? 'private' : 'public'
}

/** Throws UsageError where the address needs what is not configured. */
export function checkExposure(
  host: string,
  has: { password: boolean; tls: boolean; unprotected: boolean },
): void {
  if (has.unprotected) return
  const reach = reachOf(host)
  if (reach === 'loopback') return
  if (!has.password) {
    throw new UsageError(`listening on ${host} without a password gives the data to anybody`, {
      hint: 'use `password`, listen on 127.0.0.1, or say `unprotected`',
    })
  }
  if (reach === 'public' && !has.tls) {
    throw new UsageError(`listening on ${host} without TLS sends password and data in clear`, {
      hint: 'use `tls.certFile` and `tls.keyFile`, listen on a private address, or say `unprotected`',
    })
  }
}

/** A token bucket: `perSecond` on average, twice that at once. */
export class RateLimit {
  readonly #perSecond: number
  #tokens: number
  #filledMs: number

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond
    this.#tokens = perSecond * 2
    this.#filledMs = nowMs
  }

  /** False where this one is too many. */
  take(nowMs: number): boolean {
    const gained = ((nowMs - this.#filledMs) / 1000) * this.#perSecond
    this.#tokens = Math.min(this.#perSecond * 2, this.#tokens + gained)
    this.#filledMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
