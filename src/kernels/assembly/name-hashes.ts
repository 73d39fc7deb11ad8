/**
 * Rows of strings (rows.ts) as what a comparison over time keeps of their keys: the hashes of
 * src/analyze/growth/key-hash.ts, and the names, each behind its length, at multiples of NAME_ALIGN.
 */
import {
  HASH_SECRET_WORDS,
  HASHED_BYTES,
  HASHED_NAME,
  MAX_ROWS,
  NAME_ALIGN,
  ROW_BYTES,
  ROW_KEY,
  ROW_KEY_BYTES,
} from '../abi'
import { ROWS } from './rows'
import { OUT, OUT_BYTES } from './string-lines'

const SECRET: usize = memory.data(4 * HASH_SECRET_WORDS, 16)
const HASHED: usize = memory.data(HASHED_BYTES * MAX_ROWS, 16)

let namesTo: usize = OUT

/** Where the secret goes: for each of three hashes its start, then for each its odd multiplier. */
export function nameHashSecret(): usize {
  return SECRET
}

/** By row from the first one on, u32 each: three hashes, and where in `linesOut()` its name begins, in
 * units of NAME_ALIGN. */
export function nameHashes(): usize {
  return HASHED
}

/** Where the names of the last call end. */
export function hashedNamesEnd(): usize {
  return namesTo
}

/** From row `first` on, at most `last - first`; returns the first row whose name had no room. */
export function hashNames(first: u32, last: u32, db: u32): u32 {
  const stop = OUT + OUT_BYTES
  const align = (NAME_ALIGN as usize) - 1
  let to = OUT
  let hashed = HASHED
  let row = first
  while (row < last) {
    const at = ROWS + (row as usize) * (ROW_BYTES as usize)
    const key = load<u32>(at, ROW_KEY) as usize
    const length = load<u32>(at, ROW_KEY_BYTES)
    const next = to + ((4 + (length as usize) + align) & ~align)
    if (next > stop) break
    store<u32>(to, length)
    for (let i: usize = 0; i < (length as usize); i += 16) {
      v128.store(to + 4 + i, v128.load(key + i))
    }
    hashName(key, length, db, hashed)
    store<u32>(hashed, ((to - OUT) / (NAME_ALIGN as usize)) as u32, HASHED_NAME)
    hashed += HASHED_BYTES as usize
    to = next
    row++
  }
  namesTo = to
  return row
}

@inline
function hashName(key: usize, length: u32, db: u32, into: usize): void {
  const by0 = load<u32>(SECRET, 12)
  const by1 = load<u32>(SECRET, 16)
  const by2 = load<u32>(SECRET, 20)
  let h0 = (load<u32>(SECRET) ^ length) * by0
  let h1 = (load<u32>(SECRET, 4) ^ length) * by1
  let h2 = (load<u32>(SECRET, 8) ^ length) * by2
  h0 = (h0 ^ (h0 >> 15) ^ db) * by0
  h1 = (h1 ^ (h1 >> 14) ^ db) * by1
  h2 = (h2 ^ (h2 >> 16) ^ db) * by2
  let at = key
  const whole = key + ((length & ~3) as usize)
  for (; at < whole; at += 4) {
    const word = load<u32>(at)
    h0 = (h0 ^ (h0 >> 15) ^ word) * by0
    h1 = (h1 ^ (h1 >> 14) ^ word) * by1
    h2 = (h2 ^ (h2 >> 16) ^ word) * by2
  }
  const left = length & 3
  if (left != 0) {
    const word = load<u32>(at) & (((1 as u32) << (left << 3)) - 1)
    h0 = (h0 ^ (h0 >> 15) ^ word) * by0
    h1 = (h1 ^ (h1 >> 14) ^ word) * by1
    h2 = (h2 ^ (h2 >> 16) ^ word) * by2
  }
  h0 = (h0 ^ (h0 >> 16)) * by1
  h1 = (h1 ^ (h1 >> 16)) * by2
  h2 = (h2 ^ (h2 >> 16)) * by0
  store<u32>(into, h0 ^ (h0 >> 15))
  store<u32>(into, h1 ^ (h1 >> 15), 4)
  store<u32>(into, h2 ^ (h2 >> 15), 8)
}
