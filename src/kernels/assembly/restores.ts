/**
 * Records of an RDB as the commands that write them into a server, thousands a call: RESTORE with
 * the value as it stands in the file, or SET. Of a value only the frame is looked at, as the reader
 * in src/rdb does for RESTORE; what is damaged, unusual or not wholly there is left to that.
 */
import {
  INTSET_HEAD_BYTES,
  LISTPACK_HEAD_BYTES,
  MAX_LISTPACK_BYTES,
  MAX_OWN_KEY_BYTES,
  RESTORE_BY_SET,
  RESTORE_BY_SET_OR_RESTORE,
  RESTORE_EXPIRED_UP_TO,
  RESTORE_FLAGS,
  RESTORE_KNOWS_ABSTTL,
  RESTORE_KNOWS_PXAT,
  RESTORE_LEAVE,
  RESTORE_MOST_BYTES,
  RESTORE_OWN_KEY,
  RESTORE_OWN_SIZE,
  RESTORE_REPLACES,
  RESTORE_SHIFT,
  RESTORE_TYPES,
  RESTORE_VERSIONS,
} from '../abi'
import { crc64Over } from './crc64'
import {
  compressedSize,
  EXPIRY_MS,
  expireAtMs,
  expires,
  FREQ,
  lengthAt,
  lengthSize,
  openCompressed,
  passAttributes,
  plainSize,
} from './format'
import { lzfDecompress } from './lzf'
import { CRLF, writeBulk, writeLength, writeNumber } from './resp'
import { endRun } from './run-end'
import { readString, stringAt, stringSize } from './strings'
import { copy } from './text'
import {
  CONTAINER_PACKED,
  CONTAINER_PLAIN,
  HASH,
  HASH_LISTPACK,
  HASH_ZIPLIST,
  LIST,
  LIST_QUICKLIST,
  LIST_QUICKLIST_2,
  LIST_ZIPLIST,
  SET,
  SET_INTSET,
  SET_LISTPACK,
  STRING,
  ZSET_2,
  ZSET_LISTPACK,
  ZSET_ZIPLIST,
} from './types'

/** What the caller fills in. */
const SETTINGS: usize = memory.data(RESTORE_OWN_KEY + MAX_OWN_KEY_BYTES + 16, 16)
const HOW: usize = SETTINGS
const VERSIONS: usize = SETTINGS + RESTORE_VERSIONS
const EXPIRED_UP_TO: usize = SETTINGS + RESTORE_EXPIRED_UP_TO
const SHIFT: usize = SETTINGS + RESTORE_SHIFT
const FLAGS: usize = SETTINGS + RESTORE_FLAGS
const MOST_BYTES: usize = SETTINGS + RESTORE_MOST_BYTES
const OWN_SIZE: usize = SETTINGS + RESTORE_OWN_SIZE
const OWN_KEY: usize = SETTINGS + RESTORE_OWN_KEY

/** u32 by type byte: keys written; keys left out since they are past their time. */
const COUNTS: usize = memory.data(2 * RESTORE_TYPES * 4, 16)
const WRITTEN: usize = COUNTS
const EXPIRED: usize = COUNTS + RESTORE_TYPES * 4

const ZIPLIST_HEAD_BYTES: u32 = 10
const COUNT_UNKNOWN: u32 = 65535
/** The first bytes of a compressed blob. */
const BLOB_HEAD: usize = memory.data(64, 16)

/** Attributes, type byte and the length of the key take no more than this. */
const MOST_HEAD_BYTES: usize = 32
/** What a command takes besides key and value. */
const FRAME_BYTES: usize = 320
const MAX_TIME: u64 = 1 << 52

