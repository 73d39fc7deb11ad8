/**
 * `inspect --csv` and `--keys`: a row for each key, written as bytes into a buffer that is reused.
 * Millions of rows: no string, object or promise for any of them.
 */
import { Buffer } from 'node:buffer'
import type { AnalyzedKey } from '../../api/inspect.js'
import { printableText } from '../../api/key-text.js'

/** Writes one row for a key to out[at…], where `ROW_ROOM` + 4 × key bytes are free. */
export type RowFormat = (key: AnalyzedKey, out: Buffer, at: number) => number

/** Everything of a row but its key. */
const ROW_ROOM = 512
const PART_BYTES = 256 * 1024

export const CSV_HEADER =
  'database,type,key,size_in_bytes,encoding,num_elements,len_largest_element,expiry\n'

const COMMA = 0x2c
const QUOTE = 0x22
const LF = 0x0a
const SPACE = 0x20

/** Collects rows; `take` hands out what is there. */
export class RowBuffer {
  private parts: Buffer[] = []
  private part = Buffer.allocUnsafeSlow(PART_BYTES)
  private end = 0
  private readonly format: RowFormat

  constructor(format: RowFormat) {
    this.format = format
  }

  readonly add = (key: AnalyzedKey): void => {
    const room = ROW_ROOM + 4 * (key.header.key.end - key.header.key.start)
    if (this.end + room > this.part.length) this.next(room)
    this.end = this.format(key, this.part, this.end)
  }

  get hasRows(): boolean {
    return this.end > 0 || this.parts.length > 0
  }

  take(): Buffer {
    const whole = Buffer.concat([...this.parts, this.part.subarray(0, this.end)])
    this.parts = []
    this.end = 0
    return whole
  }

  private next(room: number): void {
    if (this.end > 0) this.parts.push(this.part.subarray(0, this.end))
    this.part = Buffer.allocUnsafeSlow(Math.max(PART_BYTES, room))
    this.end = 0
  }
}

/** The columns of redis-rdb-tools' memory report; types and encodings in the servers' words. */
export function csvRow(key: AnalyzedKey, out: Buffer, at: number): number {
  const { header, stats } = key
  let to = putNumber(header.dbnum, out, at)
  out[to] = COMMA
  to = putText(key.type, out, to + 1)
  out[to] = COMMA
  to = putCsvKey(header.key.bytes, header.key.start, header.key.end, out, to + 1)
  out[to] = COMMA
  to = putNumber(key.memory, out, to + 1)
  out[to] = COMMA
  to = putText(key.encoding, out, to + 1)
  out[to] = COMMA
  to = putNumber(stats.elements, out, to + 1)
  out[to] = COMMA
  to += 1
  if (stats.largestElementBytes >= 0) to = putNumber(stats.largestElementBytes, out, to)
  out[to] = COMMA
  to += 1
  if (header.hasExpiry) to = putTime(header.expireAtMs, out, to)
  out[to] = LF
  return to + 1
}

/** `db type encoding elements memory expiry key`: columns for cut and awk, the key last. */
export function keyRow(key: AnalyzedKey, out: Buffer, at: number): number {
  const { header, stats } = key
  let to = putText('db', out, at)
  to = putNumber(header.dbnum, out, to)
  out[to] = SPACE
  to = putText(key.type, out, to + 1)
  out[to] = SPACE
  to = putText(key.encoding, out, to + 1)
  out[to] = SPACE
  to = putNumber(stats.elements, out, to + 1)
  out[to] = SPACE
  to = putNumber(key.memory, out, to + 1)
  out[to] = SPACE
  to += 1
  if (header.hasExpiry) {
    to = putTime(header.expireAtMs, out, to)
  } else {
    out[to] = 0x2d
    to += 1
  }
  out[to] = SPACE
  const { bytes, start, end } = header.key
  const plainEnd = putPlain(bytes, start, end, out, to + 1)
  to =
    plainEnd >= 0 ? plainEnd : to + 1 + out.write(printableText(bytes.subarray(start, end)), to + 1)
  out[to] = LF
  return to + 1
}

function putCsvKey(bytes: Buffer, start: number, end: number, out: Buffer, at: number): number {
  const plainEnd = putPlain(bytes, start, end, out, at)
  if (plainEnd >= 0 && !isFormula(bytes[start])) return plainEnd
  const text = printableText(bytes.subarray(start, end))
  const quoted = /[",]/.test(text) || text === ''
  // What a spreadsheet would take for a formula gets the customary apostrophe.
  const safe = isFormula(bytes[start]) ? `'${text}` : text
  return at + out.write(quoted || safe !== text ? `"${safe.replaceAll('"', '""')}"` : safe, at)
}

/** `=`, `+`, `-`, `@` begin a formula. */
function isFormula(byte: number | undefined): boolean {
  return byte === 0x3d || byte === 0x2b || byte === 0x2d || byte === 0x40
}

/** 1: printable ASCII without comma, quote and backslash, shown as it is. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte > SPACE && byte < 0x7f && byte !== COMMA && byte !== QUOTE && byte !== 0x5c ? 1 : 0,
)

/** Copies as long as the bytes are plain; -1 where one is not, or there are none. */
function putPlain(bytes: Buffer, start: number, end: number, out: Buffer, at: number): number {
  let to = at
  for (let from = start; from < end; from += 1) {
    const byte = bytes[from]!
    if (PLAIN[byte] === 0) return -1
    out[to] = byte
    to += 1
  }
  return end > start ? to : -1
}

/** ASCII. */
function putText(text: string, out: Buffer, at: number): number {
  const { length } = text
  for (let index = 0; index < length; index += 1) out[at + index] = text.charCodeAt(index)
  return at + length
}

function putNumber(value: number, out: Buffer, at: number): number {
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
function putTime(unixMs: number, out: Buffer, at: number): number {
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
