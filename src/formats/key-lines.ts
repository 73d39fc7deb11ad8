/**
 * A row for each key, written as bytes into buffers that are reused: `inspect --keys`, and rows of
 * other forms. Millions of rows: no string, object or promise for any of them.
 */
import { Buffer } from 'node:buffer'
import { ENCODING_NAMES } from '../analyze/encoding.js'
import type { AnalyzedKey, AnalyzedStrings } from '../analyze/key-analysis.js'
import { printable } from '../bytes/printable.js'
import { kernelOf } from '../kernels/kernel.js'
import { InternalError } from '../errors.js'
import { LineLane } from './line-lane.js'
import { putNumber, putPlain, putText, putTime } from './line-text.js'

export interface RowFormat {
  /** Writes one row to out[at…], where `ROW_ROOM` + 4 × key bytes are free; returns its end. */
  key(key: AnalyzedKey, out: Buffer, at: number): number
  /** The same for a string. */
  string(strings: AnalyzedStrings, row: number, out: Buffer, at: number): number
  /** What LineLane needs to do that: in which order, what comes first, what a shape shares. */
  readonly order: 0 | 1
  head(dbnum: number): string
  text(strings: AnalyzedStrings, row: number): string
}

/** Everything of a row but its key. */
const ROW_ROOM = 512
const PART_BYTES = 1 << 20

const LF = 0x0a
const SPACE = 0x20
const MINUS = 0x2d

/** Collects rows; `flush` hands out what is there. */
export class RowBuffer {
  /** Full ones, but the last. */
  readonly #parts: Buffer[] = []
  readonly #ends: number[] = []
  readonly #spare: Buffer[] = []
  #part: Buffer = Buffer.allocUnsafeSlow(PART_BYTES)
  #end = 0
  #kernel: LineLane | undefined
  readonly #format: RowFormat

  constructor(format: RowFormat) {
    this.#format = format
  }

  readonly add = (key: AnalyzedKey): void => {
    this.#room(key.header.key.end - key.header.key.start)
    this.#end = this.#format.key(key, this.#part, this.#end)
  }

  readonly addStrings = (strings: AnalyzedStrings): void => {
    const { rows } = strings
    const format = this.#format
    const owner = kernelOf(rows.bytes)
    if (owner === undefined) throw new InternalError('rows of strings without a kernel')
    if (this.#kernel?.belongsTo(owner) !== true) this.#kernel = new LineLane(owner, format.order)
    const kernel = this.#kernel
    const hasHead = kernel.setHead(format.head(rows.dbnum))
    for (let row = 0; row < rows.count;) {
      const next = hasHead ? kernel.write(rows, row) : row
      if (next > row) this.#append(rows.bytes, kernel.outStart, kernel.outEnd)
      const stuck = next === row
      row = next
      if (row === rows.count) return
      const shape = rows.shape(row)
      if (hasHead && kernel.takes(shape) && kernel.setText(shape, format.text(strings, row)))
        continue
      if (!stuck) continue
      // A key that must be quoted, or lengths that few share.
      this.#room(rows.keyEnd(row) - rows.keyStart(row))
      this.#end = format.string(strings, row, this.#part, this.#end)
      row += 1
    }
  }

  get hasRows(): boolean {
    return this.#end > 0 || this.#parts.length > 0
  }

  /** `write` resolves when the bytes are not needed any more: their memory is used again. */
  async flush(write: (bytes: Buffer) => Promise<void>): Promise<void> {
    for (const part of this.take()) await write(part)
  }

  /** What is there, in parts, each valid until the next is asked for. */
  *take(): Generator<Buffer, void, undefined> {
    this.#next(PART_BYTES)
    for (const [index, part] of this.#parts.entries()) {
      yield part.subarray(0, this.#ends[index])
      if (part.length === PART_BYTES) this.#spare.push(part)
    }
    this.#parts.length = 0
    this.#ends.length = 0
  }

  #append(bytes: Buffer, start: number, end: number): void {
    if (this.#end + end - start > this.#part.length) this.#next(PART_BYTES)
    this.#end += bytes.copy(this.#part, this.#end, start, end)
  }

  #room(keyBytes: number): void {
    const room = ROW_ROOM + 4 * keyBytes
    if (this.#end + room > this.#part.length) this.#next(room)
  }

  #next(room: number): void {
    if (this.#end > 0) {
      this.#parts.push(this.#part)
      this.#ends.push(this.#end)
    } else if (this.#part.length >= room) {
      return
    }
    this.#end = 0
    this.#part =
      (room <= PART_BYTES ? this.#spare.pop() : undefined) ??
      Buffer.allocUnsafeSlow(Math.max(PART_BYTES, room))
  }
}

/** `db type encoding elements memory expiry key`: columns for cut and awk, the key last. */
export class KeyRows implements RowFormat {
  readonly order = 1

  head(dbnum: number): string {
    return `db${dbnum} string `
  }

  text({ encodings, memory }: AnalyzedStrings, row: number): string {
    return `${ENCODING_NAMES[encodings[row]!]} 1 ${memory[row]!} `
  }

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
    let to = putText(this.head(rows.dbnum) + this.text(strings, row), out, at)
    to = putExpiry(rows.hasExpiry(row), rows.expireAtMs(row), out, to)
    return putLastKey(rows.bytes, rows.keyStart(row), rows.keyEnd(row), out, to)
  }
}

function putExpiry(hasExpiry: boolean, expireAtMs: number, out: Buffer, at: number): number {
  if (hasExpiry) return putTime(expireAtMs, out, at)
  out[at] = MINUS
  return at + 1
}

function putLastKey(bytes: Buffer, start: number, end: number, out: Buffer, at: number): number {
  out[at] = SPACE
  // A name without a letter would leave a hole.
  const plainEnd =
    start === end ? putText('""', out, at + 1) : putPlain(bytes, start, end, out, at + 1)
  const to = plainEnd >= 0 ? plainEnd : at + 1 + out.write(printable(bytes, start, end), at + 1)
  out[to] = LF
  return to + 1
}