const HEAD_BYTES: usize = 17
/** `*4 $7 RESTORE` with its line ends, to be patched; then the heads of SET. */
const RESTORE_4: usize = memory.data<u8>([
  0x2a, 0x34, 0x0d, 0x0a, 0x24, 0x37, 0x0d, 0x0a, 0x52, 0x45, 0x53, 0x54, 0x4f, 0x52, 0x45, 0x0d,
  0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
])
const SET_BYTES: usize = 13
const SET_3: usize = memory.data<u8>([
  0x2a, 0x33, 0x0d, 0x0a, 0x24, 0x33, 0x0d, 0x0a, 0x53, 0x45, 0x54, 0x0d, 0x0a, 0, 0, 0,
])
const PXAT_BYTES: usize = 10
const PXAT: usize = memory.data<u8>([
  0x24, 0x34, 0x0d, 0x0a, 0x50, 0x58, 0x41, 0x54, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0,
])
const REPLACE_BYTES: usize = 13
const REPLACE: usize = memory.data<u8>([
  0x24, 0x37, 0x0d, 0x0a, 0x52, 0x45, 0x50, 0x4c, 0x41, 0x43, 0x45, 0x0d, 0x0a, 0, 0, 0,
])
const ABSTTL_BYTES: usize = 12
const ABSTTL: usize = memory.data<u8>([
  0x24, 0x36, 0x0d, 0x0a, 0x41, 0x42, 0x53, 0x54, 0x54, 0x4c, 0x0d, 0x0a, 0, 0, 0, 0,
])
const IDLETIME_BYTES: usize = 14
const IDLETIME: usize = memory.data<u8>([
  0x24, 0x38, 0x0d, 0x0a, 0x49, 0x44, 0x4c, 0x45, 0x54, 0x49, 0x4d, 0x45, 0x0d, 0x0a, 0, 0,
])
const FREQ_BYTES: usize = 10
const FREQ_BULK: usize = memory.data<u8>([
  0x24, 0x34, 0x0d, 0x0a, 0x46, 0x52, 0x45, 0x51, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0,
])

let wantsRoom: bool = false

export function restoreSettings(): usize {
  return SETTINGS
}

export function restoreCounts(): usize {
  return COUNTS
}

/** The run ended for want of room in the output. */
export function restoreWantsRoom(): i32 {
  return wantsRoom ? 1 : 0
}

/** Returns how many records it passed, those past their time among them. */
export function restoreRecords(
  address: usize,
  end: usize,
  output: usize,
  outputEnd: usize,
  scratch: usize,
): u32 {
  const flags = load<u32>(FLAGS)
  const expiredUpTo = load<f64>(EXPIRED_UP_TO)
  const shift = load<f64>(SHIFT) as i64
  const most = load<u32>(MOST_BYTES) as usize
  const ownSize = load<u32>(OWN_SIZE) as usize
  const knowsAbsttl = (flags & RESTORE_KNOWS_ABSTTL) != 0
  memory.fill(COUNTS, 0, 2 * 4 * RESTORE_TYPES)
  let at = address
  let to = output
  let done: u32 = 0
  wantsRoom = false
  while (at + MOST_HEAD_BYTES <= end) {
    const typeAt = passAttributes(at)
    if (typeAt == 0) break
    const type = load<u8>(typeAt) as u32
    if (type > SET_LISTPACK) break
    let how = load<u8>(HOW + (type as usize)) as u32
    if (how == RESTORE_LEAVE) break
    let key = typeAt + 2
    let keySize = load<u8>(typeAt, 1) as usize
    if (keySize >= 0x40) {
      // Integer and compressed keys are for others.
      if (keySize >= 0x80) break
      keySize = ((keySize & 0x3f) << 8) | (load<u8>(typeAt, 2) as usize)
      key++
    }
    if (keySize > end - key) break
    const value = key + keySize
    const next = passFrame(type, value, end)
    if (next == 0 || next > end) break
    if (keySize == ownSize && isOwn(key, keySize)) break
    const timed = expires
    let time = expireAtMs
    if (timed) {
      // Times before 1970 and far beyond are for others.
      if ((time as u64) > MAX_TIME) break
      if ((time as f64) <= expiredUpTo) {
        count(EXPIRED, type)
        at = next
        done++
        continue
      }
      time = max<i64>(1, time + shift)
    }
    const recency = at + (timed ? (load<u8>(at) == EXPIRY_MS ? 9 : 5) : 0)
    const hasRecency = recency != typeAt
    if (how == RESTORE_BY_SET || (how == RESTORE_BY_SET_OR_RESTORE && !hasRecency)) {
      if (timed && (flags & RESTORE_KNOWS_PXAT) == 0) break
      if (readString(value, end, scratch) == 0) break
      if (to + keySize + stringSize + FRAME_BYTES > outputEnd) {
        wantsRoom = true
        break
      }
      to = copy(SET_3, SET_BYTES, to)
      if (timed) store<u8>(to - SET_BYTES, 0x35, 1)
      to = writeBulk(key, keySize, to)
      to = writeBulk(stringAt, stringSize, to)
      if (timed) to = writeNumber(time as u64, copy(PXAT, PXAT_BYTES, to))
    } else {
      if ((timed || hasRecency) && !knowsAbsttl) break
      const size = next - value
      if (size + keySize + FRAME_BYTES > most) break
      if (to + keySize + size + FRAME_BYTES > outputEnd) {
        wantsRoom = true
        break
      }
      let argc: u32 = 0x34 + (flags & RESTORE_REPLACES)
      if (timed) argc += 1
      if (hasRecency) argc += 2
      copy(RESTORE_4, HEAD_BYTES, to)
      store<u8>(to, argc, 1)
      to = writeBulk(key, keySize, to + HEAD_BYTES)
      to = writeNumber(timed ? (time as u64) : 0, to)
      to = writePayload(type, value, size, to)
      if ((flags & RESTORE_REPLACES) != 0) to = copy(REPLACE, REPLACE_BYTES, to)
      if (timed) to = copy(ABSTTL, ABSTTL_BYTES, to)
      if (hasRecency) to = writeRecency(recency, to)
    }
    count(WRITTEN, type)
    at = next
    done++
  }
  endRun(at, to)
  return done
}

