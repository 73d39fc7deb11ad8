/**
 * Checksums of what lies in a spool, beside each segment of the stream: what a power cut has left
 * as zeros, or a disk has changed, must not be written into a target. They are looked at when a
 * later run takes a spool up; what does not agree is asked of the source again.
 *
 *   stream-<offset>.sums    records of 16 bytes: end of the piece in the segment (double), CRC-64 of
 *                           the bytes since the record before, both little-endian
 */
import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { DataFile } from '../../../disk/data-file.js'
import { Crc64 } from '../../../kernels/crc64.js'

const RECORD_BYTES = 16
/** A record is written behind so many bytes, or after so long. */
const PIECE_BYTES = 64 << 10
const PIECE_MS = 5
const READ_BYTES = 1 << 20

export class SegmentSums {
  readonly #file: DataFile
  #sum = new Crc64()
  #endByte: number
  #pieceBytes = 0
  #lastMs = 0

  /** @param there what of the segment is there already, and has its records */
  constructor(path: string, there?: SoundPart) {
    this.#file = there === undefined ? DataFile.create(path) : DataFile.open(path)
    if (there !== undefined) this.#file.truncate(there.sumsBytes)
    this.#endByte = there?.bytes ?? 0
  }

  /** The segment grows by these bytes. */
  add(bytes: Buffer, start: number, end: number): void {
    this.#sum.update(bytes, start, end)
    this.#endByte += end - start
    this.#pieceBytes += end - start
    const nowMs = performance.now()
    if (this.#pieceBytes < PIECE_BYTES && nowMs - this.#lastMs < PIECE_MS) return
    this.#lastMs = nowMs
    this.#note()
  }

  close(): void {
    if (this.#pieceBytes > 0) this.#note()
    this.#file.close()
  }

  #note(): void {
    const record = Buffer.allocUnsafe(RECORD_BYTES)
    record.writeDoubleLE(this.#endByte, 0)
    record.writeBigUInt64LE(this.#sum.value, 8)
    this.#file.append(record)
    this.#sum = new Crc64()
    this.#pieceBytes = 0
  }
}

export interface SoundPart {
  /** So many bytes of the segment agree with their checksums. */
  bytes: number
  /** And so many bytes of the file of checksums speak of them. */
  sumsBytes: number
  /** What is behind differs; false: it has no checksum yet, as when the process was killed. */
  isDamaged: boolean
}

/** Reads a segment and its checksums from the beginning. Throws what `fs` throws. */
export function soundPart(segmentPath: string, sumsPath: string): SoundPart {
  const sums = readFileSync(sumsPath)
  const file = DataFile.open(segmentPath, 'r')
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  const part: SoundPart = { bytes: 0, sumsBytes: 0, isDamaged: false }
  try {
    for (let at = 0; at + RECORD_BYTES <= sums.length; at += RECORD_BYTES) {
      const end = sums.readDoubleLE(at)
      const sum = new Crc64()
      let position = part.bytes
      while (position < end) {
        const count = file.readNow(position, buffer, Math.min(buffer.length, end - position))
        if (count === 0) break
        sum.update(buffer, 0, count)
        position += count
      }
      if (position !== end || end <= part.bytes || sum.value !== sums.readBigUInt64LE(at + 8)) {
        part.isDamaged = true
        break
      }
      part.bytes = end
      part.sumsBytes = at + RECORD_BYTES
    }
  } finally {
    file.close()
  }
  return part
}

/** CRC-64 of a whole file, as it stands in the spool's state. Throws what `fs` throws. */
export function fileSum(path: string): string {
  const sum = new Crc64()
  const file = DataFile.open(path, 'r')
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  try {
    for (let at = 0; ;) {
      const count = file.readNow(at, buffer)
      if (count === 0) return sum.value.toString(16)
      sum.update(buffer, 0, count)
      at += count
    }
  } finally {
    file.close()
  }
}
