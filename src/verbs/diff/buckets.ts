/**
 * The first pass of a comparison: the digests of all keys, added up in buckets by name. Equal sums
 * and counts mean equal keys, values, types and expiries; the order of keys does not matter.
 */
import {
  DIGEST_BUCKETS,
  SUM_BYTES,
  SUM_FIRST,
  SUM_KEYS,
  SUM_NAME_BYTES,
  SUM_SECOND,
} from '../../kernels/abi.js'

export interface Suspects {
  /** Buckets that differ. */
  count: number
  /** Keys in them, of both sides, and bytes of their names. */
  keys: number
  nameBytes: number
}

/** Adds what another has added up of other keys. */
export function addSums(to: Buffer, from: Uint8Array): void {
  const into = new DataView(to.buffer, to.byteOffset, to.length)
  const more = new DataView(from.buffer, from.byteOffset, from.length)
  for (let at = 0; at < to.length; at += SUM_BYTES) {
    for (const field of [SUM_FIRST, SUM_SECOND]) {
      const sum = into.getBigUint64(at + field, true) + more.getBigUint64(at + field, true)
      into.setBigUint64(at + field, sum, true)
    }
    for (const field of [SUM_KEYS, SUM_NAME_BYTES]) {
      const sum = into.getFloat64(at + field, true) + more.getFloat64(at + field, true)
      into.setFloat64(at + field, sum, true)
    }
  }
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
