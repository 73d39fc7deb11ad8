/**
 * Scores written as text: in ziplists and listpacks, and in the ASCII doubles of type 3. What the
 * servers' strtod takes for a number, and nothing else.
 */
import type { Buffer } from 'node:buffer'

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
const INFINITE = /^([+-]?)inf(?:inity)?$/i

/** 10^k for the k for which it is exact in a double. */
const POWERS = Array.from({ length: 23 }, (_, k) => 10 ** k)

/** The number, or NaN where the text is none (`nan` is none either). */
export function parseScore(bytes: Buffer, start: number, end: number): number {
  // Up to 15 digits and a power of ten that a double holds: one division rounds correctly.
  let at = start
  const negative = bytes[at] === 0x2d
  if (negative) at += 1
  let value = 0
  let digits = 0
  let decimals = -1
  for (; at < end; at += 1) {
    const digit = bytes[at]! - 0x30
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit
      digits += 1
      if (decimals >= 0) decimals += 1
    } else if (digit === -2 && decimals < 0) {
      decimals = 0
    } else {
      return parseSlowly(bytes, start, end)
    }
  }
  if (digits === 0 || digits > 15) return parseSlowly(bytes, start, end)
  if (decimals > 0) value /= POWERS[decimals]!
  return negative ? -value : value
}

function parseSlowly(bytes: Buffer, start: number, end: number): number {
  if (end - start > 400) return Number.NaN
  const text = bytes.toString('latin1', start, end)
  if (NUMBER.test(text)) return Number(text)
  const infinite = INFINITE.exec(text)
  if (infinite === null) return Number.NaN
  return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}
