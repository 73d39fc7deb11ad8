/**
 * The first pass of a comparison: the digests of all keys, added up in buckets by name. Equal sums
 * and counts mean equal keys, values, types and expiries; the order of keys does not matter.
 */
import type { KeyDigest } from '../analyze/value-digest.js'
import type { KeyHeader } from '../rdb/visitor.js'

const BUCKETS = 1 << 14
const LANES = 3

export interface Suspects {
  /** Buckets that differ. */
  count: number
  /** Keys in them, of both sides, and bytes of their names. */
  keys: number
  nameBytes: number
  has: (nameHigh: number) => boolean
}

export class DiffBuckets {
  keys = 0
  private readonly sums = new Int32Array(BUCKETS * LANES)
  private readonly counts = new Float64Array(BUCKETS)
  private readonly nameBytes = new Float64Array(BUCKETS)

  add(digest: KeyDigest, header: KeyHeader): void {
    const bucket = digest.nameHigh & (BUCKETS - 1)
    const { sums } = this
    const expiry = digest.expireAtMs
    // The value is tied to its name, and both halves to one another.
    const first = spread(
      digest.nameLow ^
        Math.imul(digest.valueHigh, 0x9e3779b1) ^
        Math.imul(header.kind + 1, 0x2c1b3c6d),
    )
    const second = spread(digest.nameHigh + Math.imul(digest.valueLow, 0x85ebca6b) + first)
    const third = spread(
      digest.nameLow ^
        Math.imul(digest.fieldExpiry, 0xc2b2ae35) ^
        Math.imul(digest.counters, 0x27d4eb2f) ^
        (expiry % 0x80000000) ^
        Math.imul(Math.floor(expiry / 0x80000000), 0x165667b1),
    )
    const at = bucket * LANES
    sums[at] = sums[at]! + first
    sums[at + 1] = sums[at + 1]! + second
    sums[at + 2] = sums[at + 2]! + third
    this.counts[bucket] = this.counts[bucket]! + 1
    this.nameBytes[bucket] = this.nameBytes[bucket]! + header.key.end - header.key.start
    this.keys += 1
  }

  differingFrom(other: DiffBuckets): Suspects {
    const differs = new Uint8Array(BUCKETS)
    let count = 0
    let keys = 0
    let nameBytes = 0
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      const at = bucket * LANES
      let same = this.counts[bucket] === other.counts[bucket]
      for (let lane = at; lane < at + LANES; lane += 1) {
        if (this.sums[lane] !== other.sums[lane]) same = false
      }
      if (same) continue
      differs[bucket] = 1
      count += 1
      keys += this.counts[bucket]! + other.counts[bucket]!
      nameBytes += this.nameBytes[bucket]! + other.nameBytes[bucket]!
    }
    return { count, keys, nameBytes, has: (nameHigh) => differs[nameHigh & (BUCKETS - 1)] === 1 }
  }
}

function spread(value: number): number {
  let mixed = value ^ (value >>> 15)
  mixed = Math.imul(mixed, 0x2c1b3c6d)
  mixed ^= mixed >>> 12
  mixed = Math.imul(mixed, 0x297a2d39)
  return mixed ^ (mixed >>> 15)
}
