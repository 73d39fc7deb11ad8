/**
 * Rows of string records: what most files mostly hold is taken apart here, thousands of keys a
 * call, and handed over as columns. Anything else, and anything that is not wholly there, ends the
 * row: the reader in src/rdb goes on with that.
 */
import {
  digits,
  expireAtMs,
  expires,
  HLL_MAGIC,
  HLL_MIN_BYTES,
  isInteger,
  lengthAt,
  lengthSize,
  LZF_MAX_EXPANSION,
  passAttributes,
  STRING_TYPE,
} from './format'

/** So few that their columns stay in the nearest cache. */
const MAX_ROWS: u32 = 1 << 10
export const ROW_BYTES: usize = 32
/**
 * Of each row: u32 address of the key, u32 its length, u32 length of the value once decoded,
 * u32 flags and, above them, how many of its first 16 bytes the key has in common with the one
 * before (bytes behind its end may be counted too), f64 unix ms of the expiry, u32 which of the first 32 bytes of the key are separators,
 * u32 shape: flags, lengths of key and value in one number, or NO_SHAPE where one is too long.
 */
export const ROWS: usize = memory.data(32 << 10, 16)

const INTEGER: u32 = 1
const COMPRESSED: u32 = 2
export const EXPIRES: u32 = 4
const HYPERLOGLOG: u32 = 8
const COMMON_SHIFT: u32 = 8

/** Kind of string (see shapeOf), then so many bits for each length. */
const SHAPE_BITS: u32 = 7
const NO_SHAPE: u32 = 0xffffffff
export const SHAPES: u32 = 6 << 14

/** Attributes, type byte and the lengths of key and value take no more than this. */
const MOST_HEAD_BYTES: usize = 40

let reached: usize = 0

export function stringRows(): usize {
  return ROWS
}

/** Where the record behind the last row starts. */
export function stringRowsEnd(): usize {
  return reached
}

/** Returns how many records it took, at most MAX_ROWS. */
export function readStringRows(address: usize, end: usize, separator: u32): u32 {
  const separators = i8x16.splat(separator as i8)
  let previous: usize = 0
  let at = address
  let rows: u32 = 0
  reached = address
  while (rows < MAX_ROWS && at + MOST_HEAD_BYTES <= end) {
    at = passAttributes(at)
    if (at == 0 || load<u8>(at) != STRING_TYPE) break
    let flags: u32 = expires ? EXPIRES : 0
    let keyLength = load<u8>(at, 1) as u32
    let key = at + 2
    if (keyLength >= 0x40) {
      if (keyLength >= 0x80) break
      keyLength = ((keyLength & 0x3f) << 8) | (load<u8>(at, 2) as u32)
      key++
    }
    at = key + (keyLength as usize)
    if (at + 11 > end) break
    const form = load<u8>(at) as u32
    let valueLength: u32 = form
    if (form < 0xc0) {
      let head: usize = 1
      if (form >= 0x40) {
        if (form < 0x80) {
          valueLength = ((form & 0x3f) << 8) | (load<u8>(at, 1) as u32)
          head = 2
        } else if (form == 0x80) {
          valueLength = bswap<u32>(load<u32>(at, 1))
          head = 5
        } else {
          break
        }
      }
      at += head
      if ((valueLength as usize) > end - at) break
      if (isInteger(at, valueLength as usize)) flags |= INTEGER
      if (valueLength >= HLL_MIN_BYTES && load<u32>(at) == HLL_MAGIC) flags |= HYPERLOGLOG
      at += valueLength as usize
    } else if (form == 0xc0) {
      valueLength = digits(load<i8>(at, 1) as i64)
      flags |= INTEGER
      at += 2
    } else if (form == 0xc1) {
      valueLength = digits(load<i16>(at, 1) as i64)
      flags |= INTEGER
      at += 3
    } else if (form == 0xc2) {
      valueLength = digits(load<i32>(at, 1) as i64)
      flags |= INTEGER
      at += 5
    } else if (form == 0xc3) {
      let lengths = at + 1
      let first = load<u8>(lengths) as u32
      if (first > 0x80) break
      const compressed = lengthAt(lengths, first)
      lengths += lengthSize(first)
      first = load<u8>(lengths) as u32
      if (first > 0x80) break
      valueLength = lengthAt(lengths, first)
      lengths += lengthSize(first)
      if ((compressed as usize) > end - lengths) break
      if ((valueLength as u64) > LZF_MAX_EXPANSION * (compressed as u64)) break
      flags |= COMPRESSED
      // The first token has the first bytes as they are, if they are more than three.
      const token = load<u8>(lengths) as u32
      if (valueLength >= HLL_MIN_BYTES && compressed > 4 && token >= 3 && token < 32) {
        if (load<u32>(lengths, 1) == HLL_MAGIC) flags |= HYPERLOGLOG
      }
      at = lengths + (compressed as usize)
    } else {
      break
    }
    const row = ROWS + (rows as usize) * ROW_BYTES
    store<u32>(row, key as u32)
    store<u32>(row, keyLength, 4)
    store<u32>(row, valueLength, 8)
    const bytes = v128.load(key)
    if (previous != 0) {
      // The first 16 bytes: how many are those of the key before.
      const same = i8x16.bitmask(i8x16.eq(bytes, v128.load(previous))) as u32
      flags |= (ctz<u32>(~same) & 31) << COMMON_SHIFT
    }
    previous = key
    store<u32>(row, flags, 12)
    store<f64>(row, expireAtMs as f64, 16)
    let marks = i8x16.bitmask(i8x16.eq(bytes, separators)) as u32
    if (keyLength > 16) {
      marks |= (i8x16.bitmask(i8x16.eq(v128.load(key, 16), separators)) as u32) << 16
      if (keyLength < 32) marks &= ((1 as u32) << keyLength) - 1
    } else {
      marks &= ((1 as u32) << keyLength) - 1
    }
    store<u32>(row, marks, 24)
    store<u32>(row, shapeOf(flags, keyLength, valueLength), 28)
    rows++
    reached = at
  }
  return rows
}

@inline
function shapeOf(flags: u32, keyLength: u32, valueLength: u32): u32 {
  if ((keyLength | valueLength) >> SHAPE_BITS != 0) return NO_SHAPE
  const form: u32 = (flags & INTEGER) != 0 ? 1 : (flags & HYPERLOGLOG) != 0 ? 2 : 0
  const kind = (form << 1) | ((flags & EXPIRES) != 0 ? 1 : 0)
  return (((kind << SHAPE_BITS) | keyLength) << SHAPE_BITS) | valueLength
}
