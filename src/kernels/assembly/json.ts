/**
 * Bytes to the inside of a JSON string, and to base64; from and to this module's memory.
 *
 * Reads up to 15 bytes behind its input and writes up to 16 behind its output: the memory ends with
 * that much slack, and a caller's output range has it (kernel.ts says how much).
 */

const BASE64_PAIRS: usize = memory.data(4096 * 2, 16)
/** For each byte below 0x20 the letter behind the backslash, or 0: \u00xx. */
const SHORT: usize = memory.data(32, 16)

/** Ill-formed pieces replaced so far, by all calls. */
let replaced: i32 = 0

export function jsonReplaced(): i32 {
  return replaced
}

export function jsonInit(): void {
  for (let value: u32 = 0; value < 4096; value++) {
    store<u16>(
      BASE64_PAIRS + (value << 1),
      (letter(value >> 6) as u16) | ((letter(value & 63) as u16) << 8),
    )
  }
  store<u8>(SHORT + 8, 0x62)
  store<u8>(SHORT + 9, 0x74)
  store<u8>(SHORT + 10, 0x6e)
  store<u8>(SHORT + 12, 0x66)
  store<u8>(SHORT + 13, 0x72)
}

function letter(value: u32): u32 {
  if (value < 26) return 65 + value
  if (value < 52) return 71 + value
  if (value < 62) return value - 4
  return value == 62 ? 43 : 47
}

/**
 * Writes what JSON.stringify makes of the bytes read as UTF-8, without the quotes: `"`, `\` and
 * control characters escaped, each maximal ill-formed piece one U+FFFD. Returns the bytes written,
 * at most 6 times `length`.
 */
export function jsonEscape(input: usize, length: usize, output: usize): i32 {
  const end = input + length
  const quote = i8x16.splat(0x22)
  const backslash = i8x16.splat(0x5c)
  const space = i8x16.splat(0x20)
  let at = input
  let to = output
  while (at < end) {
    const bytes = v128.load(at)
    v128.store(to, bytes)
    // As signed bytes the control characters and everything from 0x80 on are below the space.
    const special = i8x16.bitmask(
      v128.or(
        i8x16.lt_s(bytes, space),
        v128.or(i8x16.eq(bytes, quote), i8x16.eq(bytes, backslash)),
      ),
    )
    const plain: usize = special == 0 ? 16 : ctz(special)
    const left = end - at
    if (plain >= left) {
      to += left
      break
    }
    at += plain
    to += plain
    if (plain == 16) continue

    let byte = load<u8>(at) as u32
    if (byte < 0x80) {
      at++
      store<u8>(to++, 0x5c)
      if (byte >= 0x20) {
        store<u8>(to++, byte)
        continue
      }
      const short = load<u8>(SHORT + byte)
      if (short != 0) {
        store<u8>(to++, short)
        continue
      }
      store<u32>(to, 0x30303075) // u000
      const digit = byte & 15
      store<u8>(to + 3, 0x30 + (byte >> 4))
      store<u8>(to + 4, digit < 10 ? 0x30 + digit : 0x57 + digit)
      to += 5
      continue
    }
    // A run of characters beyond ASCII: one at a time, until the next ASCII byte.
    do {
      const size = characterSize(at, end)
      if (size < 0) {
        replaced++
        store<u16>(to, 0xbfef)
        store<u8>(to, 0xbd, 2)
        to += 3
        at -= size
      } else {
        store<u32>(to, load<u32>(at))
        to += size
        at += size
      }
      if (at >= end) break
      byte = load<u8>(at) as u32
    } while (byte >= 0x80)
  }
  return (to - output) as i32
}

/** Bytes of the well-formed character at `at` (2…4), or minus those of an ill-formed piece. */
function characterSize(at: usize, end: usize): i32 {
  const first = load<u8>(at) as u32
  if (first < 0xc2 || first > 0xf4) return -1
  const left = (end - at) as i32
  if (left < 2) return -1
  const second = load<u8>(at, 1) as u32
  if (first < 0xe0) return (second & 0xc0) == 0x80 ? 2 : -1
  let low: u32 = 0x80
  let high: u32 = 0xbf
  if (first == 0xe0) low = 0xa0
  else if (first == 0xed) high = 0x9f
  else if (first == 0xf0) low = 0x90
  else if (first == 0xf4) high = 0x8f
  if (second < low || second > high) return -1
  if (left < 3 || ((load<u8>(at, 2) as u32) & 0xc0) != 0x80) return -2
  if (first < 0xf0) return 3
  if (left < 4 || ((load<u8>(at, 3) as u32) & 0xc0) != 0x80) return -3
  return 4
}

/** Standard base64 with padding. Returns the bytes written: 4 for each 3 begun. */
export function base64Encode(input: usize, length: usize, output: usize): i32 {
  const end = input + length
  let at = input
  let to = output
  while (at + 6 <= end) {
    const bytes = bswap(load<u64>(at))
    store<u64>(
      to,
      pair((bytes >> 52) as usize) |
        (pair(((bytes >> 40) & 0xfff) as usize) << 16) |
        (pair(((bytes >> 28) & 0xfff) as usize) << 32) |
        (pair(((bytes >> 16) & 0xfff) as usize) << 48),
    )
    at += 6
    to += 8
  }
  while (at + 3 <= end) {
    const bytes =
      ((load<u8>(at) as u32) << 16) | ((load<u8>(at, 1) as u32) << 8) | (load<u8>(at, 2) as u32)
    store<u32>(to, (pair(bytes >> 12) | (pair(bytes & 0xfff) << 16)) as u32)
    at += 3
    to += 4
  }
  const left = end - at
  if (left == 0) return (to - output) as i32
  const bytes = ((load<u8>(at) as u32) << 16) | (left == 2 ? (load<u8>(at, 1) as u32) << 8 : 0)
  store<u32>(to, (pair(bytes >> 12) | (pair(bytes & 0xfff) << 16)) as u32)
  store<u8>(to, 0x3d, 3)
  if (left == 1) store<u8>(to, 0x3d, 2)
  return (to + 4 - output) as i32
}

@inline
function pair(value: usize): u64 {
  return load<u16>(BASE64_PAIRS + (value << 1)) as u64
}
