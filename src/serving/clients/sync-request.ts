/** What SYNC and PSYNC ask for. */
import type { Request } from './request-parser.js'

export type WantedSync =
  { kind: 'sync' | 'full' } | { kind: 'resume'; replid: string; replOffset: number }

/** An error line for what is wrong. `replOffset` is the next byte wanted. */
export function parseSync(name: string, request: Request): WantedSync | string {
  if (name === 'SYNC') return { kind: 'sync' }
  if (request.length === 4 && request[3]!.toString('latin1').toUpperCase() === 'FAILOVER') {
    return "ERR PSYNC FAILOVER can't be sent to a master."
  }
  if (request.length !== 3) return "ERR wrong number of arguments for 'psync' command"
  const replid = request[1]!.toString('latin1')
  const text = request[2]!.toString('latin1')
  const replOffset = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(replOffset)) return 'ERR value is not an integer or out of range'
  // Never continue a replica that says it has nothing: it would crash.
  if (replid === '?' || replOffset < 0) return { kind: 'full' }
  return { kind: 'resume', replid, replOffset }
}
