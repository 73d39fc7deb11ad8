/**
 * Walks over packed blobs and runs of strings as RDB files have them, only to see whether they are
 * sound. What is damaged, and anything unusual, is left to the reader in src/rdb, which knows how
 * to name it: -1 says no more than "look yourself".
 */

import {
  CHECK_LARGEST,
  CHECK_SCORES,
  CHECK_UNIQUE,
  MAX_WEIGHTS,
  WEIGH_PAIRS,
  WEIGH_STRINGS,
} from '../abi'
import { member } from './entries'
import { digits, lengthAt, lengthSize, MASKS } from './format'

const UNSOUND: i32 = -1

/** Slots of the table of first entries: 0, or 10 bits of hash above 22 bits of offset. */
const TABLE_BITS: u32 = 14
const TABLE: usize = memory.data(4 << 14, 16)
/** That leaves half of the table free. */
const MAX_UNIQUE: u32 = 8192
const OFFSET_BITS: u32 = 22

/** By the first byte of an entry: how long it is without its backlen; 0 needs a closer look. */
const ENTRY_SIZES: usize = memory.data(256, 16)
/** By the first byte of a string: how long it is with its length; 0 needs a closer look. */
const STRING_SIZES: usize = memory.data(256, 16)

let probesLeft: i32 = 0
let largest: u32 = 0
let reached: usize = 0
let stringCount: u32 = 0
let stringBytes: f64 = 0
let weightSum: f64 = 0
/** Weights by length, set by JS: f64 each, and from which length on there is none. */
const WEIGHTS: usize = memory.data(8 * MAX_WEIGHTS, 16)
/** A field this long is not weighed together with its value. */
const MAX_PAIR_FIELD: u32 = 32

export function packedInit(): void {
  for (let code: u32 = 0; code < 256; code++) {
    let size: u32 = 0
    if (code < 0x80) size = 1
    else if (code < 0xc0) size = 1 + (code & 0x3f)
    else if (code < 0xe0) size = 2
    else if (code > 0xf0 && code < 0xf5) size = code == 0xf4 ? 9 : code - 0xee
    store<u8>(ENTRY_SIZES + (code as usize), size)
    size = 0
    if (code < 0x40) size = 1 + code
    else if (code >= 0xc0 && code < 0xc3) size = 1 + ((1 as u32) << (code - 0xc0))
    store<u8>(STRING_SIZES + (code as usize), size)
  }
}

/** Longest element of the last check or run, in bytes as text. */
export function walkedLargest(): u32 {
  return largest
}

/** Where the last run of strings stopped. */
export function walkedTo(): usize {
  return reached
}

/** Strings of the last run, and their bytes. */
export function walkedStrings(): u32 {
  return stringCount
}

export function walkedBytes(): f64 {
  return stringBytes
}

/** Where the weights go that `walkStrings` adds up. */
export function stringWeights(): usize {
  return WEIGHTS
}

/** What the strings of the last run weigh. */
export function walkedWeight(): f64 {
  return weightSum
}

/**
 * A listpack of elements of `width` entries each. With UNIQUE the first of each must differ from
 * all others, with SCORES the second must be a number. Returns the number of entries or UNSOUND.
 */
export function checkListpack(address: usize, length: usize, width: u32, wanted: i32): i32 {
  largest = 0
  if (length < 7 || length >> OFFSET_BITS != 0) return UNSOUND
  if (load<u32>(address) != (length as u32)) return UNSOUND
  const stop = address + length - 1
  if (load<u8>(stop) != 0xff) return UNSOUND
  const stated = load<u16>(address, 4) as u32
  const unique = (wanted & CHECK_UNIQUE) != 0
  const scores = (wanted & CHECK_SCORES) != 0
  const measures = (wanted & CHECK_LARGEST) != 0
  let mask: u32 = 0
  if (unique) {
    const most = (stated == 65535 ? ((length >> 1) as u32) : stated) / width + 1
    if (most > MAX_UNIQUE) return UNSOUND
    mask = clearTable(most)
  }
  let at = address + 6
  let entries: u32 = 0
  // Which entry of its element this is.
  let part: u32 = 0
  while (at < stop) {
    const code = load<u8>(at) as u32
    let size = load<u8>(ENTRY_SIZES + (code as usize)) as usize
    let next = at + size + 1
    if (size != 0) {
      if (next > stop || (load<u8>(at + size) as usize) != size) return UNSOUND
    } else {
      size = longEntry(at, code, stop)
      next = behindLong(at, size, stop)
      if (next == 0) return UNSOUND
    }
    if (part == 0) {
      if (unique && isRepeated(address, at, size, mask)) return UNSOUND
      if (measures) largest = max(largest, textLength(at, code, size))
    } else if (scores) {
      const head = code - 0x80
      if (head < 0x40) {
        if (!isShortNumber(at + 1, head) && !isNumber(at + 1, at + size)) return UNSOUND
      } else if (head - 0x60 <= 0x10) {
        if (!isNumber(at + (code == 0xf0 ? 5 : 2), at + size)) return UNSOUND
      }
    } else if (measures) {
      largest = max(largest, textLength(at, code, size))
    }
    if (++part == width) part = 0
    entries++
    at = next
  }
  if (at != stop || part != 0) return UNSOUND
  if (stated != 65535 && stated != entries) return UNSOUND
  return entries as i32
}

