/**
 * Cuts an increment at an offset that the stream has already passed.
 *
 * A snapshot over a second connection belongs to the moment of the master's fork, and by the
 * time we learn its offset the stream has gone on. What lies behind the offset is copied to the
 * head of a new increment, then cut off the old one; the new one goes on from there.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { formatMark, formatSkew } from '../marks.js'
import type { AppendFile } from '../../disk/append-file.js'
import { writeHead, type PartFile, type PartWriter, type SplitPlace } from './part.js'
import { fileError } from '../../disk/file-error.js'

const COPY_BYTES = 1 << 20

/** Returns the part that goes on in the file `to`. The stream must wait meanwhile. */
export async function splitPart(
  part: PartWriter,
  to: PartFile,
  replOffset: number,
  place: SplitPlace,
): Promise<PartWriter> {
  await part.file.flush()
  const { file } = to
  const { dbnum } = place
  const { replid } = part
  writeHead(file, replOffset, dbnum, replid)
  const isTail = place.copyFrom >= part.boundary.filePosition
  if (place.unstoredBytes > 0 && !isTail) file.appendAscii(formatSkew(place.unstoredBytes))
  const shift = file.position - place.copyFrom
  copyTail(part.file.path, place.copyFrom, part.file.position, file)
  await file.sync()
  part.file.truncate(place.filePosition)
  // Their ends meet, though between them stream bytes lie that are not stored.
  part.file.appendAscii(formatMark({ replOffset, dbnum, replid }))
  return part.moveTo(to, shift, place)
}

function copyTail(path: string, from: number, to: number, file: AppendFile): void {
  try {
    const fd = openSync(path, 'r')
    try {
      const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, Math.max(to - from, 1)))
      for (let at = from; at < to;) {
        const count = readSync(fd, buffer, 0, Math.min(buffer.length, to - at), at)
        if (count === 0) break
        file.append(buffer, 0, count)
        at += count
      }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw fileError(path, 'read', error)
  }
}