@inline
function count(counts: usize, type: u32): void {
  const slot = counts + ((type as usize) << 2)
  store<u32>(slot, load<u32>(slot) + 1)
}

function isOwn(key: usize, size: usize): bool {
  for (let index: usize = 0; index < size; index++) {
    if (load<u8>(key + index) != load<u8>(OWN_KEY + index)) return false
  }
  return true
}

/** `$n`, then type byte, value, version and the checksum of all these. */
@inline
function writePayload(type: u32, value: usize, size: usize, position: usize): usize {
  let to = writeLength(size + 11, position)
  const payload = to
  store<u8>(to, type)
  to = copy(value, size, to + 1)
  store<u16>(to, load<u16>(VERSIONS + ((type as usize) << 1)))
  to += 2
  store<u64>(to, crc64Over(0, payload, to - payload))
  store<u16>(to, CRLF, 8)
  return to + 10
}

function writeRecency(recency: usize, to: usize): usize {
  if (load<u8>(recency) == FREQ) {
    return writeNumber(load<u8>(recency, 1) as u64, copy(FREQ_BULK, FREQ_BYTES, to))
  }
  const seconds = lengthAt(recency + 1, load<u8>(recency, 1) as u32)
  return writeNumber(seconds as u64, copy(IDLETIME, IDLETIME_BYTES, to))
}

/** Where the value ends, by its lengths, or 0. Empty values are for others. */
@inline
function passFrame(type: u32, at: usize, end: usize): usize {
  if (type == STRING) return passString(at, end)
  switch (type) {
    case LIST:
    case SET:
      return passStrings(at, end, 1, 0)
    case HASH:
      return passStrings(at, end, 2, 0)
    case ZSET_2:
      return passStrings(at, end, 1, 8)
    case SET_INTSET:
      return passBlob(at, end, INTSET_HEAD_BYTES, 1)
    case SET_LISTPACK:
      return passBlob(at, end, LISTPACK_HEAD_BYTES, 1)
    case HASH_LISTPACK:
    case ZSET_LISTPACK:
      return passBlob(at, end, LISTPACK_HEAD_BYTES, 2)
    case LIST_ZIPLIST:
      return passBlob(at, end, ZIPLIST_HEAD_BYTES, 1)
    case HASH_ZIPLIST:
    case ZSET_ZIPLIST:
      return passBlob(at, end, ZIPLIST_HEAD_BYTES, 2)
    case LIST_QUICKLIST:
      return passNodes(at, end, false)
    case LIST_QUICKLIST_2:
      return passNodes(at, end, true)
    default:
      return 0
  }
}