/** A string of 64 bytes and more: how long the entry is without its backlen, or 0. */
function longEntry(at: usize, code: u32, stop: usize): usize {
  if (code >= 0xe0 && code < 0xf0) {
    return 2 + ((((code & 0x0f) << 8) | (load<u8>(at, 1) as u32)) as usize)
  }
  return code == 0xf0 && at + 5 <= stop ? 5 + (load<u32>(at, 1) as usize) : 0
}

/** Where the entry behind one of `size` bytes begins, or 0. */
function behindLong(at: usize, size: usize, stop: usize): usize {
  if (size == 0 || size >= stop - at) return 0
  const backlen = at + size
  if (size < 128) return (load<u8>(backlen) as usize) == size ? backlen + 1 : 0
  // Widths differ between servers from 16383 on.
  if (size >= 16383 || backlen + 2 > stop) return 0
  const isSound =
    (load<u8>(backlen) as usize) == size >> 7 &&
    (load<u8>(backlen, 1) as usize) == ((size & 0x7f) | 0x80)
  return isSound ? backlen + 2 : 0
}

/** How many bytes a sound entry has as text. */
function textLength(at: usize, code: u32, size: usize): u32 {
  if (code < 0x80) return code < 10 ? 1 : code < 100 ? 2 : 3
  if (code < 0xc0) return code & 0x3f
  if (code < 0xe0) {
    const value = ((((code & 0x1f) << 8) | (load<u8>(at, 1) as u32)) << 19) as i32
    return digits((value >> 19) as i64)
  }
  if (code < 0xf0) return (size as u32) - 2
  return code == 0xf0 ? (size as u32) - 5 : digits(integer(code, at + 1))
}

/** Returns the number of members or UNSOUND. */
export function checkIntset(address: usize, length: usize): i32 {
  largest = 0
  if (length < 8) return UNSOUND
  const width = load<u32>(address) as usize
  const count = load<u32>(address, 4) as usize
  if (width != 2 && width != 4 && width != 8) return UNSOUND
  // In 32 bits the product of a damaged count could come out right.
  if (((length - 8) as u64) != (count as u64) * (width as u64)) return UNSOUND
  if (count == 0) return 0
  const first = address + 8
  const stop = address + length
  let previous = member(first, width)
  const lowest = previous
  if (width == 2) {
    for (let at = first + 2; at < stop; at += 2) {
      const value = load<i16>(at) as i64
      if (value <= previous) return UNSOUND
      previous = value
    }
  } else if (width == 4) {
    for (let at = first + 4; at < stop; at += 4) {
      const value = load<i32>(at) as i64
      if (value <= previous) return UNSOUND
      previous = value
    }
  } else {
    for (let at = first + 8; at < stop; at += 8) {
      const value = load<i64>(at)
      if (value <= previous) return UNSOUND
      previous = value
    }
  }
  largest = max(digits(lowest), digits(previous))
  return count as i32
}

/**
 * `count` elements, each `strings` plain strings and then `tail` bytes (0, or 8: a double, which must
 * be a number). Returns where they end, or 0.
 */
export function checkStrings(
  address: usize,
  end: usize,
  count: u32,
  strings: u32,
  tail: usize,
): usize {
  let at = address
  for (let element: u32 = 0; element < count; element++) {
    for (let left = strings; left > 0; left--) {
      // 5 bytes of length at most, without a look at the end for each.
      if (at + 6 > end) return 0
      const first = load<u8>(at) as u32
      const size = load<u8>(STRING_SIZES + (first as usize)) as usize
      if (size != 0) {
        at += size
      } else {
        if (first > 0x80) return 0
        const length = lengthAt(at, first) as usize
        at += lengthSize(first)
        if (at > end || length > end - at) return 0
        at += length
      }
    }
    if (tail == 8) {
      if (at + 8 > end) return 0
      if ((load<u64>(at) & 0x7fffffffffffffff) > 0x7ff0000000000000) return 0
      at += 8
    }
  }
  return at <= end ? at : 0
}

/**
 * Steps over `count` strings, compressed ones too, each with `tail` bytes behind it. Returns where they
 * end, or 0 where they are not wholly there.
 */
