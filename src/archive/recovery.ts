/**
 * What an increment really holds: read after a crash, before it is continued.
 *
 * The last part may end inside a command, inside a transaction, or behind an annotation whose
 * command is missing. Everything behind the last good boundary is to be cut off, and the
 * replication offset of that boundary is where the stream goes on.
 */
import { closeSync, openSync, readSync, truncateSync } from 'node:fs'
import { AofParser } from '../aof/aof-parser.js'
import { ReplOffsetTracker, type ReplMark } from './marks.js'
import { AofError } from '../errors.js'
import { fileError } from '../disk/file-error.js'

export interface RecoveredPart {
  /** What the mark at its head says; undefined: the file is none of ours. */
  head: ReplMark | undefined
  /** Everything behind it is to be cut off. */
  filePosition: number
  fileBytes: number
  /** Last stream byte contained up to there. */
  replOffset: number
  replid: string
  dbnum: number
  /** Last `#TS:`, or -1. */
  unixSeconds: number
  highestDbnum: number
  /** Deletions of whole slots in it, which servers do not load. */
  trims: number
}

const READ_BYTES = 1 << 20

/**
 * Reads a part to its end.
 *
 * @param syncedPosition up to here the file was fsynced: wrong bytes before it are an error
 *   (AofError), behind it the remains of a crash.
 * @param untilReplOffset what lies behind this stream byte is not looked at
 */
export function recoverPart(
  path: string,
  syncedPosition = 0,
  untilReplOffset = Infinity,
): RecoveredPart {
  const tracker = new ReplOffsetTracker()
  const part: RecoveredPart = {
    head: undefined,
    filePosition: 0,
    fileBytes: 0,
    replOffset: -1,
    replid: '',
    dbnum: 0,
    unixSeconds: -1,
    highestDbnum: 0,
    trims: 0,
  }
  const parser: AofParser = new AofParser(
    {
      command: (_command, at) => tracker.command(at.endByteOffset - at.byteOffset),
      timestamp: (seconds) => (part.unixSeconds = seconds),
      annotation: (line, at) => {
        const counted = tracker.replOffset
        const annotation = tracker.annotation(line, at.byteOffset)
        if (annotation?.kind === 'trim') part.trims += 1
        if (annotation?.kind !== 'at') return
        if (at.byteOffset === 0) {
          const { replOffset, dbnum, replid } = annotation
          part.head = { replOffset, dbnum, replid }
        } else if (annotation.replOffset < counted) {
          throw new AofError(
            'ERR_AOF_CORRUPT',
            { file: path, byteOffset: at.byteOffset, reading: 'offset mark' },
            `the part holds more than its mark says: ${annotation.replOffset}, counted ${counted}`,
          )
        }
      },
      boundary: (at) => {
        // An annotation belongs to the command behind it.
        if (tracker.skewBytes !== 0) return
        if (tracker.replOffset > untilReplOffset) {
          parser.stop()
          return
        }
        part.filePosition = at.endByteOffset
        part.dbnum = at.dbnum
        part.replOffset = tracker.replOffset
        part.replid = tracker.replid ?? ''
        if (at.dbnum > part.highestDbnum) part.highestDbnum = at.dbnum
      },
    },
    { file: path },
  )
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    throw fileError(path, 'open', error)
  }
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    while (!parser.stopped) {
      const count = readSync(fd, buffer, 0, READ_BYTES, part.fileBytes)
      if (count === 0) break
      part.fileBytes += count
      parser.push(buffer, 0, count)
    }
  } catch (error) {
    const at = error instanceof AofError ? (error.where.byteOffset ?? 0) : -1
    if (at < 0 || at < syncedPosition || part.head === undefined) throw error
    part.fileBytes = Math.max(part.fileBytes, at)
  } finally {
    closeSync(fd)
  }
  return part
}

/** Cuts what is behind the last good boundary. */
export function cutToWhole(path: string): void {
  const { filePosition, fileBytes } = recoverPart(path)
  if (filePosition < fileBytes) truncateSync(path, filePosition)
}
