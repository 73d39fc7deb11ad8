/**
 * Finds what must not come twice: fields and members inside a packed blob (exactly), and keys of a
 * db (by a 64-bit hash). Both have a limit in memory, whatever the input.
 */
import { Buffer } from 'node:buffer'
import { NOTED_BYTES } from '../kernels/abi.js'

/** Blobs with more entries than this are not looked at: no server packs so many. */
const MAX_ENTRIES = 1 << 20
/** Keys remembered at a time: in twice as many slots, 1 MB, which the caches of a processor hold. */
const MAX_KEYS = 1 << 15
/** Enough for many a file; the next size is the last, since to move keys costs more than memory. */
const FEW_SLOTS = 64

export class DuplicateFinder {
  /** Position + 1 of an entry; 0: free. */
  #positions = new Int32Array(0)
  #ends = new Int32Array(0)
  #hashes = new Int32Array(0)
  #mask = 0
  #bytes: Buffer = Buffer.alloc(0)
  #probesLeft = 0

  /** Starts on a blob with at most so many entries to compare. */
  begin(bytes: Buffer, maxEntries: number): void {
    this.#bytes = bytes
    if (maxEntries > MAX_ENTRIES) {
      this.#probesLeft = -1
      return
    }
    let size = 64
    while (size < maxEntries * 2) size *= 2
    if (size > this.#positions.length) {
      this.#positions = new Int32Array(size)
      this.#ends = new Int32Array(size)
      this.#hashes = new Int32Array(size)
    } else {
      this.#positions.fill(0, 0, size)
    }
    this.#mask = size - 1
    // Far more than chance needs. Entries made to collide must not cost more than that.
    this.#probesLeft = 32 * maxEntries + 1024
  }