export function skipStrings(address: usize, end: usize, count: u32, tail: usize): usize {
  let at = address
  for (let left = count; left > 0; left--) {
    // Two lengths of 5 bytes and the byte in front of them, without a look at the end for each.
    if (at + 11 > end) return 0
    const first = load<u8>(at) as u32
    const size = load<u8>(STRING_SIZES + (first as usize)) as usize
    if (size != 0) {
      at += size
    } else {
      let length: usize
      if (first == 0xc3) {
        const packed = load<u8>(at, 1) as u32
        if (packed > 0x80) return 0
        length = lengthAt(at + 1, packed) as usize
        at += 1 + lengthSize(packed)
        const plain = load<u8>(at) as u32
        if (plain > 0x80) return 0
        at += lengthSize(plain)
      } else {
        if (first > 0x80) return 0
        length = lengthAt(at, first) as usize
        at += lengthSize(first)
      }
      if (at > end || length > end - at) return 0
      at += length
    }
    at += tail
  }
  return at <= end ? at : 0
}

/**
 * A run of elements, each `strings` plain strings and then `tail` bytes (0, or 8: a double, which
 * must be a number). Goes on for `count` elements, to `end`, or to the first element that is not
 * wholly there, compressed, or damaged. Returns how many it passed; see the walked… functions.
 *
 * `weigh`: adds up the weight of each string by its length, or of each pair by both lengths; goes
 * on to the first one for which there is no weight (lengths from `weights` on).
 */
export function walkStrings(
  address: usize,
  end: usize,
  count: u32,
  strings: u32,
  tail: usize,
  weigh: i32,
  weights: u32,
): u32 {
  let weight: f64 = 0
  const known = min(weights, MAX_WEIGHTS as u32)
  let at = address
  let done: u32 = 0
  let longest: u32 = 0
  let total: u64 = 0
  reached = address
  while (done < count) {
    let elementLongest: u32 = longest
    let elementBytes: u64 = 0
    let elementWeight: f64 = 0
    let left = strings
    while (left > 0) {
      // 5 bytes of length at most, without a look at the end for each.
      if (at + 6 > end) break
      const first = load<u8>(at) as u32
      let length: u32 = 0
      if (first < 0x40) {
        length = first
        at += 1 + (length as usize)
      } else if (first < 0x80) {
        length = ((first & 0x3f) << 8) | (load<u8>(at, 1) as u32)
        at += 2 + (length as usize)
      } else if (first == 0x80) {
        length = bswap<u32>(load<u32>(at, 1))
        if ((length as usize) > end - at) break
        at += 5 + (length as usize)
      } else if (first == 0xc0) {
        length = digits(load<i8>(at, 1) as i64)
        at += 2
      } else if (first == 0xc1) {
        length = digits(load<i16>(at, 1) as i64)
        at += 3
      } else if (first == 0xc2) {
        length = digits(load<i32>(at, 1) as i64)
        at += 5
      } else {
        break
      }
      if (weigh == WEIGH_STRINGS) {
        if (length >= known) break
        elementWeight += load<f64>(WEIGHTS + ((length as usize) << 3))
      } else if (weigh == WEIGH_PAIRS) {
        if (left == strings) {
          if (length >= MAX_PAIR_FIELD) break
        } else {
          const both = length + (elementBytes as u32)
          if (length >= known || both >= known) break
          elementWeight = load<f64>(WEIGHTS + ((both as usize) << 3))
        }
      }
      elementBytes += length as u64
      if (length > elementLongest) elementLongest = length
      left--
    }
    if (left != 0 || at + tail > end) break
    if (tail == 8) {
      const bits = load<u64>(at) & 0x7fffffffffffffff
      if (bits > 0x7ff0000000000000) break
      at += 8
    }
    done++
    total += elementBytes
    weight += elementWeight
    longest = elementLongest
    reached = at
  }
  largest = longest
  stringCount = done * strings
  stringBytes = total as f64
  weightSum = weight
  return done
}

/**
 * Do `count` elements that `checkStrings` has passed all begin with another string? Compared as they
 * are stored: servers store equal strings alike. False also where there are too many to tell.
 */
export function areDistinct(
  address: usize,
  end: usize,
  count: u32,
  strings: u32,
  tail: usize,
): bool {
  if (count > MAX_UNIQUE || (end - address) >> OFFSET_BITS != 0) return false
  const mask = clearTable(count)
  let at = address
  for (let element: u32 = 0; element < count; element++) {
    const size = storedSize(at)
    if (isRepeated(address, at, size, mask)) return false
    at += size
    for (let left = strings; left > 1; left--) at += storedSize(at)
    at += tail
  }
  return true
}

