/**
 * `proof-<time>.json` beside a backup: that a server has loaded it, and held exactly what is in it. Its
 * name alone tells when, so that a list needs to open none.
 */
import { idTime, timeOfIdTime } from './record.js'

export interface Proof {
  /** ISO 8601, UTC. */
  provenAt: string
  /** Of the backup. */
  id: string
  /** What loaded it, such as `redis-server 7.0.15`. */
  server: string
  keys: number
  /** Of these, gone by their time since. */
  expired: number
  /** From the stored bytes to a server that answers: fetched, unpacked, loaded. */
  restoreMs: number
  compareMs: number
  /** Of an archive: the second, ISO 8601, or `offset:N`. */
  moment?: string
}

const NAME = /^proof-(\d{8}T\d{6}Z)\.json$/

export function proofName(at: Date): string {
  return `proof-${idTime(at)}.json`
}

/** Unix ms of the newest of these files that is a proof. */
export function newestProof(names: readonly string[]): number | undefined {
  const times = names.flatMap((name) => timeOfIdTime(NAME.exec(name)?.[1] ?? '') ?? [])
  return times.length === 0 ? undefined : Math.max(...times)
}
