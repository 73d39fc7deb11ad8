/** Pauses between attempts: doubling from half a second to half a minute, each shortened by a
 * random part so that many clients of one master do not come back in step. */

const FIRST_MS = 500
const LONGEST_MS = 30_000

/** Before attempt `attempt + 1`, where `attempt` (from 1) just failed. `random` in [0, 1). */
export function backoffMs(attempt: number, random: number): number {
  const fullMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 16))
  return Math.round(fullMs * (0.5 + random / 2))
}
