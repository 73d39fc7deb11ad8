/** So long a target that is a cluster may be away: a failover takes some seconds, a restart more. */
const AWAY_MS = 60_000

/** @param retries none: nothing is waited for */
export function awayMs(retries: number): number {
  return retries === 0 ? 0 : AWAY_MS
}
