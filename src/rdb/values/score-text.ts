/** Scores as text that servers read: the shortest that gives the same double, `inf`, `-inf`. */
import type { Buffer } from 'node:buffer'

/** Most scores are decimals of few digits: these are written without making a string. */
const MAX_DECIMALS = 5
const SCALE = 1e5
/** Up to 15 digits a decimal is the only one of its length for a double. */
const MAX_SCALED = 1e15
const MINUS = 45
const POINT = 46
const DIGIT_0 = 48

/** Writes the score to out[at]; returns the length (at most 25 bytes). */
export function writeScore(out: Buffer, at: number, score: number): number {
  const scaled = Math.round(score * SCALE)
  const isShort = scaled !== 0 && scaled < MAX_SCALED && scaled > -MAX_SCALED
  if (isShort && scaled / SCALE === score) {
    return writeScaled(out, at, scaled) - at
  }
  if (score === Infinity) return out.write('inf', at, 'latin1')
  if (score === -Infinity) return out.write('-inf', at, 'latin1')
  return out.write(Object.is(score, -0) ? '-0' : String(score), at, 'latin1')
}

function writeScaled(out: Buffer, position: number, scaled: number): number {
  let at = position
  let rest = scaled
  if (rest < 0) {
    out[at++] = MINUS
    rest = -rest
  }
  const whole = Math.floor(rest / SCALE)
  at = writeWhole(out, at, whole)
  let fraction = rest - whole * SCALE
  if (fraction === 0) return at
  let digits = MAX_DECIMALS
  while (fraction % 10 === 0) {
    fraction /= 10
    digits -= 1
  }
  out[at] = POINT
  for (let to = at + digits; to > at; to -= 1) {
    const tenth = (fraction / 10) | 0
    out[to] = DIGIT_0 + fraction - 10 * tenth
    fraction = tenth
  }
  return at + 1 + digits
}

/** Below 10^10. */
function writeWhole(out: Buffer, at: number, value: number): number {
  let digits = 1
  for (let limit = 10; value >= limit; limit *= 10) digits += 1
  let rest = value
  for (let to = at + digits - 1; to >= at; to -= 1) {
    const tenth = Math.floor(rest / 10)
    out[to] = DIGIT_0 + rest - 10 * tenth
    rest = tenth
  }
  return at + digits
}
