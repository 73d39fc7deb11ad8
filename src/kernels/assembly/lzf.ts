/**
 * LZF both ways, on bytes in this module's memory; tokens as in lzf-plain.ts. Copies go 16 bytes at
 * a time where both ranges have room for them: what a copy writes too far is inside the output's
 * own range and written over by the next token. Never outside the ranges, whatever the bytes say.
 */
import {
  LZF_BAD,
  LZF_TOO_LONG,
} from '../abi'

const WINDOW: usize = 8192
const LONGEST_MATCH: usize = 264
const HASH_BITS: u32 = 14
const HASH: usize = memory.data(4 << 14, 16)

/** What the tokens hold is damaged: a token cut off, or a copy from before the beginning. */
const BAD: i32 = LZF_BAD
/** The tokens hold more than there is room for. */
const TOO_LONG: i32 = LZF_TOO_LONG

/** What a literal run and a short match may read and write together. */
const PAIR_INPUT: usize = 36
const PAIR_OUTPUT: usize = 48

/** Entry d (1…15): where each of 16 bytes comes from when d bytes are repeated. */
const REPEAT: usize = memory.data(16 * 16, 16)

/** By the first byte of a token: how long it is, what it gives, and whether a length follows. */
const TOKENS: usize = memory.data(256 * 4, 16)
const TOKEN_SIZE: u32 = 0xff
const TOKEN_GIVES_SHIFT: u32 = 8
const TOKEN_GIVES: u32 = 0xff
const TOKEN_LONG_SHIFT: u32 = 24

