/**
 * What is kept of a key of either side until both are known: RECORD_WORDS words of 32 bits. The name
 * itself lies elsewhere, for the few keys that are told by name.
 */

export const RECORD_WORDS = 8
export const RECORD_BYTES = RECORD_WORDS * 4

/** Three words that stand for db and name: see key-hash.ts. */
export const RECORD_HASH = 0
/** Type, time to live and db, packed: see below. */
export const RECORD_CLASS = 3
/** Of the deepest prefix: see prefix-marks.ts. */
export const RECORD_PREFIX = 4
/** Where the name lies, in units of NAME_ALIGN bytes, or NO_NAME. */
export const RECORD_NAME = 5
/** A double: bytes of memory, whole. As an index into doubles: 3. */
export const RECORD_MEMORY = 6

export { NAME_ALIGN } from '../../kernels/abi.js'
export const NO_NAME = 0xffffffff

const TYPE_BITS = 8
const TTL_BITS = 3
const EXPIRED_BIT = 1 << (TYPE_BITS + TTL_BITS)
const DB_SHIFT = TYPE_BITS + TTL_BITS + 1

/** More types and databases share the last one. */
export const MAX_TYPES = 1 << TYPE_BITS
export const MAX_DATABASES = 1 << (32 - DB_SHIFT)

/** @param isExpired its time is past at the moment of the newer side */
export function packClass(type: number, ttl: number, isExpired: boolean, db: number): number {
  return ((db << DB_SHIFT) | (isExpired ? EXPIRED_BIT : 0) | (ttl << TYPE_BITS) | type) >>> 0
}

export function typeOf(packed: number): number {
  return packed & (MAX_TYPES - 1)
}

export function ttlOf(packed: number): number {
  return (packed >>> TYPE_BITS) & ((1 << TTL_BITS) - 1)
}

export function isExpiredIn(packed: number): boolean {
  return (packed & EXPIRED_BIT) !== 0
}

export function dbOf(packed: number): number {
  return packed >>> DB_SHIFT
}