/** STR by its lengths; a compressed one must not claim more than its tokens can hold. */
@inline
function passString(at: usize, end: usize): usize {
  if (at >= end) return 0
  const first = load<u8>(at) as u32
  if (first < 0x40) return at + 1 + (first as usize)
  if (first < 0x80) return at + 2 + (lengthAt(at, first) as usize)
  return passOther(at, end, first)
}

function passOther(at: usize, end: usize, first: u32): usize {
  if (at + 11 > end) return 0
  if (first == 0x80) {
    const size = lengthAt(at, first) as usize
    return size <= end - at ? at + 5 + size : 0
  }
  if (first == 0xc0) return at + 2
  if (first == 0xc1) return at + 3
  if (first == 0xc2) return at + 5
  if (first != 0xc3) return 0
  const tokens = openCompressed(at)
  if (tokens == 0 || tokens > end) return 0
  return (compressedSize as usize) <= end - tokens ? tokens + (compressedSize as usize) : 0
}

/** LEN n, then n times so many STR and `tail` bytes. */
function passStrings(from: usize, end: usize, strings: u32, tail: usize): usize {
  if (from + 6 > end) return 0
  const first = load<u8>(from) as u32
  if (first > 0x80) return 0
  let elements = lengthAt(from, first)
  if (elements == 0) return 0
  let at = from + lengthSize(first)
  for (; elements > 0; elements--) {
    for (let left = strings; left > 0; left--) {
      at = passString(at, end)
      // Short ones may end behind `end`: nothing is read there.
      if (at == 0 || at > end) return 0
    }
    at += tail
  }
  return at
}

/** STR of a blob whose first bytes state how many entries it has: enough for one element. */
function passBlob(at: usize, end: usize, headBytes: u32, width: u32): usize {
  if (at + 11 > end) return 0
  const first = load<u8>(at) as u32
  let head: usize
  let size: u32
  let next: usize
  if (first <= 0x80) {
    size = lengthAt(at, first)
    head = at + lengthSize(first)
    if (size < headBytes || (size as usize) > end - head) return 0
    next = head + (size as usize)
  } else {
    if (first != 0xc3) return 0
    const tokens = openCompressed(at)
    size = plainSize
    if (tokens == 0 || size < headBytes || tokens > end) return 0
    if ((compressedSize as usize) > end - tokens) return 0
    const made = lzfDecompress(
      tokens,
      compressedSize as usize,
      BLOB_HEAD,
      headBytes as usize,
      true,
    )
    if (made != (headBytes as i32)) return 0
    head = BLOB_HEAD
    next = tokens + (compressedSize as usize)
  }
  if (headBytes == INTSET_HEAD_BYTES) return load<u32>(head, 4) > 0 ? next : 0
  const isListpack = headBytes == LISTPACK_HEAD_BYTES
  if (isListpack && size > (MAX_LISTPACK_BYTES as u32)) return 0
  const entries = (isListpack ? load<u16>(head, 4) : load<u16>(head, 8)) as u32
  return entries >= width && entries != COUNT_UNKNOWN ? next : 0
}

/** LEN n, then n times STR of a ziplist, or LEN container and STR of a listpack or one element. */
function passNodes(from: usize, end: usize, contained: bool): usize {
  if (from + 6 > end) return 0
  const first = load<u8>(from) as u32
  if (first > 0x80) return 0
  let nodes = lengthAt(from, first)
  if (nodes == 0) return 0
  let at = from + lengthSize(first)
  for (; nodes > 0; nodes--) {
    if (!contained) {
      at = passBlob(at, end, ZIPLIST_HEAD_BYTES, 1)
    } else {
      if (at >= end) return 0
      const container = load<u8>(at) as u32
      if (container == CONTAINER_PACKED) at = passBlob(at + 1, end, LISTPACK_HEAD_BYTES, 1)
      else if (container == CONTAINER_PLAIN) at = passString(at + 1, end)
      else return 0
    }
    if (at == 0 || at > end) return 0
  }
  return at
}
