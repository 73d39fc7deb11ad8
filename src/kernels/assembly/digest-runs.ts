/**
 * Digests (digest.ts) of what stands one by one in an RDB: string records, elements of collections,
 * packed values. Each run goes on until its count or its bytes end, or something comes that is not
 * for here (see strings.ts); the run… functions say how far it came.
 */
import { DIGEST_RECORD_BYTES, ELEMENTS_PAIRS, ELEMENTS_SCORES } from '../abi'
import {
  digestAdd,
  digestBegin,
  digestChain,
  digestKey,
  digestRecord,
  digestString,
  digestSum,
  digestWord,
} from './digest'
import { member, number, readEntry, textAt, textSize } from './entries'
import { endRun, measureRun } from './run-end'
import { readScore, scoreIsKnown } from './score'
import {
  clearCompressed,
  readRecord,
  readString,
  recordExpiry,
  recordKey,
  recordKeySize,
  stringAt,
  stringSize,
} from './strings'
import { copy, writeSigned } from './text'

/** What may be looked at of a record: attributes and a length. */
const HEAD_BYTES: usize = 24
const STRING_KIND: u32 = 0
/** A number as text. */
const NUMBER: usize = memory.data(48, 16)

let scoreAt: usize = 0
let scoreSize: usize = 0

/** The score that a listpack was left at. */
export function digestScoreAt(): usize {
  return scoreAt
}

export function digestScoreSize(): usize {
  return scoreSize
}

/** Servers take -0 and 0 for equal, and some forms turn one into the other. */
@inline
function score(value: f64): u64 {
  return value == 0 ? 0 : reinterpret<u64>(value)
}

/**
 * String records: added to the sums of their buckets, or (`sums` 0) written out with their names if
 * the byte of their bucket from `suspects` on is not 0. Times from `shiftMs` on carry it. Returns how
 * many were passed.
 */
export function digestRecords(
  address: usize,
  end: usize,
  scratch: usize,
  dbnum: u32,
  shiftMs: f64,
  sums: usize,
  suspects: usize,
  output: usize,
  outputEnd: usize,
): u32 {
  let at = address
  let to = output
  let done: u32 = 0
  while (at + HEAD_BYTES <= end) {
    const next = readRecord(at, end, scratch)
    if (next == 0) break
    const bucket = digestKey(recordKey, recordKeySize, dbnum)
    if (sums != 0 || load<u8>(suspects + (bucket as usize)) != 0) {
      let time = recordExpiry as f64
      if (time >= shiftMs) time -= shiftMs
      digestBegin()
      digestString(stringAt, stringSize)
      digestAdd()
      if (sums != 0) {
        digestSum(sums, STRING_KIND, time, recordKeySize as f64)
      } else {
        if (to + DIGEST_RECORD_BYTES + recordKeySize + 16 > outputEnd) break
        digestRecord(to, dbnum, recordKeySize as u32, STRING_KIND, 0, time)
        to = copy(recordKey, recordKeySize, to + DIGEST_RECORD_BYTES)
      }
    }
    at = next
    done++
  }
  endRun(at, to)
  return done
}

/** Elements of a collection: strings, or ELEMENTS_PAIRS of them, or with ELEMENTS_SCORES behind, in order if `chained`. */
export function digestElements(
  address: usize,
  end: usize,
  count: u32,
  form: u32,
  chained: bool,
  scratch: usize,
): u32 {
  let at = address
  let done: u32 = 0
  let bytes: u64 = 0
  let most: usize = 0
  clearCompressed()
  while (done < count && at < end) {
    let next = readString(at, end, scratch)
    if (next == 0) break
    let total = stringSize
    let longer = stringSize
    digestBegin()
    digestString(stringAt, stringSize)
    if (form == ELEMENTS_SCORES) {
      if (next + 8 > end) break
      const value = load<f64>(next)
      if (value != value) break
      digestWord(score(value))
      next += 8
    } else if (form == ELEMENTS_PAIRS) {
      next = next < end ? readString(next, end, scratch) : 0
      if (next == 0) break
      digestString(stringAt, stringSize)
      total += stringSize
      longer = max(longer, stringSize)
    }
    if (chained) digestChain()
    else digestAdd()
    bytes += total as u64
    if (longer > most) most = longer
    at = next
    done++
  }
  endRun(at, 0)
  measureRun(bytes, most)
  return done
}

/**
 * Entries of a sound listpack from `address` to its last byte, `stop`. True: that was all. False:
 * there is a score that others must read; its member is at hand, `runInputTo` says where to go on.
 */
export function digestListpack(address: usize, stop: usize, form: u32, chained: bool): bool {
  let at = address
  // The second entry of a pair comes next.
  let second = false
  while (at < stop) {
    at = readEntry(at)
    if (second && form == ELEMENTS_SCORES) {
      let value = number as f64
      if (textAt != 0) {
        value = readScore(textAt, textSize)
        if (!scoreIsKnown) {
          scoreAt = textAt
          scoreSize = textSize
          endRun(at, 0)
          return false
        }
      }
      digestWord(score(value))
      second = false
    } else {
      if (!second) digestBegin()
      if (textAt == 0) digestString(NUMBER, writeSigned(number, NUMBER) - NUMBER)
      else digestString(textAt, textSize)
      second = form != 0 && !second
    }
    if (second) continue
    if (chained) digestChain()
    else digestAdd()
  }
  return true
}

/** Members of a sound intset. */
export function digestIntset(address: usize, length: usize): void {
  const width = load<u32>(address)
  const stop = address + length
  let at = address + 8
  while (at < stop) {
    const value = member(at, width as usize)
    at += width as usize
    digestBegin()
    digestString(NUMBER, writeSigned(value, NUMBER) - NUMBER)
    digestAdd()
  }
}
