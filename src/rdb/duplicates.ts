/**
 * Finds what must not come twice: fields and members inside a packed blob (exactly), and keys of a
 * db (by a 64-bit hash). Both have a limit in memory, whatever the input.
 */
import { Buffer } from 'node:buffer'

/** Blobs with more entries than this are not looked at: no server packs so many. */
const MAX_ENTRIES = 1 << 20
/** Keys remembered; those behind are not compared with each other. 16 MB. */
const MAX_KEYS = 1 << 20

export class DuplicateFinder {
  /** Position + 1 of an entry; 0: free. */
  private positions = new Int32Array(0)
  private ends = new Int32Array(0)
  private hashes = new Int32Array(0)
  private mask = 0
  private bytes: Buffer = Buffer.alloc(0)
  private probesLeft = 0

  /** Starts on a blob with at most so many entries to compare. */
  begin(bytes: Buffer, maxEntries: number): void {
    this.bytes = bytes
    if (maxEntries > MAX_ENTRIES) {
      this.probesLeft = -1
      return
    }
    let size = 64
    while (size < maxEntries * 2) size *= 2
    if (size > this.positions.length) {
      this.positions = new Int32Array(size)
      this.ends = new Int32Array(size)
      this.hashes = new Int32Array(size)
    } else {
      this.positions.fill(0, 0, size)
    }
    this.mask = size - 1
    // Far more than chance needs. Entries made to collide must not cost more than that.
    this.probesLeft = 32 * maxEntries + 1024
  }

  /** True if the same bytes were added before. */
  add(start: number, end: number): boolean {
    if (this.probesLeft < 0) return false
    const { positions, hashes, ends, mask } = this
    const hash = hashOf(this.bytes, start, end)
    let slot = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const position = positions[slot]!
      if (position === 0) break
      if (hashes[slot] === hash && this.equal(position - 1, ends[slot]!, start, end)) return true
      this.probesLeft -= 1
      if (this.probesLeft < 0) return false
      slot = (slot + 1) & mask
    }
    positions[slot] = start + 1
    ends[slot] = end
    hashes[slot] = hash
    return false
  }

  private equal(start: number, end: number, otherStart: number, otherEnd: number): boolean {
    if (end - start !== otherEnd - otherStart) return false
    const { bytes } = this
    for (let at = start, other = otherStart; at < end; at += 1, other += 1) {
      if (bytes[at] !== bytes[other]) return false
    }
    return true
  }
}

export class KeySet {
  private low = new Int32Array(64)
  private high = new Int32Array(64)
  private mask = 63
  count = 0

  get isFull(): boolean {
    return this.count >= MAX_KEYS
  }

  /** True if the key was there before. Nothing is remembered once full. */
  add(dbnum: number, bytes: Buffer, start: number, end: number): boolean {
    let low = hashOf(bytes, start, end) ^ Math.imul(dbnum, 0x85ebca6b)
    const high = secondHash(bytes, start, end) ^ dbnum
    // 0, 0 marks a free slot.
    if ((low | high) === 0) low = 1
    if (this.count * 2 > this.mask && !this.isFull) this.grow()
    return this.insert(low, high, true)
  }

  private insert(low: number, high: number, limited: boolean): boolean {
    const { low: lows, high: highs, mask } = this
    let slot = (low ^ (low >>> 16) ^ high) & mask
    while ((lows[slot]! | highs[slot]!) !== 0) {
      if (lows[slot] === low && highs[slot] === high) return true
      slot = (slot + 1) & mask
    }
    if (limited && this.isFull) return false
    lows[slot] = low
    highs[slot] = high
    this.count += 1
    return false
  }

  private grow(): void {
    const { low, high } = this
    const size = low.length * 4
    this.low = new Int32Array(size)
    this.high = new Int32Array(size)
    this.mask = size - 1
    this.count = 0
    for (let slot = 0; slot < low.length; slot += 1) {
      if ((low[slot]! | high[slot]!) !== 0) this.insert(low[slot]!, high[slot]!, false)
    }
  }
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = (end - start) | 0
  let at = start
  for (const stop = end - 3; at < stop; at += 4) {
    const word =
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    hash = Math.imul(hash ^ word, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  for (; at < end; at += 1) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) | 0
}

function secondHash(bytes: Buffer, start: number, end: number): number {
  let hash = 0x2545f491
  for (let at = start; at < end; at += 1) hash = Math.imul(hash, 31) + bytes[at]!
  return Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) | 0
}
