/**
 * Rows of strings (rows.ts) as columns: names one behind another with their ends, lengths of values,
 * expiries. A name that is not shown as it is ends the run, and is left to JS.
 */
import {
  MAX_ROWS,
  ROW_BYTES,
  ROW_EXPIRE_AT,
  ROW_EXPIRES,
  ROW_FLAGS,
  ROW_KEY,
  ROW_KEY_BYTES,
  ROW_VALUE_BYTES,
} from '../abi'
import { ROWS } from './rows'
import { OUT, OUT_BYTES } from './string-lines'

const ENDS: usize = memory.data(4 * MAX_ROWS, 16)
const LENGTHS: usize = memory.data(8 * MAX_ROWS, 16)
const EXPIRIES: usize = memory.data(8 * MAX_ROWS, 16)

const BACKSLASH: i32 = 0x5c

/** u32 each. */
export function columnEnds(): usize {
  return ENDS
}

/** f64 each. */
export function columnLengths(): usize {
  return LENGTHS
}

/** f64 each: unix ms, NaN for none. */
export function columnExpiries(): usize {
  return EXPIRIES
}

/**
 * Columns for the rows from `first` on, at most `last - first`. Names are at `linesOut()`, where `hasNames`;
 * their ends are counted from `base` on. Returns the first row that is not in them.
 */
export function stringColumns(first: u32, last: u32, base: u32, hasNames: i32): u32 {
  let to = OUT
  let row = first
  const stop = OUT + OUT_BYTES
  while (row < last) {
    const at = ROWS + (row as usize) * (ROW_BYTES as usize)
    if (hasNames != 0) {
      const length = load<u32>(at, ROW_KEY_BYTES) as usize
      if (to + length + 16 > stop) break
      if (!copyVisible(load<u32>(at, ROW_KEY) as usize, length, to)) break
      to += length
    }
    const index = (row - first) as usize
    store<u32>(ENDS + (index << 2), base + ((to - OUT) as u32))
    store<f64>(LENGTHS + (index << 3), load<u32>(at, ROW_VALUE_BYTES) as f64)
    const expires = (load<u32>(at, ROW_FLAGS) & ROW_EXPIRES) != 0
    store<f64>(EXPIRIES + (index << 3), expires ? load<f64>(at, ROW_EXPIRE_AT) : NaN)
    row++
  }
  return row
}

/** Copies printable ASCII without backslash; false at anything else. Writes up to 16 bytes more. */
@inline
function copyVisible(from: usize, length: usize, to: usize): bool {
  const lowest = i8x16.splat(0x20)
  const highest = i8x16.splat(0x7e)
  let at: usize = 0
  while (at < length) {
    const bytes = v128.load(from + at)
    v128.store(to + at, bytes)
    const bad = v128.or(
      v128.or(i8x16.lt_u(bytes, lowest), i8x16.gt_u(bytes, highest)),
      i8x16.eq(bytes, i8x16.splat(BACKSLASH as i8)),
    )
    let mask = i8x16.bitmask(bad) as u32
    const left = length - at
    if (left < 16) mask &= ((1 as u32) << (left as u32)) - 1
    if (mask != 0) return false
    at += 16
  }
  return true
}