@inline
function storedSize(at: usize): usize {
  const first = load<u8>(at) as u32
  const size = load<u8>(STRING_SIZES + (first as usize)) as usize
  return size != 0 ? size : lengthSize(first) + (lengthAt(at, first) as usize)
}

/** Makes the table ready for so many entries; returns its mask. */
function clearTable(most: u32): u32 {
  let bits: u32 = 4
  while (bits < TABLE_BITS && ((1 as u32) << bits) < most * 4) bits++
  memory.fill(TABLE, 0, (4 as usize) << bits)
  probesLeft = 1 << 20
  return ((1 as u32) << bits) - 1
}

/** Adds the entry to the table. True if the same bytes were added before, or too much collides. */
@inline
function isRepeated(address: usize, at: usize, size: usize, mask: u32): bool {
  const hash = hashOf(at, size)
  let slot = hash & mask
  const tag = hash >> OFFSET_BITS
  for (;;) {
    const cell = load<u32>(TABLE + ((slot as usize) << 2))
    if (cell == 0) break
    if (cell >> OFFSET_BITS == tag) {
      const other = address + ((cell & ((1 << OFFSET_BITS) - 1)) as usize)
      if (equal(other, at, size)) return true
    }
    if (--probesLeft < 0) return true
    slot = (slot + 1) & mask
  }
  store<u32>(TABLE + ((slot as usize) << 2), (tag << OFFSET_BITS) | ((at - address) as u32))
  return false
}

/** The integer behind one of the codes 0xf1 to 0xf4. */
@inline
function integer(code: u32, at: usize): i64 {
  if (code == 0xf1) return load<i16>(at) as i64
  if (code == 0xf2) return i24(at)
  return code == 0xf3 ? (load<i32>(at) as i64) : load<i64>(at)
}

/** In one expression it would be widened before it is shifted. */
@inline
function i24(at: usize): i64 {
  const high: i32 = load<i32>(at) << 8
  return (high >> 8) as i64
}

/** Most elements have up to 16 bytes: without a look at how many, and reading beyond their end. */
@inline
function hashOf(at: usize, size: usize): u32 {
  const mask = MASKS + (min<usize>(size, 16) << 4)
  let hash: u64 = ((load<u64>(at) & load<u64>(mask)) ^ (size as u64)) * 0x9e3779b97f4a7c15
  hash ^= (load<u64>(at, 8) & load<u64>(mask, 8)) * 0x9fb21c651e98df25
  if (size > 16) {
    const last = at + size - 8
    for (let from = at + 16; from < last; from += 8) {
      hash = (hash ^ load<u64>(from)) * 0x9fb21c651e98df25
      hash ^= hash >> 32
    }
    hash ^= load<u64>(last) * 0xd6e8feb86659fd93
  }
  hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93
  return (hash >> 32) as u32
}

function equal(a: usize, b: usize, size: usize): bool {
  let left = size
  while (left >= 8) {
    if (load<u64>(a) != load<u64>(b)) return false
    a += 8
    b += 8
    left -= 8
  }
  while (left > 0) {
    if (load<u8>(a) != load<u8>(b)) return false
    a++
    b++
    left--
  }
  return true
}

/** As isNumber of up to 16 bytes, but for an exponent. Reads 16 bytes. */
@inline
function isShortNumber(at: usize, count: u32): bool {
  if (count > 16) return false
  const text = v128.load(at)
  const all = ((1 as u32) << count) - 1
  const isDigit = i8x16.lt_u(i8x16.sub(text, i8x16.splat(0x30)), i8x16.splat(10))
  const numerals = (i8x16.bitmask(isDigit) as u32) & all
  const points = (i8x16.bitmask(i8x16.eq(text, i8x16.splat(0x2e))) as u32) & all
  const minus = (load<u8>(at) == 0x2d) as u32
  return numerals != 0 && (numerals | points | minus) == all && (points & (points - 1)) == 0
}

/** [-] digits [. digits] [e [sign] digits], or inf; what else strtod takes is for others to judge. */
function isNumber(at: usize, end: usize): bool {
  if (at < end && load<u8>(at) == 0x2d) at++
  if (end - at == 3 && load<u16>(at) == 0x6e69 && load<u8>(at, 2) == 0x66) return true
  let count: u32 = 0
  while (at < end && (load<u8>(at) as u32) - 0x30 < 10) {
    at++
    count++
  }
  if (at < end && load<u8>(at) == 0x2e) {
    at++
    while (at < end && (load<u8>(at) as u32) - 0x30 < 10) {
      at++
      count++
    }
  }
  if (count == 0) return false
  if (at == end) return true
  if (load<u8>(at) != 0x65) return false
  at++
  if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at++
  count = 0
  while (at < end && (load<u8>(at) as u32) - 0x30 < 10) {
    at++
    count++
  }
  return at == end && count > 0
}
