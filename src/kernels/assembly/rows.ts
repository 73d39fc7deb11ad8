/**
 * Rows of string records: what most files mostly hold is taken apart here, thousands of keys a
 * call, and handed over as columns. Anything else, and anything that is not wholly there, ends the
 * run: the reader in src/rdb goes on with that.
 */
import {
  LZF_MAX_EXPANSION,
  MAX_ROWS,
  ROW_BYTES,
  ROW_COMMON_SHIFT,
  ROW_COMPRESSED,
  ROW_EXPIRE_AT,
  ROW_EXPIRES,
  ROW_FLAGS,
  ROW_HYPERLOGLOG,
  ROW_INTEGER,
  ROW_KEY,
  ROW_KEY_BYTES,
  ROW_SEPARATORS,
  ROW_SHAPE,
  ROW_VALUE_BYTES,
  SHAPE_BITS,
} from '../abi'
import {
  digits,
  expireAtMs,
  expires,
  HLL_MAGIC,
  HLL_MIN_BYTES,
  isInteger,
  lengthAt,
  lengthSize,
  passAttributes,
} from './format'
import { STRING } from './types'

export const ROWS: usize = memory.data(MAX_ROWS * ROW_BYTES, 16)

const NO_SHAPE: u32 = 0xffffffff

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
  while (rows < (MAX_ROWS as u32) && at + MOST_HEAD_BYTES <= end) {
    at = passAttributes(at)
    if (at == 0 || load<u8>(at) != STRING) break
    let flags: u32 = expires ? ROW_EXPIRES : 0
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
      if (isInteger(at, valueLength as usize)) flags |= ROW_INTEGER
      if (valueLength >= HLL_MIN_BYTES && load<u32>(at) == HLL_MAGIC) flags |= ROW_HYPERLOGLOG
      at += valueLength as usize
    } else if (form == 0xc0) {
      valueLength = digits(load<i8>(at, 1) as i64)
      flags |= ROW_INTEGER
      at += 2
    } else if (form == 0xc1) {
      valueLength = digits(load<i16>(at, 1) as i64)
      flags |= ROW_INTEGER
      at += 3
    } else if (form == 0xc2) {
      valueLength = digits(load<i32>(at, 1) as i64)
      flags |= ROW_INTEGER
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
      if ((valueLength as u64) > (LZF_MAX_EXPANSION as u64) * (compressed as u64)) break
      flags |= ROW_COMPRESSED
      // The first token has the first bytes as they are, if they are more than three.
      const token = load<u8>(lengths) as u32
      if (valueLength >= HLL_MIN_BYTES && compressed > 4 && token >= 3 && token < 32) {
        if (load<u32>(lengths, 1) == HLL_MAGIC) flags |= ROW_HYPERLOGLOG
      }
      at = lengths + (compressed as usize)
    } else {
      break
    }
    const row = ROWS + (rows as usize) * (ROW_BYTES as usize)
    store<u32>(row, key as u32, ROW_KEY)
    store<u32>(row, keyLength, ROW_KEY_BYTES)
    store<u32>(row, valueLength, ROW_VALUE_BYTES)
    const bytes = v128.load(key)
    if (previous != 0) {
      // The first 16 bytes: how many are those of the key before.
      const same = i8x16.bitmask(i8x16.eq(bytes, v128.load(previous))) as u32
      flags |= (ctz<u32>(~same) & 31) << ROW_COMMON_SHIFT
    }
    previous = key
    store<u32>(row, flags, ROW_FLAGS)
    store<f64>(row, expireAtMs as f64, ROW_EXPIRE_AT)
    let marks = i8x16.bitmask(i8x16.eq(bytes, separators)) as u32
    if (keyLength > 16) {
      marks |= (i8x16.bitmask(i8x16.eq(v128.load(key, 16), separators)) as u32) << 16
      if (keyLength < 32) marks &= ((1 as u32) << keyLength) - 1
    } else {
      marks &= ((1 as u32) << keyLength) - 1
    }
    store<u32>(row, marks, ROW_SEPARATORS)
    store<u32>(row, shapeOf(flags, keyLength, valueLength), ROW_SHAPE)
    rows++
    reached = at
  }
  return rows
}

@inline
function shapeOf(flags: u32, keyLength: u32, valueLength: u32): u32 {
  if ((keyLength | valueLength) >> SHAPE_BITS != 0) return NO_SHAPE
  const form: u32 = (flags & ROW_INTEGER) != 0 ? 1 : (flags & ROW_HYPERLOGLOG) != 0 ? 2 : 0
  const kind = (form << 1) | ((flags & ROW_EXPIRES) != 0 ? 1 : 0)
  return (((kind << SHAPE_BITS) | keyLength) << SHAPE_BITS) | valueLength
}
