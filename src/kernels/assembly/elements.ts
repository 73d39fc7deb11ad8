/**
 * Elements of collections as arguments of commands: those that stand one by one in an RDB, and the
 * entries of listpacks and intsets, which must be sound. Goes on until the command is full, which is
 * looked at before each element as src/rewrite/command-writer.ts does, or until something comes
 * that is not for here; the run… functions say how far it came.
 */
import { ELEMENTS_PAIRS, ELEMENTS_SCORES } from '../abi'
import { member, number, readEntry, setEntry, textAt, textSize } from './entries'
import { writeBulk, writeInteger } from './resp'
import { endRun, measureRun } from './run-end'
import { clearCompressed, readString, stringAt, stringSize } from './strings'
import { writeScore } from './text'

/** What an element takes besides its strings. */
const ELEMENT_BYTES: usize = 96
const SCORE: usize = memory.data(64, 16)
const MINUS: u8 = 0x2d

/** At most `count` elements, while the output is shorter than up to `fullAt`. Returns how many. */
export function respElements(
  address: usize,
  end: usize,
  count: u32,
  form: u32,
  output: usize,
  outputEnd: usize,
  fullAt: usize,
  scratch: usize,
): u32 {
  let at = address
  let to = output
  let done: u32 = 0
  let bytes: u64 = 0
  let most: usize = 0
  clearCompressed()
  while (done < count && to < fullAt && at < end) {
    let next = readString(at, end, scratch)
    if (next == 0 || to + stringSize + ELEMENT_BYTES > outputEnd) break
    let total = stringSize
    let longer = stringSize
    let after = to
    if (form == ELEMENTS_SCORES) {
      if (next + 8 > end) break
      // Also -0, which wants more than one command.
      const scoreEnd = writeScore(load<f64>(next), SCORE)
      if (scoreEnd == 0) break
      next += 8
      after = writeBulk(SCORE, scoreEnd - SCORE, after)
      after = writeBulk(stringAt, stringSize, after)
    } else {
      after = writeBulk(stringAt, stringSize, after)
      if (form == ELEMENTS_PAIRS) {
        next = next < end ? readString(next, end, scratch) : 0
        if (next == 0 || after + stringSize + ELEMENT_BYTES > outputEnd) break
        after = writeBulk(stringAt, stringSize, after)
        total += stringSize
        longer = max(longer, stringSize)
      }
    }
    bytes += total as u64
    most = max(most, longer)
    to = after
    at = next
    done++
  }
  endRun(at, to)
  measureRun(bytes, most)
  return done
}

@inline
function writeEntry(to: usize): usize {
  return textAt == 0 ? writeInteger(number, to) : writeBulk(textAt, textSize, to)
}

/** Whether no score of the entries up to `stop` is perhaps -0: that wants more than one command. */
export function scoresAreSimple(address: usize, stop: usize): bool {
  let at = address
  while (at < stop) {
    at = readEntry(readEntry(at))
    if (textAt != 0 && load<u8>(textAt) == MINUS && mayBeZero(textAt + 1, textAt + textSize)) {
      return false
    }
  }
  return true
}

/** Digits 1 to 9 in front of anything but digits and a point: it is not. */
function mayBeZero(from: usize, end: usize): bool {
  let sawDigit = false
  for (let at = from; at < end; at++) {
    const code = load<u8>(at) as u32
    if (code == 0x2e) continue
    if (code < 0x30 || code > 0x39) return true
    if (code != 0x30) sawDigit = true
  }
  return !sawDigit
}

/** Entries from `address` up to `stop`, at most `count` elements of them. Returns how many. */
export function respListpack(
  address: usize,
  stop: usize,
  count: u32,
  form: u32,
  output: usize,
  fullAt: usize,
): u32 {
  let at = address
  let to = output
  let done: u32 = 0
  while (done < count && to < fullAt && at < stop) {
    at = readEntry(at)
    if (form == ELEMENTS_SCORES) {
      const memberAt = textAt
      const memberSize = textSize
      const memberNumber = number
      at = readEntry(at)
      to = writeEntry(to)
      setEntry(memberAt, memberSize, memberNumber)
      to = writeEntry(to)
    } else {
      to = writeEntry(to)
      if (form == ELEMENTS_PAIRS) {
        at = readEntry(at)
        to = writeEntry(to)
      }
    }
    done++
  }
  endRun(at, to)
  return done
}

/** Members of so many bytes from `address` up to `end`, at most `count`. Returns how many. */
export function respIntset(
  address: usize,
  end: usize,
  count: u32,
  width: u32,
  output: usize,
  fullAt: usize,
): u32 {
  let at = address
  let to = output
  let done: u32 = 0
  while (done < count && to < fullAt && at < end) {
    const value = member(at, width as usize)
    to = writeInteger(value, to)
    at += width as usize
    done++
  }
  endRun(at, to)
  return done
}
