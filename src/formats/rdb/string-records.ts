/**
 * Records of strings that are wanted or not by their key and time, copied as they lie there: rows of
 * them are taken apart by the kernel, and neighbours go as one piece.
 */
import type { Buffer } from 'node:buffer'
import { KernelStringBatch } from '../../rdb/lane/string-batch.js'
import type { Stretch } from '../../rdb/lane/lane.js'
import type { RdbOutput } from '../../rdb/writer/rdb-output.js'
import type { KeyFormatRun } from '../key-format.js'

/** Nobody asks for separators here. */
const NO_SEPARATOR = 0

export class StringRecords {
  /** Of the last row. */
  copied = 0
  readonly #wanted: NonNullable<KeyFormatRun['wantedString']>
  readonly #batch = new KernelStringBatch(NO_SEPARATOR)

  constructor(wanted: NonNullable<KeyFormatRun['wantedString']>) {
    this.#wanted = wanted
  }

  /** Returns how many records it passed. */
  copy(stretch: Stretch, dbnum: number, output: RdbOutput): number {
    const batch = this.#batch
    const { kernel, start, end } = stretch
    const { memory } = kernel
    const rest = batch.read(kernel, start, end)
    const { count } = batch
    this.copied = 0
    if (count === 0) return 0
    stretch.takenTo = rest
    const { out } = output.to
    /** What is wanted and not copied yet begins here, and so does the record at hand. */
    let from = start
    let at = start
    for (let row = 0; row < count; row += 1) {
      const keyEnd = batch.keyEnd(row)
      const to = valueEnd(memory, keyEnd)
      const keyStart = batch.keyStart(row)
      if (this.#wanted(dbnum, memory, keyStart, keyEnd, batch.expireAtMs(row))) {
        this.copied += 1
      } else {
        if (from < at) {
          output.select(dbnum)
          out.write(memory, from, at)
        }
        from = to
      }
      at = to
    }
    if (from < at) {
      output.select(dbnum)
      out.write(memory, from, at)
    }
    return count
  }
}

/** Where the string at `at` ends, of which the kernel has seen that it is whole. */
function valueEnd(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  if (first < 0x40) return at + 1 + first
  if (first < 0x80) return at + 2 + (((first & 0x3f) << 8) | bytes[at + 1]!)
  switch (first) {
    case 0x80:
      return at + 5 + bytes.readUInt32BE(at + 1)
    case 0xc0:
      return at + 2
    case 0xc1:
      return at + 3
    case 0xc2:
      return at + 5
    default: {
      // Compressed: two lengths, of which the first is that of what stands behind them.
      const afterFirst = at + 1 + lengthBytes(bytes[at + 1]!)
      const compressed = lengthAt(bytes, at + 1)
      return afterFirst + lengthBytes(bytes[afterFirst]!) + compressed
    }
  }
}

function lengthBytes(first: number): number {
  if (first < 0x40) return 1
  return first < 0x80 ? 2 : 5
}

function lengthAt(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  if (first < 0x40) return first
  if (first < 0x80) return ((first & 0x3f) << 8) | bytes[at + 1]!
  return bytes.readUInt32BE(at + 1)
}
