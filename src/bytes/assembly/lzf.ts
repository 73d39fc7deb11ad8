/**
 * LZF both ways, on bytes in this module's memory; tokens as in lzf-plain.ts. Copies go 16 bytes at
 * a time where both ranges have room for them: what a copy writes too far is inside the output's
 * own range and written over by the next token. Never outside the ranges, whatever the bytes say.
 */

const WINDOW: usize = 8192
const LONGEST_MATCH: usize = 264
const HASH_BITS: u32 = 14
const HASH: usize = memory.data(4 << 14, 16)

/** What the tokens hold is damaged: a token cut off, or a copy from before the beginning. */
const BAD: i32 = -1
/** The tokens hold more than there is room for. */
const TOO_LONG: i32 = -2

/** Row d (1…15): where each of 16 bytes comes from when d bytes are repeated. */
const REPEAT: usize = memory.data(16 * 16, 16)

export function lzfInit(): void {
  for (let distance: usize = 1; distance < 16; distance++) {
    for (let lane: usize = 0; lane < 16; lane++) {
      store<u8>(REPEAT + (distance << 4) + lane, (lane % distance) as u8)
    }
  }
}

/**
 * Decompresses `length` bytes at `input` to `output`, at most `room` bytes; with `prefix` it stops
 * there, without it more is TOO_LONG. Returns the bytes written, BAD or TOO_LONG.
 */
export function lzfDecompress(
  input: usize,
  length: usize,
  output: usize,
  room: usize,
  prefix: bool,
): i32 {
  const end = input + length
  const outEnd = output + room
  let at = input
  let to = output
  while (at < end) {
    if (prefix && to >= outEnd) break
    const control = load<u8>(at++) as usize
    if (control < 32) {
      let count = control + 1
      if (count > end - at) return BAD
      if (at + 32 <= end && to + 32 <= outEnd) {
        v128.store(to, v128.load(at))
        v128.store(to, v128.load(at, 16), 16)
      } else {
        if (count > outEnd - to) {
          if (!prefix) return TOO_LONG
          count = outEnd - to
        }
        for (let i: usize = 0; i < count; i++) store<u8>(to + i, load<u8>(at + i))
      }
      at += count
      to += count
      continue
    }
    let count = control >> 5
    if (count == 7) {
      if (at >= end) return BAD
      count += load<u8>(at++) as usize
    }
    if (at >= end) return BAD
    count += 2
    const distance = (((control & 31) << 8) | (load<u8>(at++) as usize)) + 1
    if (distance > to - output) return BAD
    if (count > outEnd - to) {
      if (!prefix) return TOO_LONG
      count = outEnd - to
    }
    const stop = to + count
    // Rounded up to whole vectors a copy may reach 15 bytes beyond its end.
    if (stop + 16 <= outEnd) {
      if (distance >= 16) {
        while (to < stop) {
          v128.store(to, v128.load(to - distance))
          to += 16
        }
      } else {
        const pattern = v128.swizzle(v128.load(to - distance), v128.load(REPEAT + (distance << 4)))
        const step: usize = 16 - ((16 as usize) % distance)
        while (to < stop) {
          v128.store(to, pattern)
          to += step
        }
      }
      to = stop
    } else {
      while (to < stop) {
        store<u8>(to, load<u8>(to - distance))
        to++
      }
    }
  }
  return (to - output) as i32
}

/** Returns the bytes written to output[0, room), or 0 when they do not fit. */
export function lzfCompress(input: usize, length: usize, output: usize, room: usize): i32 {
  // A short input gets a short table: clearing it would cost more than the compression.
  let bits: u32 = 8
  while (bits < HASH_BITS && ((1 as u32) << bits) < (length as u32)) bits++
  memory.fill(HASH, 0, 4 << bits)
  const shift = 32 - bits
  const end = input + length
  const outEnd = output + room
  let at = input
  let to = output
  let literals = input
  while (at + 3 <= end) {
    const sequence = ((load<u16>(at) as u32) << 8) | (load<u8>(at, 2) as u32)
    const cell = HASH + (((sequence * 0x9e3779b1) >> shift) << 2)
    // Distances from the input's start, plus one; 0: none yet.
    const seen = load<u32>(cell) as usize
    store<u32>(cell, (at - input + 1) as u32)
    const candidate = input + seen - 1
    if (
      seen == 0 ||
      at - candidate > WINDOW ||
      load<u16>(candidate) != load<u16>(at) ||
      load<u8>(candidate, 2) != load<u8>(at, 2)
    ) {
      at++
      continue
    }
    const most = min(LONGEST_MATCH, end - at)
    let count: usize = 3
    while (count + 8 <= most && load<u64>(candidate + count) == load<u64>(at + count)) count += 8
    while (count < most && load<u8>(candidate + count) == load<u8>(at + count)) count++
    to = putLiterals(literals, at, to, outEnd)
    if (to == 0 || to + 3 > outEnd) return 0
    const back = at - candidate - 1
    const code = count - 2
    if (code < 7) {
      store<u8>(to++, (code << 5) | (back >> 8))
    } else {
      store<u8>(to++, 0xe0 | (back >> 8))
      store<u8>(to++, code - 7)
    }
    store<u8>(to++, back)
    at += count
    literals = at
  }
  to = putLiterals(literals, end, to, outEnd)
  return to == 0 ? 0 : ((to - output) as i32)
}

/** The position behind the literal runs, or 0 when they do not fit. */
function putLiterals(from: usize, end: usize, to: usize, outEnd: usize): usize {
  while (from < end) {
    const count = min<usize>(32, end - from)
    if (to + 1 + count > outEnd) return 0
    store<u8>(to, count - 1)
    memory.copy(to + 1, from, count)
    to += 1 + count
    from += count
  }
  return to
}

/**
 * What the tokens of `length` bytes add up to, or -1 when one is cut off or points before the
 * beginning. Writes nothing. As f64, since it may be more than 2^31.
 */
export function lzfLength(input: usize, length: usize): f64 {
  const end = input + length
  let at = input
  let total: u64 = 0
  let bad: u32 = 0
  // Which token comes next cannot be guessed, so there is no branch on it: each is reckoned as both
  // kinds. Reads up to two bytes too far.
  while (at < end) {
    const control = load<u8>(at) as u32
    const next = load<u8>(at, 1) as u32
    const isMatch = control >= 32
    const isLong = control >= 224
    const back = select<u32>(load<u8>(at, 2) as u32, next, isLong)
    const distance = (((control & 31) << 8) | back) + 1
    bad |= (isMatch as u32) & (((distance as u64) > total) as u32)
    const matched = (control >> 5) + 2 + select<u32>(next, 0, isLong)
    total += select<u32>(matched, control + 1, isMatch) as u64
    at += select<u32>(2 + (isLong as u32), control + 2, isMatch) as usize
  }
  return at == end && bad == 0 ? (total as f64) : -1
}
