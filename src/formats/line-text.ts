/** Pieces of rows, written as bytes: text, numbers, times. No string is made for any of them. */
import { Buffer } from 'node:buffer'

const SPACE = 0x20
const COMMA = 0x2c
const QUOTE = 0x22

/** 1: printable ASCII without comma, quote and backslash, shown as it is. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte > SPACE && byte < 0x7f && byte !== COMMA && byte !== QUOTE && byte !== 0x5c ? 1 : 0,
)

/** 1: printable ASCII without backslash: what `printable` leaves as it is. */
const VISIBLE = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= SPACE && byte < 0x7f && byte !== 0x5c ? 1 : 0,
)

/** Copies as long as the bytes are plain; -1 where one is not, or there are none. */
export function putPlain(
  bytes: Buffer,
  start: number,
  end: number,
  out: Buffer,
  at: number,
): number {
  const to = putOf(PLAIN, bytes, start, end, out, at)
  return end > start ? to : -1
}

/** Copies what `printable` would show as it is; -1 where a byte is shown otherwise, or may be. */
export function putVisible(
  bytes: Buffer,
  start: number,
  end: number,
  out: Buffer,
  at: number,
): number {
  return putOf(VISIBLE, bytes, start, end, out, at)
}

function putOf(
  taken: Uint8Array,
  bytes: Buffer,
  start: number,
  end: number,
  out: Buffer,
  at: number,
): number {
  let to = at
  for (let from = start; from < end; from += 1) {
    const byte = bytes[from]!
    if (taken[byte] === 0) return -1
    out[to] = byte
    to += 1
  }
  return to
}

/** ASCII. */
export function putText(text: string, out: Buffer, at: number): number {
  const { length } = text
  for (let index = 0; index < length; index += 1) out[at + index] = text.charCodeAt(index)
  return at + length
}

export function putNumber(value: number, out: Buffer, at: number): number {
  if (value < 0 || value > 0x7fffffff) return putText(String(value), out, at)
  let digits = 1
  for (let bound = 10; bound <= value; bound *= 10) digits += 1
  let rest = value | 0
  for (let to = at + digits - 1; to >= at; to -= 1) {
    const tenth = (rest / 10) | 0
    out[to] = 0x30 + rest - tenth * 10
    rest = tenth
  }
  return at + digits
}

const DAY_MS = 86_400_000

/** ISO 8601 in UTC, `2030-01-01T00:00:00.000Z`; times that a Date cannot hold as milliseconds. */
export function putTime(unixMs: number, out: Buffer, at: number): number {
  const days = Math.floor(unixMs / DAY_MS)
  // 1970 to 9999: what real expiries are.
  if (days < 0 || days > 2_932_896) return putText(String(unixMs), out, at)
  const slot = days & (DAY_SLOTS - 1)
  const text = slot * DAY_CHARS
  if (dayNumbers[slot] !== days) {
    putDate(days, dayTexts, text)
    dayNumbers[slot] = days
  }
  for (let index = 0; index < DAY_CHARS; index += 1) out[at + index] = dayTexts[text + index]!
  const ms = (unixMs - days * DAY_MS) | 0
  const seconds = (ms / 1000) | 0
  const minutes = (seconds / 60) | 0
  const hours = (minutes / 60) | 0
  let to = putTwo(hours, out, at + DAY_CHARS)
  out[to] = 0x3a
  to = putTwo(minutes - hours * 60, out, to + 1)
  out[to] = 0x3a
  to = putTwo(seconds - minutes * 60, out, to + 1)
  out[to] = 0x2e
  to = putPadded(ms - seconds * 1000, 3, out, to + 1)
  out[to] = 0x5a
  return to + 1
}

/** Dates made before: expiries of a file lie on few days. */
const DAY_SLOTS = 64
const DAY_CHARS = 11
const dayNumbers = new Int32Array(DAY_SLOTS).fill(-1)
const dayTexts = Buffer.alloc(DAY_SLOTS * DAY_CHARS)

/** `2030-01-01T`: the civil date from days, counted in eras of 400 years from 0000-03-01. */
function putDate(days: number, out: Buffer, at: number): void {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  let to = putPadded(year, 4, out, at)
  out[to] = 0x2d
  to = putTwo(month, out, to + 1)
  out[to] = 0x2d
  to = putTwo(day, out, to + 1)
  out[to] = 0x54
}

function putTwo(value: number, out: Buffer, at: number): number {
  const tens = (value / 10) | 0
  out[at] = 0x30 + tens
  out[at + 1] = 0x30 + value - tens * 10
  return at + 2
}

function putPadded(value: number, digits: number, out: Buffer, at: number): number {
  let rest = value
  for (let to = at + digits - 1; to >= at; to -= 1) {
    const tenth = Math.floor(rest / 10)
    out[to] = 0x30 + rest - tenth * 10
    rest = tenth
  }
  return at + digits
}
