/**
 * Runs of what stands one by one in an RDB, written out in one call: elements of collections as
 * JSON, string records as lines of JSON or as commands. Each run goes on until its count or its
 * bytes end, the output has no room for the next, or something comes that is not for here (see
 * strings.ts); the run… functions say how far it came.
 */
import {
  ELEMENTS_PAIRS,
  ELEMENTS_SCORES,
  JSON_EXPANSION,
  JSON_HEADS,
  JSON_KEY_LENGTHS,
  JSON_LIMITS,
  JSON_SLOT_BYTES,
  JSON_SLOT_TEXT,
  JSON_SUFFIX,
  JSON_VALUE,
} from '../abi'
import { HLL_MAGIC, HLL_MIN_BYTES, isInteger } from './format'
import { base64Encode } from './json'
import { writeBulk, writeNumber } from './resp'
import { endRun, measureRun } from './run-end'
import {
  clearCompressed,
  readRecord,
  readString,
  recordExpiry,
  recordKey,
  recordKeySize,
  stringAt,
  stringIsInteger,
  stringSize,
} from './strings'
import {
  copy,
  stretchInexact,
  setInexact,
  writeScore,
  writeText,
  writeUnsigned,
} from './text'

/** What an element takes besides its strings. */
const ELEMENT_BYTES: usize = 64
/** What a record takes besides its strings. */
const RECORD_BYTES: usize = 320
/** The shortest record, and what may be looked at of one: attributes and a length. */
const HEAD_BYTES: usize = 24

const QUOTE_COMMA: u16 = 0x2c22
const QUOTE_COLON: u16 = 0x3a22
const QUOTE_COLON_QUOTE: u32 = 0x223a22

/**
 * What lines of JSON are made of, to be filled in by the caller: texts, each a u32 length and from
 * JSON_SLOT_TEXT on the bytes, then for keys of 0 … LIMITS - 1 bytes (and more) the longest value that is
 * `embstr`, i32, without and with an expiry.
 */
const SETTINGS: usize = memory.data(JSON_LIMITS * JSON_SLOT_BYTES + 2 * JSON_KEY_LENGTHS * 4, 16)
/** What stands before the key, behind the value, and between expiry and value. */
const PREFIX: usize = SETTINGS
const SUFFIX: usize = SETTINGS + JSON_SUFFIX * JSON_SLOT_BYTES
const VALUE: usize = SETTINGS + JSON_VALUE * JSON_SLOT_BYTES
/** Between key and value (or expiry): of int, int with expiry, embstr, …, raw, … */
const HEADS: usize = SETTINGS + JSON_HEADS * JSON_SLOT_BYTES
const EMBSTR_LIMITS: usize = SETTINGS + JSON_LIMITS * JSON_SLOT_BYTES
const LIMITS: usize = JSON_KEY_LENGTHS

export function jsonRecordSettings(): usize {
  return SETTINGS
}

const SET_BYTES: usize = 13
/** `*3 $3 SET`, `*5 $3 SET`, `$4 PXAT`, `*3 $9 PEXPIREAT`, each with its line ends. */
const SET_3: usize = memory.data<u8>([
  0x2a, 0x33, 0x0d, 0x0a, 0x24, 0x33, 0x0d, 0x0a, 0x53, 0x45, 0x54, 0x0d, 0x0a, 0, 0, 0,
])
const SET_5: usize = memory.data<u8>([
  0x2a, 0x35, 0x0d, 0x0a, 0x24, 0x33, 0x0d, 0x0a, 0x53, 0x45, 0x54, 0x0d, 0x0a, 0, 0, 0,
])
const PXAT_BYTES: usize = 10
const PXAT: usize = memory.data<u8>([
  0x24, 0x34, 0x0d, 0x0a, 0x50, 0x58, 0x41, 0x54, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0,
])
const PEXPIREAT_BYTES: usize = 19
const PEXPIREAT: usize = memory.data<u8>([
  0x2a, 0x33, 0x0d, 0x0a, 0x24, 0x39, 0x0d, 0x0a, 0x50, 0x45, 0x58, 0x50, 0x49, 0x52, 0x45, 0x41,
  0x54, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
])

let timedRecords: u32 = 0

/** Of a run of records: those with an expiry. */
export function stretchTimed(): u32 {
  return timedRecords
}

/**
 * Elements of a collection: `"a",` each, or as ELEMENTS_PAIRS `"a":"b",`, or with ELEMENTS_SCORES, which stand behind
 * each string as doubles, `"a":1.5,`. Returns how many.
 */
