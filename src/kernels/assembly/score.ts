/** Scores written as text, as src/rdb/values/score.ts reads them: those that servers write most. */

const MINUS: u8 = 0x2d
const POINT: u32 = 0xfffffffe
/** Digits that count, and digits behind the point: what is reckoned with them fits 63 bits. */
const MOST_DIGITS: u32 = 18
/** They, a sign, a point and some zeros in front. */
const MOST_BYTES: usize = 24
const MAX_EXACT: u64 = 9007199254740992
const LEAST_MANTISSA: i64 = 1 << 52

/** 10^0 … 10^18. */
const POWERS: usize = memory.data(19 * 8, 16)

/** Whether `readScore` could read it. */
export let scoreIsKnown: bool = false

export function scoreInit(): void {
  let power: u64 = 1
  for (let index: usize = 0; index < 19; index++) {
    store<u64>(POWERS + index * 8, power)
    power *= 10
  }
}

/** [-] digits [. digits]: the double nearest to it. */
export function readScore(from: usize, size: usize): f64 {
  const end = from + size
  let at = from
  scoreIsKnown = false
  if (size > MOST_BYTES) return 0
  const negative = at < end && load<u8>(at) == MINUS
  if (negative) at++
  let value: u64 = 0
  /** Of any kind, and without zeros in front. */
  let any = false
  let digits: u32 = 0
  let decimals: u32 = 0
  let behind: u32 = 0
  for (; at < end; at++) {
    const digit = (load<u8>(at) as u32) - 0x30
    if (digit < 10) {
      value = value * 10 + (digit as u64)
      any = true
      if (value != 0) digits++
      decimals += behind
    } else if (digit == POINT && behind == 0) {
      behind = 1
    } else {
      return 0
    }
  }
  if (!any || digits > MOST_DIGITS || decimals > MOST_DIGITS) return 0
  let number = value as f64
  if (decimals > 0 && value != 0) {
    const power = load<u64>(POWERS + ((decimals as usize) << 3))
    number /= power as f64
    // One division of two exact numbers rounds correctly.
    if (value > MAX_EXACT) {
      number = nearest(number, value, power)
      if (number == 0) return 0
    }
  }
  scoreIsKnown = true
  return negative ? -number : number
}

/**
 * The double nearest to value / power, by one that is next to it at most a few steps: mantissa /
 * 2^shift. What is left of value * 2^shift above mantissa * power is small, so 64 bits of it do.
 */
function nearest(guess: f64, value: u64, power: u64): f64 {
  const bits = reinterpret<u64>(guess)
  const shift = 1075 - (bits >> 52)
  if ((shift as i64) < 1) return 0
  const first = ((bits & 0xfffffffffffff) | 0x10000000000000) as i64
  let mantissa = first
  const step = power as i64
  const scaled = shift > 63 ? 0 : value << shift
  let rest = (scaled - (mantissa as u64) * power) as i64
  while (2 * rest > step) {
    mantissa++
    rest -= step
  }
  while (2 * rest < -step) {
    mantissa--
    rest += step
  }
  if (abs(2 * rest) == step && (mantissa & 1) == 1) mantissa += rest > 0 ? 1 : -1
  // At a power of two the steps change.
  if (mantissa <= LEAST_MANTISSA || mantissa >= 2 * LEAST_MANTISSA) return 0
  return reinterpret<f64>(bits + ((mantissa - first) as u64))
}