  /** True if the same bytes were added before. */
  add(start: number, end: number): boolean {
    if (this.#probesLeft < 0) return false
    const positions = this.#positions
    const ends = this.#ends
    const hashes = this.#hashes
    const mask = this.#mask
    const hash = hashOf(this.#bytes, start, end)
    let slot = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const position = positions[slot]!
      if (position === 0) break
      if (hashes[slot] === hash && this.#equal(position - 1, ends[slot]!, start, end)) return true
      this.#probesLeft -= 1
      if (this.#probesLeft < 0) return false
      slot = (slot + 1) & mask
    }
    positions[slot] = start + 1
    ends[slot] = end
    hashes[slot] = hash
    return false
  }

  #equal(start: number, end: number, otherStart: number, otherEnd: number): boolean {
    if (end - start !== otherEnd - otherStart) return false
    const bytes = this.#bytes
    for (let at = start, other = otherStart; at < end; at += 1, other += 1) {
      if (bytes[at] !== bytes[other]) return false
    }
    return true
  }
}

/** Who is told of all keys, and may say that one was there before. */
export interface KeyWatch {
  /** 1 / 2^k of the keys are looked at. */
  readonly halvings: number
  /** 1: all keys are compared; n: one of n. */
  readonly comparedOneOf: number
  clear(): void
  /** True if the key was there before. */
  add(dbnum: number, bytes: Buffer, start: number, end: number): boolean
  /**
   * Adds keys whose hashes a kernel has noted (KernelExports.walkRecords): `count` times two hashes
   * and the selector. Returns the number of the first that was there before, or -1.
   */
  addNoted(noted: DataView, at: number, count: number): number
}

/**
 * Keys met so far, by 64 bits of hash. Once full it forgets half of what it holds and from then on
 * looks at half of the keys only (then a quarter, …): which ones is decided by their last bytes, so
 * that the same key is always among them or never. Time and memory stay bounded, and damage that
 * doubles many keys is still found.
 */
export class KeySet implements KeyWatch {
  /** Slots of four: two hashes (0, 0: free), what decides whether the key is looked at, unused. */
  #slots = new Int32Array(FEW_SLOTS * 4)
  #mask = FEW_SLOTS - 1
  #count = 0
  halvings = 0
  comparedOneOf = 1

  clear(): void {
    if (this.#count === 0) return
    if (this.#mask >= FEW_SLOTS) {
      this.#slots = new Int32Array(FEW_SLOTS * 4)
      this.#mask = FEW_SLOTS - 1
    } else {
      this.#slots.fill(0)
    }
    this.#count = 0
    this.halvings = 0
    this.comparedOneOf = 1
  }

  add(dbnum: number, bytes: Buffer, start: number, end: number): boolean {
    const selector = selectorOf(bytes, start, end)
    if (!isSelected(selector, this.halvings)) return false
    if (this.#insert(lowOf(dbnum, bytes, start, end), highOf(dbnum, bytes, start, end), selector)) {
      return true
    }
    if (this.#count * 2 > this.#mask) this.#makeRoom()
    return false
  }

  addNoted(noted: DataView, at: number, count: number): number {
    for (let index = 0; index < count; index += 1) {
      const from = at + index * NOTED_BYTES
      const selector = noted.getInt32(from + 8, true)
      if (!isSelected(selector, this.halvings)) continue
      const low = noted.getInt32(from, true)
      if (this.#insert(low, noted.getInt32(from + 4, true), selector)) return index
      if (this.#count * 2 > this.#mask) this.#makeRoom()
    }
    return -1
  }

  #insert(low: number, high: number, selector: number): boolean {
    const slots = this.#slots
    const mask = this.#mask
    let at = ((low ^ (low >>> 16) ^ high) & mask) << 2
    while ((slots[at]! | slots[at + 1]!) !== 0) {
      if (slots[at] === low && slots[at + 1] === high) return true
      at = (at + 4) & ((mask << 2) | 3)
    }
    slots[at] = low
    slots[at + 1] = high
    slots[at + 2] = selector
    this.#count += 1
    return false
  }

  #makeRoom(): void {
    const slots = this.#slots
    let size = this.#mask + 1
    if (size < MAX_KEYS * 2) size = MAX_KEYS * 2
    else if (this.halvings < 30) this.comparedOneOf = 1 << (this.halvings += 1)
    else return
    this.#slots = new Int32Array(size * 4)
    this.#mask = size - 1
    this.#count = 0
    for (let at = 0; at < slots.length; at += 4) {
      const isFree = (slots[at]! | slots[at + 1]!) === 0
      if (isFree || !isSelected(slots[at + 2]!, this.halvings)) continue
      this.#insert(slots[at]!, slots[at + 1]!, slots[at + 2]!)
    }
  }
}

/** Only notes what a `KeySet` that has come to so many halvings would be told: for one that is elsewhere. */
export class KeyNotes implements KeyWatch {
  readonly comparedOneOf = 1
  halvings = 0
  #notes = new DataView(new ArrayBuffer(FEW_SLOTS * NOTED_BYTES))
  #count = 0

  /** As `addNoted` takes them; it goes on with none. */
  take(): Uint8Array<ArrayBuffer> {
    const notes = new Uint8Array(this.#notes.buffer).slice(0, this.#count * NOTED_BYTES)
    this.#count = 0
    return notes
  }

  clear(): void {
    this.#count = 0
  }

  add(dbnum: number, bytes: Buffer, start: number, end: number): boolean {
    const selector = selectorOf(bytes, start, end)
    if (isSelected(selector, this.halvings)) {
      this.#note(lowOf(dbnum, bytes, start, end), highOf(dbnum, bytes, start, end), selector)
    }
    return false
  }

  addNoted(noted: DataView, at: number, count: number): number {
    for (let from = at; from < at + count * NOTED_BYTES; from += NOTED_BYTES) {
      this.#note(
        noted.getInt32(from, true),
        noted.getInt32(from + 4, true),
        noted.getInt32(from + 8, true),
      )
    }
    return -1
  }

  #note(low: number, high: number, selector: number): void {
    const at = this.#count * NOTED_BYTES
    if (at === this.#notes.byteLength) {
      const wider = new Uint8Array(2 * at)
      wider.set(new Uint8Array(this.#notes.buffer))
      this.#notes = new DataView(wider.buffer)
    }
    this.#notes.setInt32(at, low, true)
    this.#notes.setInt32(at + 4, high, true)
    this.#notes.setInt32(at + 8, selector, true)
    this.#count += 1
  }
}

function isSelected(selector: number, halvings: number): boolean {
  return halvings === 0 || selector >>> (32 - halvings) === 0
}

function lowOf(dbnum: number, bytes: Buffer, start: number, end: number): number {
  const low = hashOf(bytes, start, end) ^ Math.imul(dbnum, 0x85ebca6b)
  // Both 0 would be a free slot.
  return low === 0 && highOf(dbnum, bytes, start, end) === 0 ? 1 : low
}

function highOf(dbnum: number, bytes: Buffer, start: number, end: number): number {
  return secondHash(bytes, start, end) ^ dbnum
}

/** A cheap mix of length and last bytes, where keys mostly differ. */
function selectorOf(bytes: Buffer, start: number, end: number): number {
  let word = end - start
  for (let at = Math.max(start, end - 4); at < end; at += 1) word = (word << 8) ^ bytes[at]!
  return Math.imul(word ^ (word >>> 15), 0x9e3779b1)
}

export function hashOf(bytes: Buffer, start: number, end: number): number {
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

export function secondHash(bytes: Buffer, start: number, end: number): number {
  let hash = 0x2545f491
  let at = start
  for (const stop = end - 3; at < stop; at += 4) {
    const word =
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + Math.imul(word, 0xcc9e2d51)
  }
  for (; at < end; at += 1) hash = Math.imul(hash, 31) + bytes[at]!
  return Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) | 0
}
