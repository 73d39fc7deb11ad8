/**
 * Bytes to the inside of a JSON string, and to base64; from and to this module's memory.
 *
 * Reads up to 15 bytes behind its input and writes up to 16 behind its output: the memory ends with
 * that much slack, and a caller's output range has it (kernel.ts says how much).
 */

const BASE64_PAIRS: usize = memory.data(4096 * 2, 16)
/** For each byte below 0x20 the letter behind the backslash, or 0: \u00xx. */
const SHORT: usize = memory.data(32, 16)
/**
 * For each byte what it becomes where it begins no character: up to six bytes of text, and in the last one
 * their number.
 */
const TEXTS: usize = memory.data(256 * 8, 16)
/** For each set of eight bytes, as bits: which to take where the set gets a backslash each, 8 for that. */
const SPREADS: usize = memory.data(256 * 16, 16)
const BACKSLASHES: i64 = 0x5c5c5c5c5c5c5c5c
/** Behind an ill-formed piece it is no text: so many bytes are taken without asking what each is. */
const NO_TEXT_BYTES: usize = 64

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
  for (let byte: u32 = 0; byte < 256; byte++) {
    textInit(byte)
    spreadInit(byte)
  }
}

function spreadInit(escaped: u32): void {
  let to = SPREADS + (escaped << 4)
  for (let index: u32 = 0; index < 8; index++) {
    if (((escaped >> index) & 1) != 0) store<u8>(to++, 8)
    store<u8>(to++, index)
  }
}

function textInit(byte: u32): void {
  const at = TEXTS + (byte << 3)
  if (byte >= 0x80) {
    store<u64>(at, 0x0300_0000_00bd_bfef)
    return
  }
  const short = byte < 0x20 ? load<u8>(SHORT + byte) : 0
  if (short != 0 || byte == 0x22 || byte == 0x5c) {
    store<u64>(at, 0x0200_0000_0000_005c | ((short != 0 ? short : byte) as u64) << 8)
  } else if (byte < 0x20) {
    const digit = byte & 15
    const hex = (0x30 + (byte >> 4)) | ((digit < 10 ? 0x30 + digit : 0x57 + digit) << 8)
    store<u64>(at, 0x0600_0000_3030_755c | ((hex as u64) << 32))
  } else {
    store<u64>(at, 0x0100_0000_0000_0000 | (byte as u64))
  }
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
    const odd = i8x16.bitmask(i8x16.lt_s(bytes, space))
    const escaped = i8x16.bitmask(v128.or(i8x16.eq(bytes, quote), i8x16.eq(bytes, backslash)))
    const left = end - at
    if (odd == 0 && escaped != 0 && left >= 16) {
      to = spread(i64x2.replace_lane(bytes, 1, BACKSLASHES), escaped & 0xff, to)
      const second = v128.shuffle<u64>(bytes, bytes, 1, 1)
      to = spread(i64x2.replace_lane(second, 1, BACKSLASHES), escaped >> 8, to)
      at += 16
      continue
    }
    const special = odd | escaped
    const plain: usize = special == 0 ? 16 : ctz(special)
    if (plain >= left) {
      to += left
      break
    }
    at += plain
    to += plain
    if (plain == 16) continue

    const byte = load<u8>(at) as u32
    if (byte < 0x80) {
      const text = load<u64>(TEXTS + ((byte as usize) << 3))
      store<u64>(to, text)
      to += (text >> 56) as usize
      at++
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
        if (at + NO_TEXT_BYTES + 16 > end) continue
        to = escapeEach(at, NO_TEXT_BYTES, end, to)
        at = eachEnd
        break
      }
      store<u32>(to, load<u32>(at))
      to += size
      at += size
    } while (at < end && load<u8>(at) >= 0x80)
  }
  return (to - output) as i32
}

/** Eight bytes, with a backslash before each of the set. */
@inline
function spread(bytes: v128, escaped: i32, output: usize): usize {
  v128.store(output, i8x16.swizzle(bytes, v128.load(SPREADS + ((escaped as usize) << 4))))
  return output + 8 + (popcnt(escaped) as usize)
}

/** Where `escapeEach` stopped. */
let eachEnd: usize = 0

/**
 * So many bytes, and the rest of a character that lies across their end; `end` is behind that. What comes
 * next cannot be foretold in such bytes: so nothing depends on it but where a character may begin.
 */
function escapeEach(input: usize, length: usize, end: usize, output: usize): usize {
  let at = input
  let to = output
  for (const until = input + length; at < until;) {
    // Which of 16 may be the first of a character, with what may follow such a one behind it.
    const bytes = v128.load(at)
    const firsts = i8x16.ge_u(bytes, i8x16.splat(0xc2 as i8))
    const follow = i8x16.lt_s(v128.load(at, 1), i8x16.splat(-64))
    const characters = i8x16.bitmask(v128.and(firsts, follow))
    const none: usize = characters == 0 ? 16 : ctz(characters)
    replaced += popcnt(i8x16.bitmask(bytes) & ((1 << (none as i32)) - 1))
    for (const next = at + none; at < next; at++) {
      const text = load<u64>(TEXTS + ((load<u8>(at) as usize) << 3))
      store<u64>(to, text)
      to += (text >> 56) as usize
    }
    if (characters == 0) continue
    const size = characterSize(at, end)
    if (size < 0) {
      replaced++
      store<u32>(to, 0xbdbfef)
      to += 3
      at -= size
    } else {
      store<u32>(to, load<u32>(at))
      to += size
      at += size
    }
  }
  eachEnd = at
  return to
}

/** Bytes of the well-formed character at `at` (2…4), or minus those of an ill-formed piece. */
@inline
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
