/**
 * Records of an RDB file stepped over by their lengths alone, to find where they begin: nothing is
 * checked, packed values and compressed strings are not looked into. Who reads between two borders finds
 * what is wrong there. Anything but a plain record of a type that servers write today ends the run, and so
 * does one that is not wholly there.
 */
import { lengthAt, lengthSize, passAttributes } from './format'
import { skipStrings } from './packed'
import {
  HASH,
  HASH_LISTPACK,
  LIST,
  LIST_QUICKLIST_2,
  SET,
  SET_INTSET,
  SET_LISTPACK,
  STRING,
  ZSET_2,
  ZSET_LISTPACK,
} from './types'

/** Attributes, type byte and a length take no more than this. */
const MOST_HEAD_BYTES: usize = 40

let bordersTo: usize = 0

/** Where the record behind the last run starts. */
export function skippedTo(): usize {
  return bordersTo
}

/** How many records were stepped over. */
export function skipRecords(address: usize, end: usize): u32 {
  let at = address
  let done: u32 = 0
  bordersTo = address
  while (at + MOST_HEAD_BYTES <= end) {
    at = passAttributes(at)
    if (at == 0) break
    const type = load<u8>(at) as u32
    at = skipStrings(at + 1, end, 1, 0)
    if (at == 0) break
    at = skipValue(type, at, end)
    if (at == 0) break
    done++
    bordersTo = at
  }
  return done
}

/** Where the value ends, or 0. */
@inline
function skipValue(type: u32, at: usize, end: usize): usize {
  switch (type) {
    case STRING:
    case SET_INTSET:
    case HASH_LISTPACK:
    case ZSET_LISTPACK:
    case SET_LISTPACK:
      return skipStrings(at, end, 1, 0)
    case LIST:
    case SET:
      return skipCounted(at, end, 1, 0)
    case HASH:
      return skipCounted(at, end, 2, 0)
    case ZSET_2:
      return skipCounted(at, end, 1, 8)
    case LIST_QUICKLIST_2:
      return skipQuicklist(at, end)
    default:
      return 0
  }
}

/** LEN n, then n elements of so many strings and bytes behind them. */
function skipCounted(at: usize, end: usize, strings: u32, tail: usize): usize {
  if (at + 6 > end) return 0
  const first = load<u8>(at) as u32
  if (first > 0x80) return 0
  const count = lengthAt(at, first) as u64
  at += lengthSize(first)
  // Each takes a byte at least: no more are there than that.
  if (count > (end as u64)) return 0
  return tail == 0
    ? skipStrings(at, end, (count as u32) * strings, 0)
    : skipStrings(at, end, count as u32, tail)
}

/** LEN n, then n times LEN container and STR. */
function skipQuicklist(at: usize, end: usize): usize {
  if (at + 6 > end) return 0
  const first = load<u8>(at) as u32
  if (first > 0x80) return 0
  let left = lengthAt(at, first)
  at += lengthSize(first)
  for (; left > 0; left--) {
    if (at >= end || load<u8>(at) > 2) return 0
    at = skipStrings(at + 1, end, 1, 0)
    if (at == 0) return 0
  }
  return at
}
