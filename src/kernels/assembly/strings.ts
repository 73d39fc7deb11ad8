/**
 * Strings and string records as they stand in an RDB, read where they lie. What is not wholly there,
 * damaged, very long or unusual is left to the reader in src/rdb: 0 says no more than that.
 */
import {
  MAX_STRING_BYTES,
} from '../abi'
import {
  compressedSize,
  expireAtMs,
  expires,
  lengthAt,
  lengthSize,
  openCompressed,
  passAttributes,
  plainSize,
} from './format'
import { lzfDecompress } from './lzf'
import { writeSigned } from './text'
import { STRING } from './types'

/** Longer ones are written in pieces, by others. A scratch area has room for two of them. */
const SCRATCH_STRING_BYTES: usize = (MAX_STRING_BYTES as usize) + 64
const MAX_SAFE: u64 = 9007199254740991

/** The string that `readString` found, decoded. */
export let stringAt: usize = 0
export let stringSize: usize = 0
export let stringIsInteger: bool = false
/** One of the strings since `clearCompressed` was compressed. */
export let sawCompressed: bool = false

/** The record that `readRecord` found. */
export let recordExpiry: i64 = -1
export let recordKey: usize = 0
export let recordKeySize: usize = 0

export function clearCompressed(): void {
  sawCompressed = false
}

/** Reads STR at `at`, before `end`; returns where it ends, or 0. */
@inline
export function readString(at: usize, end: usize, scratch: usize): usize {
  const first = load<u8>(at) as u32
  if (first < 0x40) {
    stringAt = at + 1
    stringSize = first as usize
    stringIsInteger = false
    const next = stringAt + stringSize
    return next > end ? 0 : next
  }
  return readOtherString(at, end, first, scratch)
}

function readOtherString(at: usize, end: usize, first: u32, scratch: usize): usize {
  if (at + 5 > end) return 0
  let next: usize
  if (first <= 0x80) {
    const size = lengthAt(at, first) as usize
    if (size > (MAX_STRING_BYTES as usize)) return 0
    stringAt = at + lengthSize(first)
    stringSize = size
    stringIsInteger = false
    next = stringAt + size
  } else if (first == 0xc3) {
    return readCompressed(at, end, scratch)
  } else {
    let value: i64
    if (first == 0xc0) {
      value = load<i8>(at, 1) as i64
      next = at + 2
    } else if (first == 0xc1) {
      value = load<i16>(at, 1) as i64
      next = at + 3
    } else if (first == 0xc2) {
      value = load<i32>(at, 1) as i64
      next = at + 5
    } else {
      return 0
    }
    stringAt = scratch
    stringSize = writeSigned(value, scratch) - scratch
    stringIsInteger = true
  }
  return next > end ? 0 : next
}

function readCompressed(from: usize, end: usize, scratch: usize): usize {
  const at = openCompressed(from)
  if (at == 0 || at > end || (compressedSize as usize) > end - at) return 0
  const size = plainSize as usize
  if (size > (MAX_STRING_BYTES as usize)) return 0
  const made = lzfDecompress(at, compressedSize as usize, scratch, size, false)
  if (made != (size as i32)) return 0
  stringAt = scratch
  stringSize = size
  stringIsInteger = false
  sawCompressed = true
  return at + (compressedSize as usize)
}

/**
 * A record of a string: attributes, each at most once, type 0, key, value. The value is then in
 * `stringAt`, the rest in `record…`. Returns where it ends, or 0.
 */
@inline
export function readRecord(from: usize, end: usize, scratch: usize): usize {
  let at = passAttributes(from)
  recordExpiry = expireAtMs
  // Times before 1970 and beyond what a double holds are for others.
  if (expires && ((expireAtMs as u64) > MAX_SAFE)) return 0
  if (at == 0 || load<u8>(at) != STRING || at + 1 >= end) return 0
  at = readString(at + 1, end, scratch)
  if (at == 0 || at >= end) return 0
  recordKey = stringAt
  recordKeySize = stringSize
  return readString(at, end, scratch + SCRATCH_STRING_BYTES)
}
