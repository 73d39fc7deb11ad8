/** What the kernels that read records share of the RDB format: opcodes, lengths, attributes, numbers. */
import { LZF_MAX_EXPANSION } from '../abi'

const IDLE: u32 = 0xf8
export const FREQ: u32 = 0xf9
export const EXPIRY_MS: u32 = 0xfc
const EXPIRY_S: u32 = 0xfd

/** `HYLL`, and the shortest value that begins so. */
export const HLL_MAGIC: u32 = 0x4c4c5948
export const HLL_MIN_BYTES: u32 = 16

/** 10^n; of n = 0 it is 0, since 0 has a digit too. */
const POWERS: usize = memory.data(20 << 3, 16)
/** Of n = 0 to 16, 16 bytes of which the first n are 0xff. */
export const MASKS: usize = memory.data(17 << 4, 16)

export function formatInit(): void {
  store<u64>(POWERS, 0)
  let power: u64 = 1
  for (let exponent: usize = 1; exponent < 20; exponent++) {
    power *= 10
    store<u64>(POWERS + (exponent << 3), power)
  }
  for (let count: usize = 0; count <= 16; count++) {
    for (let at: usize = 0; at < 16; at++) {
      store<u8>(MASKS + (count << 4) + at, at < count ? 0xff : 0)
    }
  }
}

/** What `passAttributes` found. */
export let expires: bool = false
/** Unix ms. */
export let expireAtMs: i64 = -1

/**
 * Attributes in front of a key, an expiry before idle time or frequency, each at most once. Returns
 * where the type byte should be, or 0. Reads up to 16 bytes.
 */
@inline
export function passAttributes(from: usize): usize {
  let at = from
  let opcode = load<u8>(at) as u32
  expires = false
  expireAtMs = -1
  if (opcode == EXPIRY_MS) {
    expireAtMs = load<i64>(at, 1)
    expires = true
    at += 9
    opcode = load<u8>(at) as u32
  } else if (opcode == EXPIRY_S) {
    expireAtMs = (load<i32>(at, 1) as i64) * 1000
    expires = true
    at += 5
    opcode = load<u8>(at) as u32
  }
  if (opcode == FREQ) {
    at += 2
  } else if (opcode == IDLE) {
    const first = load<u8>(at, 1) as u32
    if (first > 0x80) return 0
    at += 1 + lengthSize(first)
  }
  return at
}

/** Bytes of a LEN of up to 32 bits, whose first byte is at most 0x80. */
@inline
export function lengthSize(first: u32): usize {
  return first < 0x40 ? 1 : first < 0x80 ? 2 : 5
}

/** What it says. */
@inline
export function lengthAt(at: usize, first: u32): u32 {
  if (first < 0x40) return first
  if (first < 0x80) return ((first & 0x3f) << 8) | (load<u8>(at, 1) as u32)
  return bswap<u32>(load<u32>(at, 1))
}

/** Of the compressed string that `openCompressed` found: its tokens, and what they claim to be. */
export let compressedSize: u32 = 0
export let plainSize: u32 = 0

/** Where the tokens of a compressed STR begin, or 0. Reads up to 11 bytes. */
export function openCompressed(from: usize): usize {
  let at = from + 1
  let first = load<u8>(at) as u32
  if (first > 0x80) return 0
  compressedSize = lengthAt(at, first)
  at += lengthSize(first)
  first = load<u8>(at) as u32
  if (first > 0x80) return 0
  plainSize = lengthAt(at, first)
  at += lengthSize(first)
  return (plainSize as u64) > (LZF_MAX_EXPANSION as u64) * (compressedSize as u64) ? 0 : at
}

/** Length of the decimal text. */
export function digits(value: i64): u32 {
  let sign: u32 = 0
  let rest = value as u64
  if (value < 0) {
    sign = 1
    rest = 0 - rest
  }
  // log10 from log2, one too few where the next power of ten is reached.
  const guess = (((64 - clz<u64>(rest | 1)) as u32) * 1233) >> 12
  return sign + guess + ((rest >= load<u64>(POWERS + ((guess as usize) << 3))) as u32)
}

/** Canonical decimal text of a signed 64-bit number, as src/rdb/values/object-encoding.ts has it. */
@inline
export function isInteger(from: usize, size: usize): bool {
  const first = (load<u8>(from) as u32) - 0x30
  return (first < 10 || first == MINUS_CODE) && size - 1 < 20 && isCanonical(from, size)
}

/** `-` counted from `0`. */
const MINUS_CODE: u32 = 0xfffffffd

function isCanonical(from: usize, size: usize): bool {
  const negative = load<u8>(from) == 0x2d
  const start = negative ? from + 1 : from
  const end = from + size
  const count = end - start
  if (count == 0 || count > 19) return false
  if (load<u8>(start) == 0x30 && (count > 1 || negative)) return false
  let value: u64 = 0
  for (let at = start; at < end; at++) {
    const digit = (load<u8>(at) as u32) - 0x30
    if (digit > 9) return false
    value = value * 10 + (digit as u64)
  }
  return value <= (negative ? 0x8000000000000000 : 0x7fffffffffffffff)
}