export function lzfInit(): void {
  for (let control: u32 = 0; control < 256; control++) {
    const isMatch = control >= 32
    const isLong = control >= 224
    const size: u32 = isLong ? 3 : isMatch ? 2 : control + 2
    const gives: u32 = isMatch ? (control >> 5) + 2 : control + 1
    const long: u32 = isLong ? 0xff : 0
    store<u32>(
      TOKENS + ((control as usize) << 2),
      size | (gives << TOKEN_GIVES_SHIFT) | (long << TOKEN_LONG_SHIFT),
    )
  }
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
    // Mostly a literal run and a short match take turns: with room for both, no other look at it.
    while (at + PAIR_INPUT <= end && to + PAIR_OUTPUT <= outEnd) {
      let control = load<u8>(at) as usize
      if (control < 32) {
        v128.store(to, v128.load(at, 1))
        v128.store(to, v128.load(at, 17), 16)
        at += control + 2
        to += control + 1
        control = load<u8>(at) as usize
        if (control < 32) continue
      }
      if (control >= 224) break
      const distance = (((control & 31) << 8) | (load<u8>(at, 1) as usize)) + 1
      if (distance < 16 || distance > to - output) break
      v128.store(to, v128.load(to - distance))
      to += (control >> 5) + 2
      at += 2
    }
    if (prefix && to >= outEnd) break
    if (at >= end) break
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

/** Behind so many bytes no distance is too far. */
const MAX_DISTANCE: u32 = 8192
/** Strings that wait to be looked at together. */
const MAX_WAITING: u32 = 32
/** Of each, u32: where its next token is, its end, the bytes so far, the bytes claimed. */
const WAITING: usize = memory.data(16 << 5, 16)
const LANES: u32 = 4

let waiting: u32 = 0
let foundDamaged = false

/**
 * As lzfLength(…) == claimed, but perhaps later, together with others: true may mean that only
 * lzfCheckWaiting tells. For less than 2^24 bytes.
 */
export function lzfCheckLater(input: usize, length: usize, claimed: u32): bool {
  if (waiting == MAX_WAITING && !checkWaiting()) foundDamaged = true
  const end = input + length
  let at = input
  let total: u32 = 0
  while (at < end && total < MAX_DISTANCE) {
    const control = load<u8>(at) as u32
    if (control < 32) {
      total += control + 1
      at += (control as usize) + 2
      continue
    }
    const isLong = control >= 224
    const next = load<u8>(at, 1) as u32
    const back = isLong ? (load<u8>(at, 2) as u32) : next
    if ((((control & 31) << 8) | back) + 1 > total) return false
    total += (control >> 5) + 2 + (isLong ? next : 0)
    at += isLong ? 3 : 2
  }
  if (at >= end) return at == end && total == claimed
  const slot = WAITING + ((waiting as usize) << 4)
  store<u32>(slot, at as u32)
  store<u32>(slot, end as u32, 4)
  store<u32>(slot, total, 8)
  store<u32>(slot, claimed, 12)
  waiting++
  return true
}

/** Were all sound since the last call that lzfCheckLater has not answered for itself? */
export function lzfCheckWaiting(): bool {
  const sound = checkWaiting() && !foundDamaged
  foundDamaged = false
  return sound
}

/**
 * Where a token is can only be known from the one before it, so one string leaves the processor
 * waiting: four are walked side by side.
 */
function checkWaiting(): bool {
  let count = waiting
  waiting = 0
  if (count < 2) return count == 0 || finish(WAITING)
  // Lanes without a string of their own walk another's as well: that takes no longer.
  for (; count < LANES; count++) {
    memory.copy(WAITING + ((count as usize) << 4), WAITING + (((count - 2) as usize) << 4), 16)
  }
  let slot0 = WAITING
  let slot1 = WAITING + 16
  let slot2 = WAITING + 32
  let slot3 = WAITING + 48
  let next = LANES
  while (true) {
    let at0 = load<u32>(slot0) as usize
    let at1 = load<u32>(slot1) as usize
    let at2 = load<u32>(slot2) as usize
    let at3 = load<u32>(slot3) as usize
    const end0 = load<u32>(slot0, 4) as usize
    const end1 = load<u32>(slot1, 4) as usize
    const end2 = load<u32>(slot2, 4) as usize
    const end3 = load<u32>(slot3, 4) as usize
    let total0 = load<u32>(slot0, 8)
    let total1 = load<u32>(slot1, 8)
    let total2 = load<u32>(slot2, 8)
    let total3 = load<u32>(slot3, 8)
    while (
      ((at0 < end0) as u32) & ((at1 < end1) as u32) & ((at2 < end2) as u32) & ((at3 < end3) as u32)
    ) {
      const token0 = token(at0)
      const token1 = token(at1)
      const token2 = token(at2)
      const token3 = token(at3)
      total0 += gives(token0, at0)
      total1 += gives(token1, at1)
      total2 += gives(token2, at2)
      total3 += gives(token3, at3)
      at0 += (token0 & TOKEN_SIZE) as usize
      at1 += (token1 & TOKEN_SIZE) as usize
      at2 += (token2 & TOKEN_SIZE) as usize
      at3 += (token3 & TOKEN_SIZE) as usize
    }
    put(slot0, at0, total0)
    put(slot1, at1, total1)
    put(slot2, at2, total2)
    put(slot3, at3, total3)
    // Those that came to their end make room for the next.
    if (at0 >= end0) {
      if (!isSound(slot0)) return false
      if (next == count) return finish(slot1) && finish(slot2) && finish(slot3)
      slot0 = WAITING + ((next++ as usize) << 4)
    }
    if (at1 >= end1) {
      if (!isSound(slot1)) return false
      if (next == count) return finish(slot0) && finish(slot2) && finish(slot3)
      slot1 = WAITING + ((next++ as usize) << 4)
    }
    if (at2 >= end2) {
      if (!isSound(slot2)) return false
      if (next == count) return finish(slot0) && finish(slot1) && finish(slot3)
      slot2 = WAITING + ((next++ as usize) << 4)
    }
    if (at3 >= end3) {
      if (!isSound(slot3)) return false
      if (next == count) return finish(slot0) && finish(slot1) && finish(slot2)
      slot3 = WAITING + ((next++ as usize) << 4)
    }
  }
}

@inline
function token(at: usize): u32 {
  return load<u32>(TOKENS + ((load<u8>(at) as usize) << 2))
}

/** Reads a byte too far where the token is one literal. */
@inline
function gives(found: u32, at: usize): u32 {
  return (
    ((found >> TOKEN_GIVES_SHIFT) & TOKEN_GIVES) +
    ((load<u8>(at, 1) as u32) & (found >> TOKEN_LONG_SHIFT))
  )
}

@inline
function put(slot: usize, at: usize, total: u32): void {
  store<u32>(slot, at as u32)
  store<u32>(slot, total, 8)
}

@inline
function isSound(slot: usize): bool {
  return load<u32>(slot) == load<u32>(slot, 4) && load<u32>(slot, 8) == load<u32>(slot, 12)
}

/** Alone, to its end. */
function finish(slot: usize): bool {
  let at = load<u32>(slot) as usize
  const end = load<u32>(slot, 4) as usize
  let total = load<u32>(slot, 8)
  while (at < end) {
    const found = token(at)
    total += gives(found, at)
    at += (found & TOKEN_SIZE) as usize
  }
  put(slot, at, total)
  return isSound(slot)
}
