/**
 * `inspect --csv` and `--keys`: a row for each key, written as bytes into buffers that are reused.
 * Millions of rows: no string, object or promise for any of them.
 */
import { Buffer } from 'node:buffer'
import { ENCODING_NAMES } from '../../analyze/encoding.js'
import type { AnalyzedKey, AnalyzedStrings } from '../../api/inspect.js'
import { printableText } from '../../api/key-text.js'
import { STRING_SHAPES } from '../../rdb/visitor.js'
import { putNumber, putPlain, putText, putTime } from './row-text.js'

/** Both write one row to out[at…], where `ROW_ROOM` + 4 × key bytes are free; they return its end. */
export interface RowFormat {
  key(key: AnalyzedKey, out: Buffer, at: number): number
  string(strings: AnalyzedStrings, row: number, out: Buffer, at: number): number
}

/** Everything of a row but its key. */
const ROW_ROOM = 512
const PART_BYTES = 1 << 20

export const CSV_HEADER =
  'database,type,key,size_in_bytes,encoding,num_elements,len_largest_element,expiry\n'

const COMMA = 0x2c
const LF = 0x0a
const SPACE = 0x20
const MINUS = 0x2d

/** Collects rows; `flush` hands out what is there. */
export class RowBuffer {
  /** Full ones, but the last. */
  private readonly parts: Buffer[] = []
  private readonly ends: number[] = []
  private readonly spare: Buffer[] = []
  private part: Buffer = Buffer.allocUnsafeSlow(PART_BYTES)
  private end = 0
  private readonly format: RowFormat

  constructor(format: RowFormat) {
    this.format = format
  }

  readonly add = (key: AnalyzedKey): void => {
    this.room(key.header.key.end - key.header.key.start)
    this.end = this.format.key(key, this.part, this.end)
  }

  readonly addStrings = (strings: AnalyzedStrings): void => {
    const { rows } = strings
    const { format } = this
    for (let row = 0; row < rows.count; row += 1) {
      this.room(rows.keyEnd(row) - rows.keyStart(row))
      this.end = format.string(strings, row, this.part, this.end)
    }
  }

  get hasRows(): boolean {
    return this.end > 0 || this.parts.length > 0
  }

  /** `write` resolves when the bytes are not needed any more: their memory is used again. */
  async flush(write: (bytes: Buffer) => Promise<void>): Promise<void> {
    this.next(PART_BYTES)
    for (const [index, part] of this.parts.entries()) {
      await write(part.subarray(0, this.ends[index]))
      if (part.length === PART_BYTES) this.spare.push(part)
    }
    this.parts.length = 0
    this.ends.length = 0
  }

  private room(keyBytes: number): void {
    const room = ROW_ROOM + 4 * keyBytes
    if (this.end + room > this.part.length) this.next(room)
  }

  private next(room: number): void {
    if (this.end > 0) {
      this.parts.push(this.part)
      this.ends.push(this.end)
    } else if (this.part.length >= room) {
      return
    }
    this.end = 0
    this.part =
      (room <= PART_BYTES ? this.spare.pop() : undefined) ??
      Buffer.allocUnsafeSlow(Math.max(PART_BYTES, room))
  }
}

/** The columns of redis-rdb-tools' memory report; types and encodings in the servers' words. */
export class CsvRows implements RowFormat {
  private readonly texts = new ShapeTexts()

  key(key: AnalyzedKey, out: Buffer, at: number): number {
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

  string(strings: AnalyzedStrings, row: number, out: Buffer, at: number): number {
    const { rows } = strings
    let to = putNumber(rows.dbnum, out, at)
    to = putText(',string,', out, to)
    to = putCsvKey(rows.bytes, rows.keyStart(row), rows.keyEnd(row), out, to)
    to = this.texts.put(rows.shape(row), csvMiddle, strings, row, out, to)
    if (rows.hasExpiry(row)) to = putTime(rows.expireAtMs(row), out, to)
    out[to] = LF
    return to + 1
  }
}

function csvMiddle({ rows, encodings, memory }: AnalyzedStrings, row: number): string {
  const bytes = Math.round(memory[row]!)
  return `,${bytes},${ENCODING_NAMES[encodings[row]!]},1,${rows.valueBytes(row)},`
}

/** `db type encoding elements memory expiry key`: columns for cut and awk, the key last. */
export class KeyRows implements RowFormat {
  private readonly texts = new ShapeTexts()

  key(key: AnalyzedKey, out: Buffer, at: number): number {
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
    to = putExpiry(header.hasExpiry, header.expireAtMs, out, to + 1)
    return putLastKey(header.key.bytes, header.key.start, header.key.end, out, to)
  }

  string(strings: AnalyzedStrings, row: number, out: Buffer, at: number): number {
    const { rows } = strings
    let to = putText('db', out, at)
    to = putNumber(rows.dbnum, out, to)
    to = this.texts.put(rows.shape(row), keyMiddle, strings, row, out, to)
    to = putExpiry(rows.hasExpiry(row), rows.expireAtMs(row), out, to)
    return putLastKey(rows.bytes, rows.keyStart(row), rows.keyEnd(row), out, to)
  }
}

function keyMiddle({ encodings, memory }: AnalyzedStrings, row: number): string {
  return ` string ${ENCODING_NAMES[encodings[row]!]} 1 ${Math.round(memory[row]!)} `
}

function putExpiry(hasExpiry: boolean, expireAtMs: number, out: Buffer, at: number): number {
  if (hasExpiry) return putTime(expireAtMs, out, at)
  out[at] = MINUS
  return at + 1
}

function putLastKey(bytes: Buffer, start: number, end: number, out: Buffer, at: number): number {
  out[at] = SPACE
  const plainEnd = putPlain(bytes, start, end, out, at + 1)
  const to =
    plainEnd >= 0 ? plainEnd : at + 1 + out.write(printableText(bytes.subarray(start, end)), at + 1)
  out[to] = LF
  return to + 1
}

const SLOT_BYTES = 64
const MAX_SLOTS = 4096

/** The part of a row that is the same for all strings of a shape, as bytes made once. */
class ShapeTexts {
  /** Slot + 1 by shape. */
  private readonly slots = new Uint16Array(STRING_SHAPES)
  private readonly lengths = new Uint8Array(MAX_SLOTS)
  private readonly texts = Buffer.alloc(MAX_SLOTS * SLOT_BYTES)
  private count = 0

  put(
    shape: number,
    make: (strings: AnalyzedStrings, row: number) => string,
    strings: AnalyzedStrings,
    row: number,
    out: Buffer,
    at: number,
  ): number {
    if (shape >= STRING_SHAPES) return putText(make(strings, row), out, at)
    let slot = this.slots[shape]!
    if (slot === 0) {
      if (this.count === MAX_SLOTS) return putText(make(strings, row), out, at)
      const text = make(strings, row)
      this.lengths[this.count] = this.texts.write(text, this.count * SLOT_BYTES, 'latin1')
      this.count += 1
      this.slots[shape] = slot = this.count
    }
    const from = (slot - 1) * SLOT_BYTES
    const length = this.lengths[slot - 1]!
    const { texts } = this
    for (let index = 0; index < length; index += 1) out[at + index] = texts[from + index]!
    return at + length
  }
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