export function jsonElements(
  address: usize,
  end: usize,
  count: u32,
  form: u32,
  output: usize,
  outputEnd: usize,
  scratch: usize,
): u32 {
  let at = address
  let to = output
  let done: u32 = 0
  let bytes: u64 = 0
  let most: usize = 0
  let inexact = stretchInexact()
  clearCompressed()
  while (done < count && at < end) {
    let next = readString(at, end, scratch)
    if (next == 0) break
    const size = stringSize
    let total = size
    let longer = size
    if (to + (JSON_EXPANSION as usize) * size + ELEMENT_BYTES > outputEnd) break
    store<u8>(to, 0x22)
    let after = writeText(stringAt, size, to + 1)
    if (form == ELEMENTS_SCORES) {
      if (next + 8 > end) break
      store<u16>(after, QUOTE_COLON)
      after = writeScore(load<f64>(next), after + 2)
      if (after == 0) break
      store<u8>(after++, 0x2c)
      next += 8
    } else {
      if (form == ELEMENTS_PAIRS) {
        store<u32>(after, QUOTE_COLON_QUOTE)
        after += 3
        next = next < end ? readString(next, end, scratch) : 0
        if (next == 0 || after + (JSON_EXPANSION as usize) * stringSize + ELEMENT_BYTES > outputEnd) break
        after = writeText(stringAt, stringSize, after)
        total += stringSize
        longer = max(size, stringSize)
      }
      store<u16>(after, QUOTE_COMMA)
      after += 2
    }
    bytes += total as u64
    if (longer > most) most = longer
    inexact = stretchInexact()
    to = after
    at = next
    done++
  }
  // The element that it stopped in is written by others.
  setInexact(inexact)
  endRun(at, to)
  measureRun(bytes, most)
  return done
}

/**
 * String records as JSON, with the texts and limits that `jsonRecordSettings` holds, strings as text
 * or in base64. Returns how many.
 */
export function jsonRecords(
  address: usize,
  end: usize,
  output: usize,
  outputEnd: usize,
  scratch: usize,
  base64: bool,
): u32 {
  const prefixSize = load<u32>(PREFIX) as usize
  const suffixSize = load<u32>(SUFFIX) as usize
  const valueSize = load<u32>(VALUE) as usize
  let at = address
  let to = output
  let done: u32 = 0
  while (at + HEAD_BYTES <= end) {
    const next = readRecord(at, end, scratch)
    if (next == 0) break
    if (to + (JSON_EXPANSION as usize) * (recordKeySize + stringSize) + RECORD_BYTES > outputEnd) break
    to = copy(PREFIX + JSON_SLOT_TEXT, prefixSize, to)
    to = base64
      ? to + base64Encode(recordKey, recordKeySize, to)
      : writeText(recordKey, recordKeySize, to)
    const timed = recordExpiry >= 0
    let head = HEADS + (JSON_SLOT_BYTES as usize) * ((encodingOfString(timed) * 2) as usize)
    if (timed) {
      head += JSON_SLOT_BYTES
      to = copy(head + JSON_SLOT_TEXT, load<u32>(head) as usize, to)
      to = writeUnsigned(recordExpiry as u64, to)
      to = copy(VALUE + JSON_SLOT_TEXT, valueSize, to)
    } else {
      to = copy(head + JSON_SLOT_TEXT, load<u32>(head) as usize, to)
    }
    to = base64
      ? to + base64Encode(stringAt, stringSize, to)
      : writeText(stringAt, stringSize, to)
    to = copy(SUFFIX + JSON_SLOT_TEXT, suffixSize, to)
    at = next
    done++
  }
  endRun(at, to)
  return done
}

/** 0 int, 1 embstr, 2 raw; as src/rdb/values/object-encoding.ts tells them. */
@inline
function encodingOfString(timed: bool): u32 {
  if (stringIsInteger || isInteger(stringAt, stringSize)) return 0
  if (stringSize >= HLL_MIN_BYTES && load<u32>(stringAt) == HLL_MAGIC) return 2
  const index = min(recordKeySize, LIMITS - 1) + (timed ? LIMITS : 0)
  return (stringSize as i32) <= load<i32>(EMBSTR_LIMITS + (index << 2)) ? 1 : 2
}

/**
 * String records as SET; the expiry `withSet` as its PXAT, else as a PEXPIREAT behind it. Returns
 * how many; `stretchTimed` says how many of them have an expiry.
 */
export function respRecords(
  address: usize,
  end: usize,
  output: usize,
  outputEnd: usize,
  scratch: usize,
  withSet: bool,
): u32 {
  let at = address
  let to = output
  let done: u32 = 0
  let expiries: u32 = 0
  while (at + HEAD_BYTES <= end) {
    const next = readRecord(at, end, scratch)
    if (next == 0) break
    if (to + 2 * recordKeySize + stringSize + RECORD_BYTES > outputEnd) break
    const timed = recordExpiry >= 0
    to = copy(timed && withSet ? SET_5 : SET_3, SET_BYTES, to)
    to = writeBulk(recordKey, recordKeySize, to)
    to = writeBulk(stringAt, stringSize, to)
    if (timed) {
      expiries++
      if (withSet) {
        to = copy(PXAT, PXAT_BYTES, to)
        // SET takes no time below 1; anything that early is past anyway.
        to = writeNumber(max(recordExpiry, 1) as u64, to)
      } else {
        to = copy(PEXPIREAT, PEXPIREAT_BYTES, to)
        to = writeBulk(recordKey, recordKeySize, to)
        to = writeNumber(recordExpiry as u64, to)
      }
    }
    at = next
    done++
  }
  endRun(at, to)
  timedRecords = expiries
  return done
}
