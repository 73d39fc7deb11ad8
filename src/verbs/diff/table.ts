/**
 * Records of keys (RECORD says what is where), found by db and name. No object is made for any of
 * them: there may be millions, part after part, in the same memory.
 */
import {
  DIGEST_DB,
  DIGEST_EXPIRE_AT,
  DIGEST_KIND,
  DIGEST_NAME,
  DIGEST_NAME_BYTES,
  DIGEST_RECORD_BYTES,
} from '../../kernels/abi.js'
import { Buffer } from 'node:buffer'

/** In place of a kind: not to be looked at any more. */
const GONE = 0xffffffff
const MIN_SLOTS = 1024
/** A name this long is left to a function that is fast but slow to call. */
const SHORT_BYTES = 64

export class RecordTable {
  bytes: Buffer = Buffer.alloc(0)
  /** Offset of a record + 1, or 0. */
  #slots = new Uint32Array(MIN_SLOTS)
  #mask = MIN_SLOTS - 1

  /** Of records with the same name the last one counts. Changes the bytes. */
  load(bytes: Buffer, onTwice: () => void): void {
    this.bytes = bytes
    this.#clear(Math.floor(bytes.length / DIGEST_RECORD_BYTES))
    for (let at = 0; at < bytes.length; at = this.endOf(at)) {
      const slot = this.#slotOf(this, at)
      const before = this.#slots[slot]!
      if (before !== 0) {
        this.remove(before - 1)
        onTwice()
      }
      this.#slots[slot] = at + 1
    }
  }

  /** The record of the same db and name as `other` has there, or -1. */
  find(other: RecordTable, at: number): number {
    return this.#slots[this.#slotOf(other, at)]! - 1
  }

  remove(at: number): void {
    this.bytes.writeUInt32LE(GONE, at + DIGEST_KIND)
  }

  /** The first record from `at` on that is still there, or -1. */
  next(at: number): number {
    const { bytes } = this
    let next = at
    while (next < bytes.length && this.word(next, DIGEST_KIND) === GONE) next = this.endOf(next)
    return next < bytes.length ? next : -1
  }

  /** Where the record behind it begins. */
  endOf(at: number): number {
    return at + DIGEST_RECORD_BYTES + this.word(at, DIGEST_NAME_BYTES)
  }

  word(at: number, field: number): number {
    return this.bytes.readUInt32LE(at + field)
  }

  expiryOf(at: number): number {
    return this.bytes.readDoubleLE(at + DIGEST_EXPIRE_AT)
  }

  nameOf(at: number): Buffer {
    return this.bytes.subarray(at + DIGEST_RECORD_BYTES, this.endOf(at))
  }

  /** Whether `size` bytes of a field, a multiple of 4, are those of the other record. */
  isSame(at: number, other: RecordTable, otherAt: number, field: number, size: number): boolean {
    for (let offset = field; offset < field + size; offset += 4) {
      if (this.word(at, offset) !== other.word(otherAt, offset)) return false
    }
    return true
  }

  /** The slot with the record of the same name, or that it would have. */
  #slotOf(other: RecordTable, otherAt: number): number {
    const slots = this.#slots
    const mask = this.#mask
    let slot = Math.imul(other.word(otherAt, DIGEST_NAME), 0x9e3779b1) >>> 7
    for (;;) {
      slot &= mask
      const at = slots[slot]! - 1
      if (at === -1 || this.#hasName(at, other, otherAt)) return slot
      slot += 1
    }
  }

  #hasName(at: number, other: RecordTable, otherAt: number): boolean {
    if (at === otherAt && other === this) return true
    if (!this.isSame(at, other, otherAt, DIGEST_NAME, 8)) return false
    // Db and length of the name, then the name.
    if (!this.isSame(at, other, otherAt, DIGEST_DB, 8)) return false
    const [from, otherFrom] = [at + DIGEST_RECORD_BYTES, otherAt + DIGEST_RECORD_BYTES]
    const size = this.word(at, DIGEST_NAME_BYTES)
    if (size > SHORT_BYTES) {
      return this.bytes.compare(other.bytes, otherFrom, otherFrom + size, from, from + size) === 0
    }
    for (let index = 0; index < size; index += 1) {
      if (this.bytes[from + index] !== other.bytes[otherFrom + index]) return false
    }
    return true
  }

  #clear(records: number): void {
    let size = MIN_SLOTS
    while (size < records + (records >> 1)) size *= 2
    if (size > this.#slots.length) this.#slots = new Uint32Array(size)
    else this.#slots.fill(0, 0, size)
    this.#mask = size - 1
  }
}
