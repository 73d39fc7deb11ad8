/**
 * The columns of redis-rdb-tools' memory report, a row for each key: what it is and how large, not
 * what it holds. `export --format csv` and `inspect --csv`.
 */
import { Buffer } from 'node:buffer'
import { ENCODING_NAMES } from '../analyze/encoding.js'
import { KeyAnalysis, type AnalyzedKey, type AnalyzedStrings } from '../analyze/key-analysis.js'
import type { OutputBuffer } from '../bytes/output-buffer.js'
import { printable } from '../bytes/printable.js'
import type { KeyFormat, KeyFormatCounts, KeyFormatRun, KeyWriter } from './key-format.js'
import { RowBuffer, type RowFormat } from './key-lines.js'
import { putNumber, putPlain, putText, putTime } from './line-text.js'

export const CSV_HEADER =
  'database,type,key,size_in_bytes,encoding,num_elements,len_largest_element,expiry\n'

const COMMA = 0x2c
const LF = 0x0a

export const CSV: KeyFormat = {
  extensions: ['csv'],
  isBinary: false,
  walkBlobs: true,
  measuresMemory: true,
  modules: 'row',
  goesInPieces: true,
  functions: false,
  create: (run) => new CsvWriter(run),
}

class CsvWriter implements KeyWriter {
  readonly visitor: KeyAnalysis
  readonly #out: OutputBuffer
  readonly #rows = new RowBuffer(new CsvRows())
  #tooSmall = 0

  constructor({ out, wanted, isFree, minSizeBytes, isPiece }: KeyFormatRun) {
    this.#out = out
    this.visitor = new KeyAnalysis({
      nowMs: 0,
      top: 0,
      ...(isFree ? { onStrings: this.#rows.addStrings } : { wantsKey: wanted }),
      ...(minSizeBytes > 0 ? { wantsMemory: (bytes) => this.#isLarge(bytes, minSizeBytes) } : {}),
      onKey: this.#rows.add,
    })
    if (isPiece !== true) out.write(Buffer.from(CSV_HEADER))
  }

  get counts(): KeyFormatCounts {
    const { keys, functions } = this.visitor
    const none = { commands: 0, losses: {}, inexactStrings: 0, unorderedValues: 0 }
    return { keys, tooSmall: this.#tooSmall, functions, ...none }
  }

  drain(): void {
    if (!this.#rows.hasRows) return
    for (const part of this.#rows.take()) this.#out.write(part)
  }

  finish(): void {
    this.drain()
    this.#out.flush()
  }

  #isLarge(bytes: number, minSizeBytes: number): boolean {
    if (bytes >= minSizeBytes) return true
    this.#tooSmall += 1
    return false
  }
}

/** The columns of redis-rdb-tools' memory report; types and encodings in the servers' words. */
export class CsvRows implements RowFormat {
  readonly order = 0

  head(dbnum: number): string {
    return `${dbnum},string,`
  }

  text({ rows, encodings, memory }: AnalyzedStrings, row: number): string {
    const bytes = memory[row]!
    return `,${bytes},${ENCODING_NAMES[encodings[row]!]},1,${rows.valueBytes(row)},`
  }

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
    let to = putText(this.head(rows.dbnum), out, at)
    to = putCsvKey(rows.bytes, rows.keyStart(row), rows.keyEnd(row), out, to)
    to = putText(this.text(strings, row), out, to)
    if (rows.hasExpiry(row)) to = putTime(rows.expireAtMs(row), out, to)
    out[to] = LF
    return to + 1
  }
}

function putCsvKey(bytes: Buffer, start: number, end: number, out: Buffer, at: number): number {
  const plainEnd = putPlain(bytes, start, end, out, at)
  if (plainEnd >= 0 && !isFormula(bytes[start])) return plainEnd
  return at + out.write(csvField(printable(bytes, start, end)), at)
}

/** A text as a field: quoted where it must be. What a spreadsheet would take for a formula gets the
 * customary apostrophe, unless nobody else chose the text. */
export function csvField(text: string, isGuarded = true): string {
  const safe = isGuarded && isFormula(text.charCodeAt(0)) ? `'${text}` : text
  const isQuoted = safe !== text || text === '' || /[",\n\r]/.test(text)
  return isQuoted ? `"${safe.replaceAll('"', '""')}"` : text
}

/** `=`, `+`, `-`, `@` begin a formula; with the apostrophe guarded too, no two names look alike. */
function isFormula(byte: number | undefined): boolean {
  return byte === 0x3d || byte === 0x2b || byte === 0x2d || byte === 0x40 || byte === 0x27
}
