/**
 * Records of an RDB file passed by the thousand, only to see whether they are sound: what is most
 * of most files, in the forms that servers write today. Anything else, anything damaged and anything
 * that is not wholly there ends the run; the reader in src/rdb takes it from there, and knows how to
 * name it.
 */
import { CHECK_SCORES, CHECK_UNIQUE, MAX_NOTED, NOTED_BYTES, RECORD_TYPES } from '../abi'
import {
  compressedSize,
  expireAtMs,
  expires,
  lengthAt,
  lengthSize,
  openCompressed,
  passAttributes,
  plainSize,
} from './format'
import { lzfCheckLater, lzfCheckWaiting, lzfDecompress, lzfLength } from './lzf'
import { areDistinct, checkIntset, checkListpack, checkStrings } from './packed'
import {
  CONTAINER_PACKED,
  CONTAINER_PLAIN,
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

/** Hashes of the keys of the last run of records: three u32 each, see walkRecords. */
const KEY_HASHES: usize = memory.data(NOTED_BYTES * MAX_NOTED, 16)

/** By type byte, u32 each: the records of the last run, then those of them that are past their time. */
const RECORD_COUNTS: usize = memory.data(8 * RECORD_TYPES, 16)

/** Blobs are decompressed here; a longer one is for others. */
const SCRATCH_BYTES: u32 = 1 << 16
const SCRATCH: usize = memory.data((1 << 16) + 64, 16)
const LAST_TYPE: u32 = 20

/** Attributes, type byte and the length of the key take no more than this. */
const MOST_HEAD_BYTES: usize = 32

/** Compressed strings of such lengths are checked together. */
const LATER_FROM_BYTES: u32 = 1024
const LATER_BELOW_BYTES: u32 = 1 << 24

let keyHashes: u32 = 0
let together = true
let expiredUpToMs: i64 = i64.MIN_VALUE
let recordsEnd: usize = 0
/** The blob that was opened last. */
let blobAt: usize = 0
let blobLength: u32 = 0

/** Where the counters by type are. */
export function walkedRecordCounts(): usize {
  return RECORD_COUNTS
}

/** Unix ms: from now on keys with an earlier expiry are counted as past their time. */
export function countExpired(unixMs: f64): void {
  expiredUpToMs = unixMs as i64
}

/** How many keys of the last run of records were chosen, and where their hashes are. */
export function walkedKeys(): u32 {
  return keyHashes
}

export function walkedKeyHashes(): usize {
  return KEY_HASHES
}

/** Where the record behind the last run starts. */
export function walkedRecordsEnd(): usize {
  return recordsEnd
}

/**
 * A run of records: perhaps attributes, a plain key, a value. Goes on to `end` or to the first
 * record that is for others. Returns how many it passed. Of keys whose selector has its highest
 * `halvings` bits 0 it notes two hashes and the selector, as src/rdb/duplicates.ts makes them; it
 * stops before the one that would be number `limit` + 1.
 */
export function walkRecords(
  address: usize,
  end: usize,
  halvings: u32,
  dbnum: u32,
  limit: u32,
): u32 {
  together = true
  const passed = passRecords(address, end, halvings, dbnum, limit)
  if (lzfCheckWaiting()) return passed
  // Which one was it?
  together = false
  return passRecords(address, end, halvings, dbnum, limit)
}

function passRecords(address: usize, end: usize, halvings: u32, dbnum: u32, limit: u32): u32 {
  const most = min(limit, MAX_NOTED as u32)
  let at = address
  let done: u32 = 0
  keyHashes = 0
  recordsEnd = address
  memory.fill(RECORD_COUNTS, 0, 8 * RECORD_TYPES)
  while (at + MOST_HEAD_BYTES <= end) {
    at = passAttributes(at)
    if (at == 0) break
    const isExpired = expires && expireAtMs <= expiredUpToMs
    const type = load<u8>(at) as u32
    if (type > LAST_TYPE) break
    const first = load<u8>(at, 1) as u32
    let key = at + 2
    let length: usize = first as usize
    if (first >= 0x40) {
      // Integer and compressed keys are for others: their text is what counts.
      if (first >= 0x80) break
      length = ((first & 0x3f) << 8) | (load<u8>(at, 2) as u32)
      key++
    }
    if (length > end - key) break
    at = passValue(type, key + length, end)
    if (at == 0) break
    const choice = selectorOf(key, length)
    if (halvings == 0 || choice >> (32 - halvings) == 0) {
      if (keyHashes == most) break
      const to = KEY_HASHES + (keyHashes as usize) * (NOTED_BYTES as usize)
      let low = firstHash(key, length) ^ (dbnum * 0x85ebca6b)
      const high = secondHash(key, length) ^ dbnum
      if ((low | high) == 0) low = 1
      store<u32>(to, low)
      store<u32>(to, high, 4)
      store<u32>(to, choice, 8)
      keyHashes++
    }
    const count = RECORD_COUNTS + ((type as usize) << 2)
    store<u32>(count, load<u32>(count) + 1)
    if (isExpired) {
      store<u32>(count, load<u32>(count, 4 * RECORD_TYPES) + 1, 4 * RECORD_TYPES)
    }
    done++
    recordsEnd = at
  }
  return done
}

/** Where the value ends, or 0. */
function passValue(type: u32, at: usize, end: usize): usize {
  switch (type) {
    case STRING:
      return passString(at, end)
    case LIST:
      return passElements(at, end, 1, 0, 0)
    case SET:
      return passElements(at, end, 1, 0, CHECK_UNIQUE)
    case HASH:
      return passElements(at, end, 2, 0, CHECK_UNIQUE)
    case ZSET_2:
      return passElements(at, end, 1, 8, CHECK_UNIQUE)
    case SET_INTSET: {
      const next = openBlob(at, end)
      return next != 0 && checkIntset(blobAt, blobLength as usize) > 0 ? next : 0
    }
    case HASH_LISTPACK:
      return passListpack(at, end, 2, CHECK_UNIQUE)
    case ZSET_LISTPACK:
      return passListpack(at, end, 2, CHECK_UNIQUE | CHECK_SCORES)
    case SET_LISTPACK:
      return passListpack(at, end, 1, CHECK_UNIQUE)
    case LIST_QUICKLIST_2:
      return passQuicklist(at, end)
    default:
      return 0
  }
}

function passString(at: usize, end: usize): usize {
  if (at + 11 > end) return 0
  const first = load<u8>(at) as u32
  if (first <= 0x80) {
    const length = lengthAt(at, first) as usize
    at += lengthSize(first)
    return length <= end - at ? at + length : 0
  }
  if (first == 0xc0) return at + 2
  if (first == 0xc1) return at + 3
  if (first == 0xc2) return at + 5
  if (first != 0xc3) return 0
  const next = passCompressed(at, end)
  if (next == 0) return 0
  if (together && compressedSize >= LATER_FROM_BYTES && compressedSize < LATER_BELOW_BYTES) {
    return lzfCheckLater(blobAt, compressedSize as usize, blobLength) ? next : 0
  }
  return lzfLength(blobAt, compressedSize as usize) == (blobLength as f64) ? next : 0
}

/** LEN n, then n elements of so many strings and bytes behind them. */
function passElements(at: usize, end: usize, strings: u32, tail: usize, wanted: i32): usize {
  if (at + 6 > end) return 0
  const first = load<u8>(at) as u32
  if (first > 0x80) return 0
  const count = lengthAt(at, first)
  at += lengthSize(first)
  if (count == 0) return 0
  const next = checkStrings(at, end, count, strings, tail)
  if (next == 0 || wanted != CHECK_UNIQUE) return next
  return areDistinct(at, next, count, strings, tail) ? next : 0
}

function passListpack(at: usize, end: usize, width: u32, wanted: i32): usize {
  const next = openBlob(at, end)
  return next != 0 && checkListpack(blobAt, blobLength as usize, width, wanted) > 0 ? next : 0
}

/** LEN n, then n times LEN container and STR. */
function passQuicklist(at: usize, end: usize): usize {
  if (at + 6 > end) return 0
  const first = load<u8>(at) as u32
  if (first > 0x80) return 0
  let left = lengthAt(at, first)
  at += lengthSize(first)
  if (left == 0) return 0
  for (; left > 0; left--) {
    if (at >= end) return 0
    const container = load<u8>(at) as u32
    if (container == CONTAINER_PACKED) at = passListpack(at + 1, end, 1, 0)
    else if (container == CONTAINER_PLAIN) at = passString(at + 1, end)
    else return 0
    if (at == 0) return 0
  }
  return at
}

/** STR as a blob at `blobAt`, decompressed if need be; returns where it ends in the file, or 0. */
function openBlob(at: usize, end: usize): usize {
  if (at + 11 > end) return 0
  const first = load<u8>(at) as u32
  if (first <= 0x80) {
    blobLength = lengthAt(at, first)
    blobAt = at + lengthSize(first)
    return (blobLength as usize) <= end - blobAt ? blobAt + (blobLength as usize) : 0
  }
  if (first != 0xc3) return 0
  const next = passCompressed(at, end)
  if (next == 0 || blobLength > SCRATCH_BYTES) return 0
  const room = blobLength as usize
  const made = lzfDecompress(blobAt, compressedSize as usize, SCRATCH, room, false)
  if (made != (blobLength as i32)) return 0
  blobAt = SCRATCH
  return next
}

/** A compressed STR: `blobAt` is where the tokens are, `blobLength` what they claim. */
function passCompressed(at: usize, end: usize): usize {
  const tokens = openCompressed(at)
  if (tokens == 0 || tokens > end || (compressedSize as usize) > end - tokens) return 0
  blobAt = tokens
  blobLength = plainSize
  return tokens + (compressedSize as usize)
}

@inline
function selectorOf(at: usize, length: usize): u32 {
  let word = length as u32
  if (length >= 4) {
    word = bswap<u32>(load<u32>(at + length - 4))
  } else {
    for (let i: usize = 0; i < length; i++) word = (word << 8) ^ (load<u8>(at + i) as u32)
  }
  return (word ^ (word >> 15)) * 0x9e3779b1
}

@inline
function firstHash(from: usize, length: usize): u32 {
  let hash = length as u32
  let at = from
  const end = from + length
  while (at + 4 <= end) {
    hash = (hash ^ load<u32>(at)) * 0x9e3779b1
    hash ^= hash >> 15
    at += 4
  }
  for (; at < end; at++) hash = (hash ^ (load<u8>(at) as u32)) * 0x01000193
  return (hash ^ (hash >> 13)) * 0xc2b2ae35
}

@inline
function secondHash(from: usize, length: usize): u32 {
  let hash: u32 = 0x2545f491
  let at = from
  const end = from + length
  while (at + 4 <= end) {
    hash = rotl<u32>(hash, 13) * 5 + load<u32>(at) * 0xcc9e2d51
    at += 4
  }
  for (; at < end; at++) hash = hash * 31 + (load<u8>(at) as u32)
  return (hash ^ (hash >> 16)) * 0x85ebca6b
}
