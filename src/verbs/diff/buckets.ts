/**
 * The first pass of a comparison: the digests of all keys, added up in buckets by name. Equal sums
 * and counts mean equal keys, values, types and expiries; the order of keys does not matter.
 */
import { DIGEST_BUCKETS, SUM_BYTES, SUM_KEYS, SUM_NAME_BYTES } from '../../kernels/abi.js'

export interface Suspects {
  /** Buckets that differ. */
  count: number
  /** Keys in them, of both sides, and bytes of their names. */
  keys: number
  nameBytes: number
}

/** How many keys were added up. */
export function keysIn(sums: Buffer): number {
  let keys = 0
  for (let at = SUM_KEYS; at < sums.length; at += SUM_BYTES) keys += sums.readDoubleLE(at)
  return keys
}

/** Sets the byte of each bucket in `flags` to 1 where the sums differ, else to 0. */
export function findSuspects(a: Buffer, b: Buffer, flags: Buffer): Suspects {
  const found: Suspects = { count: 0, keys: 0, nameBytes: 0 }
  for (let bucket = 0; bucket < DIGEST_BUCKETS; bucket += 1) {
    const at = bucket * SUM_BYTES
    const isSame = a.compare(b, at, at + SUM_BYTES, at, at + SUM_BYTES) === 0
    flags[bucket] = isSame ? 0 : 1
    if (isSame) continue
    found.count += 1
    for (const side of [a, b]) {
      found.keys += side.readDoubleLE(at + SUM_KEYS)
      found.nameBytes += side.readDoubleLE(at + SUM_NAME_BYTES)
    }
  }
  return found
}
