/** A segment of a spool: stream bytes from an offset on, with their times and checksums. */
import { Buffer } from 'node:buffer'
import type { DataFile } from '../../../disk/data-file.js'
import { SegmentSums } from './spool-sums.js'

const READ_BYTES = 1 << 20
const MARK_BYTES = 16

export interface Segment {
  startReplOffset: number
  data: DataFile
  times: DataFile
  sums: SegmentSums
  /** (offset, ms) pairs. */
  marks: Float64Array
  markCount: number
}

/** Keeps its first bytes. Throws what `fs` throws. */
export function cutSegment(segment: Segment, bytes: number, sumsPath: string): void {
  const { data, times, marks, startReplOffset } = segment
  data.truncate(bytes)
  let marked = segment.markCount
  while (marked > 0 && marks[2 * marked - 2]! >= startReplOffset + bytes) marked -= 1
  segment.markCount = marked
  times.truncate(marked * MARK_BYTES)
  // Checksums are of pieces, and the cut lies in one.
  segment.sums.close()
  segment.sums = new SegmentSums(sumsPath)
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let at = 0; at < bytes;) {
    const count = data.readNow(at, buffer, Math.min(READ_BYTES, bytes - at))
    if (count === 0) return
    segment.sums.add(buffer, 0, count)
    at += count
  }
}
