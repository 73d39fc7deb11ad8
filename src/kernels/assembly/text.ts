/**
 * Text of numbers and strings, written by the kernels that make runs of output: decimals, scores,
 * insides of JSON strings, constants. All may write up to 16 bytes behind what they return.
 */
import { jsonEscape, jsonReplaced } from './json'

/** `00` … `99`. */
const PAIRS: usize = memory.data(200, 16)
/** 10^0 … 10^19. */
const POWERS: usize = memory.data(20 * 8, 16)

const MINUS: u32 = 0x2d
const POINT: u32 = 0x2e
const MAX_SAFE: i64 = 9007199254740991
/** Scores of up to so many decimals are written here; see src/rdb/values/score-text.ts. */
const DECIMALS: u32 = 5
const SCALE: f64 = 1e5
const MAX_SCALED: f64 = 1e15
/** Up to so many digits a decimal is the only one of its length for a double. */
const UNIQUE_DIGITS: u32 = 15
/** So many always give the same double back: `%.17g`. */
const EXACT_DIGITS: u32 = 17

/** Strings with U+FFFD in them, by all calls. */
let inexact: u32 = 0

export function stretchInexact(): u32 {
  return inexact
}

/** Takes back what was counted since. */
export function setInexact(count: u32): void {
  inexact = count
}

export function textInit(): void {
  for (let value: usize = 0; value < 100; value++) {
    store<u8>(PAIRS + value * 2, 0x30 + ((value / 10) as u8))
    store<u8>(PAIRS + value * 2, 0x30 + ((value % 10) as u8), 1)
  }
  let power: u64 = 1
  for (let index: usize = 0; index < 20; index++) {
    store<u64>(POWERS + index * 8, power)
    power *= 10
  }
}

/** bytes[from, from + size) to `to`, in vectors; returns where it ends. */
@inline
export function copy(from: usize, size: usize, to: usize): usize {
  for (let at: usize = 0; at < size; at += 16) v128.store(to + at, v128.load(from + at))
  return to + size
}

@inline
export function digitsOf(value: u64): u32 {
  let digits: u32 = 1
  while (digits < 20 && value >= load<u64>(POWERS + ((digits as usize) << 3))) digits++
  return digits
}

/** At most 20 digits. */
export function writeUnsigned(value: u64, to: usize): usize {
  if (value < 10) {
    store<u8>(to, 0x30 + (value as u8))
    return to + 1
  }
  return writeDigits(value, digitsOf(value), to)
}

export function writeSigned(value: i64, to: usize): usize {
  if (value >= 0) return writeUnsigned(value as u64, to)
  store<u8>(to, MINUS)
  return writeUnsigned(0 - (value as u64), to + 1)
}

/** Exactly so many digits, from the right. */
function writeDigits(value: u64, digits: u32, to: usize): usize {
  const end = to + (digits as usize)
  let at = end
  let rest = value
  while (rest > 0xffffffff) {
    const next = rest / 100
    at -= 2
    store<u16>(at, load<u16>(PAIRS + (((rest - next * 100) as usize) << 1)))
    rest = next
  }
  let small = rest as u32
  while (at - to >= 2) {
    const next = small / 100
    at -= 2
    store<u16>(at, load<u16>(PAIRS + (((small - next * 100) as usize) << 1)))
    small = next
  }
  if (at > to) store<u8>(at - 1, 0x30 + ((small % 10) as u8))
  return end
}

/** The inside of a JSON string; counts it if it is not UTF-8. */
@inline
export function writeText(at: usize, size: usize, to: usize): usize {
  if (size <= 16) {
    const bytes = v128.load(at)
    v128.store(to, bytes)
    // As in jsonEscape.
    const special = i8x16.bitmask(
      v128.or(
        i8x16.lt_s(bytes, i8x16.splat(0x20)),
        v128.or(i8x16.eq(bytes, i8x16.splat(0x22)), i8x16.eq(bytes, i8x16.splat(0x5c))),
      ),
    )
    if (special == 0 || (ctz(special) as usize) >= size) return to + size
  }
  return writeLongText(at, size, to)
}

function writeLongText(at: usize, size: usize, to: usize): usize {
  const before = jsonReplaced()
  const length = jsonEscape(at, size, to) as usize
  if (jsonReplaced() != before) inexact++
  return to + length
}

/** A score as src/formats/json-keys.ts writes it: where it ends, or 0 where that takes more. */
export function writeScore(score: f64, to: usize): usize {
  if (score == 0) {
    if (reinterpret<u64>(score) != 0) return 0
    store<u8>(to, 0x30)
    return to + 1
  }
  const scaled = nearest(score * SCALE)
  if (abs(scaled) < MAX_SCALED && scaled / SCALE == score) return writeScaled(scaled as i64, to)
  // Infinite ones end here too.
  if (abs(score) > (MAX_SAFE as f64) || floor(score) != score) return 0
  return writeSigned(score as i64, to)
}

