/** Scores as text that servers read: the shortest that gives the same double, `inf`, `-inf`. */
import type { Buffer } from 'node:buffer'

/** Writes the score to out[at]; returns the length (at most 25 bytes). */
export function writeScore(out: Buffer, at: number, score: number): number {
  if (score === Infinity) return out.write('inf', at, 'latin1')
  if (score === -Infinity) return out.write('-inf', at, 'latin1')
  return out.write(Object.is(score, -0) ? '-0' : String(score), at, 'latin1')
}