/** scaled / 10^5 without zeros at its end. */
function writeScaled(scaled: i64, position: usize): usize {
  let to = position
  let rest = scaled as u64
  if (scaled < 0) {
    store<u8>(to++, MINUS)
    rest = 0 - rest
  }
  const whole = rest / 100000
  to = writeUnsigned(whole, to)
  let fraction = (rest - whole * 100000) as u32
  if (fraction == 0) return to
  let digits = DECIMALS
  while (fraction % 10 == 0) {
    fraction /= 10
    digits--
  }
  store<u8>(to, POINT)
  return writeDigits(fraction as u64, digits, to + 1)
}

/** An integer as a score. */
@inline
export function writeIntegerScore(value: i64, to: usize): usize {
  return value > MAX_SAFE || value < -MAX_SAFE ? 0 : writeSigned(value, to)
}

/**
 * The text of a score, as servers write it, as the shortest text of the same double: itself where
 * it has few digits, fewer where it is `%.17g` of a number with few decimals. 0: others must look.
 */
export function writeScoreText(from: usize, size: usize, to: usize): usize {
  if (size > 24) return 0
  const end = from + size
  let at = from
  if (at < end && load<u8>(at) == (MINUS as u8)) at++
  const wholeAt = at
  let value: u64 = 0
  let code: u32 = 0
  while (at < end && (code = (load<u8>(at) as u32) - 0x30) < 10) {
    value = value * 10 + (code as u64)
    at++
  }
  const whole = (at - wholeAt) as u32
  if (whole == 0 || whole > EXACT_DIGITS) return 0
  const isSmall = load<u8>(wholeAt) == 0x30
  if (isSmall && whole > 1) return 0
  if (at == end || load<u8>(at) != (POINT as u8)) return 0
  at++
  const fractionAt = at
  // Zeros between the point and the first digit that counts.
  let zeros: u32 = 0
  while (at < end && (code = (load<u8>(at) as u32) - 0x30) < 10) {
    value = value * 10 + (code as u64)
    if (value == 0) zeros++
    at++
  }
  if (at != end || at == fractionAt || load<u8>(end - 1) == 0x30) return 0
  const fraction = (at - fractionAt) as u32
  const digits = isSmall ? fraction - zeros : whole + fraction
  if (digits <= UNIQUE_DIGITS) {
    // Smaller ones are written with an exponent.
    if (zeros > 5) return 0
    return copy(from, size, to)
  }
  // So that all below fits 64 bits.
  if (digits > EXACT_DIGITS || whole > 10 || zeros > 2) return 0
  return writeRounded(value, digits, fraction, wholeAt != from, to)
}

/**
 * value / 10^fraction, of 16 or 17 digits, if that is what `%.17g` makes of the double nearest to
 * one with five decimals.
 */
function writeRounded(
  value: u64,
  digits: u32,
  fraction: u32,
  isNegative: bool,
  to: usize,
): usize {
  let exact = value
  let power = fraction
  if (digits < EXACT_DIGITS) {
    exact *= 10
    power++
  }
  // At most 10 digits stand before the point: 7 to 19 behind it.
  const unit = load<u64>(POWERS + (((power - DECIMALS) as usize) << 3))
  const scaled = (exact + unit / 2) / unit
  if ((scaled as f64) >= MAX_SCALED) return 0
  // Both are exact: the nearest double.
  const bits = reinterpret<u64>((scaled as f64) / SCALE)
  // It is mantissa / 2^shift, from 0.001 on and below 2^34.
  const shift = 1075 - (bits >> 52)
  if (shift < 1 || shift > 63) return 0
  const mantissa = (bits & 0xfffffffffffff) | 0x10000000000000
  // mantissa * 10^power, in two words.
  const factor = load<u64>(POWERS + ((power as usize) << 3))
  const low = (mantissa & 0xffffffff) * (factor & 0xffffffff)
  const middle = (mantissa >> 32) * (factor & 0xffffffff) + (low >> 32)
  const second = (mantissa & 0xffffffff) * (factor >> 32) + (middle & 0xffffffff)
  const high = (mantissa >> 32) * (factor >> 32) + (middle >> 32) + (second >> 32)
  const lower = (second << 32) | (low & 0xffffffff)
  const quotient = (high << (64 - shift)) | (lower >> shift)
  const rest = lower & (((1 as u64) << shift) - 1)
  const half = (1 as u64) << (shift - 1)
  const rounded = quotient + (rest > half || (rest == half && (quotient & 1) == 1) ? 1 : 0)
  if (rounded != exact) return 0
  return writeScaled(isNegative ? 0 - (scaled as i64) : (scaled as i64), to)
}
