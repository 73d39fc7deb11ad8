/**
 * One increment being written: stream bytes in, the bytes of an append-only file out.
 *
 * Keeps count of both coordinates (file position and replication offset), writes the marks that
 * join them, `#TS:` lines outside of transactions, and holds a transaction back until its EXEC,
 * so that the file never ends inside of one, which servers would mix into what
 * they write behind it. One above `holdBytes` grows aside, in a hidden file, which is the next
 * increment once its EXEC has come.
 */
import { formatMark, formatSkew, type ReplMark } from '../marks.js'
import type { IncrRecord } from '../sidecar.js'
import { CommandEncoder, encodeCommand } from '../../resp/encoder.js'
import type { AppendFile } from '../../disk/append-file.js'

/** Places remembered for a split; beyond this a split is refused. */
const MAX_SEGMENTS = 1 << 20

/** A file, and what it is in the timeline. */
export interface PartFile {
  record: IncrRecord
  file: AppendFile
}

/** Where a part gets a file for a transaction that is too large to hold. */
export interface PartOwner {
  /** A transaction up to this size waits in memory for its EXEC. */
  readonly holdBytes: number
  openAside(): AppendFile
  /** The transaction is whole, and `old` complete: its file is the next increment. */
  nameAside(old: PartFile, file: AppendFile, replOffset: number, replid: string): IncrRecord
  discardAside(file: AppendFile): void
}

/** A boundary: what lies before it is whole. */
export interface PartBoundary {
  filePosition: number
  /** Last stream byte stored before it. */
  storedReplOffset: number
  /** Stream bytes behind it that are not stored (PING). */
  unstoredBytes: number
  dbnum: number
}

/** From here on, file bytes and stream bytes run in step, up to the next segment. */
interface Segment {
  filePosition: number
  replOffset: number
  dbnum: number
  /** Where the segment before ended; between the two lies what is stored differently. */
  beforeFilePosition: number
  beforeReplOffset: number
  /** What lies between: an annotation for what is not stored, into which a split may fall; a
   * mark, the same but absolute; or commands. */
  between: 'skew' | 'mark' | 'commands'
}

export interface SplitPlace {
  filePosition: number
  dbnum: number
  /** Where the bytes for the new part begin, and what has to be told in front of them. */
  copyFrom: number
  unstoredBytes: number
}

export class PartWriter {
  record: IncrRecord
  /** Of the boundary. */
  file: AppendFile
  readonly boundary: PartBoundary
  replid: string
  dbnum: number
  inTransaction = false
  /** A command too large to hold is being written in pieces. */
  inPiece = false
  /** Last stream byte stored, counting what is held. */
  #storedReplOffset: number
  /** Stream bytes since then that are not stored. */
  unstoredBytes: number
  readonly #held = new CommandEncoder(4096)
  #holding = false
  #segments: Segment[] | undefined
  readonly #owner: PartOwner
  /** Where a transaction grows that is too large to hold. */
  #aside: AppendFile | undefined

  constructor(
    { record, file }: PartFile,
    owner: PartOwner,
    at: { storedReplOffset: number; unstoredBytes: number; dbnum: number; replid: string },
  ) {
    this.record = record
    this.file = file
    this.#owner = owner
    this.#storedReplOffset = at.storedReplOffset
    this.unstoredBytes = at.unstoredBytes
    this.dbnum = at.dbnum
    this.replid = at.replid
    this.boundary = {
      filePosition: file.position,
      storedReplOffset: at.storedReplOffset,
      unstoredBytes: at.unstoredBytes,
      dbnum: at.dbnum,
    }
  }

  /** A new one, in an empty file. */
  static begin(
    to: PartFile,
    owner: PartOwner,
    { replOffset, dbnum, replid }: ReplMark,
  ): PartWriter {
    const at = { storedReplOffset: replOffset, unstoredBytes: 0, dbnum, replid }
    const part = new PartWriter(to, owner, at)
    writeHead(part.file, replOffset, dbnum, replid)
    part.noteBoundary()
    part.kick()
    return part
  }

  /** Last stream byte that has passed. */
  get replOffset(): number {
    return this.#storedReplOffset + this.unstoredBytes
  }

  drain(): Promise<void> | undefined {
    return (this.#aside ?? this.file).drain()
  }

  /** Closes without writing what is queued. What grew aside goes. */
  async abandon(): Promise<void> {
    await this.file.abandon()
    await this.#aside?.remove()
  }

  /** Starts writing what has come. */
  kick(): void {
    this.file.kick()
    this.#aside?.kick()
  }

  get atBoundary(): boolean {
    return !this.inTransaction && !this.inPiece
  }

  /** A mark that settles the offset, and with it what was left out so far. At a boundary only. */
  writeMark(timestamp = ''): void {
    const before = this.file.position
    const beforeReplOffset = this.#storedReplOffset
    this.#storedReplOffset += this.unstoredBytes
    this.unstoredBytes = 0
    const { dbnum, replid } = this
    const replOffset = this.#storedReplOffset
    this.file.appendAscii(timestamp + formatMark({ replOffset, dbnum, replid }))
    this.noteBoundary()
    this.#noteSegment(before, beforeReplOffset, 'mark')
  }

  /** Commands as they came: `bytes` of the stream, the same in the file. */
  store(bytes: Uint8Array, start: number, end: number): void {
    if (this.unstoredBytes !== 0) this.#settle()
    this.#write(bytes, start, end)
    this.#storedReplOffset += end - start
  }

  /** A command in another form than it came in. */
  storeInstead(bytes: Uint8Array, start: number, end: number, streamBytes: number): void {
    if (this.unstoredBytes !== 0) this.#settle()
    const before = this.file.position
    const beforeReplOffset = this.#storedReplOffset
    const difference = streamBytes - (end - start)
    if (difference !== 0) this.#write(Buffer.from(formatSkew(difference), 'latin1'))
    this.#write(bytes, start, end)
    this.#storedReplOffset += streamBytes
    if (!this.inTransaction) this.#noteSegment(before, beforeReplOffset, 'commands')
  }

  /** Stream bytes that are not stored. */
  leaveOut(streamBytes: number): void {
    this.unstoredBytes += streamBytes
  }

  select(dbnum: number): void {
    this.dbnum = dbnum
    if (!this.inTransaction) {
      this.#noteSegment(this.file.position, this.#storedReplOffset, 'commands')
    }
  }

  beginTransaction(): void {
    // Not by a skew: the transaction may never come, and no file may end behind one.
    if (this.unstoredBytes !== 0) this.writeMark()
    this.noteBoundary()
    this.inTransaction = true
    this.#holding = true
  }

  endTransaction(): void {
    this.inTransaction = false
    if (this.#holding) {
      this.file.appendWhole(this.#held.bytes, 0, this.#held.length)
      this.#held.reset()
      this.#holding = false
    }
    if (this.#aside !== undefined) {
      this.#moveAside(this.#aside)
      return
    }
    // Rewritten commands inside make file and stream run apart; nobody splits in there.
    this.#noteSegment(this.boundary.filePosition, this.boundary.storedReplOffset, 'commands')
  }

  /** What has been written is whole up to here. */
  noteBoundary(): void {
    const boundary = this.boundary
    boundary.filePosition = this.file.position
    boundary.storedReplOffset = this.#storedReplOffset
    boundary.unstoredBytes = this.unstoredBytes
    boundary.dbnum = this.dbnum
  }

  /** Forgets an unfinished transaction or command. Returns true if the file must be cut. */
  forgetUnfinished(): boolean {
    const mustCut = this.file.position > this.boundary.filePosition
    if (this.#aside !== undefined) this.#owner.discardAside(this.#aside)
    this.#aside = undefined
    this.#held.reset()
    this.#holding = false
    this.inTransaction = false
    this.inPiece = false
    this.#storedReplOffset = this.boundary.storedReplOffset
    this.unstoredBytes = this.boundary.unstoredBytes
    this.dbnum = this.boundary.dbnum
    return mustCut
  }

  /** Remembers places from now on, so that the part can be split at an offset already passed. */
  watchForSplit(): void {
    const { filePosition, storedReplOffset: replOffset, dbnum } = this.boundary
    this.#segments = [
      {
        filePosition,
        replOffset,
        dbnum,
        beforeFilePosition: filePosition,
        beforeReplOffset: replOffset,
        between: 'commands',
      },
    ]
  }

  stopWatching(): void {
    this.#segments = undefined
  }

  get isWatched(): boolean {
    return this.#segments !== undefined
  }

  /** Where the part can be cut so that its last stream byte is this one; undefined: nowhere. */
  placeOf(replOffset: number): SplitPlace | undefined {
    const segments = this.#segments
    if (segments === undefined || segments.length > MAX_SEGMENTS) return undefined
    const index = segments.findLastIndex((each) => each.replOffset <= replOffset)
    const segment = segments[index]
    if (segment === undefined) return undefined
    const next = segments[index + 1]
    const lastReplOffset = next?.beforeReplOffset ?? this.boundary.storedReplOffset
    const lastPosition = next?.beforeFilePosition ?? this.boundary.filePosition
    if (replOffset <= lastReplOffset) {
      const filePosition = segment.filePosition + replOffset - segment.replOffset
      if (filePosition > lastPosition) return undefined
      return { filePosition, dbnum: segment.dbnum, copyFrom: filePosition, unstoredBytes: 0 }
    }
    // Between stored commands: a PING or so. What of it lies behind the split is told again.
    if (next === undefined) {
      const unstoredBytes = lastReplOffset + this.boundary.unstoredBytes - replOffset
      if (unstoredBytes < 0) return undefined
      return {
        filePosition: lastPosition,
        dbnum: segment.dbnum,
        copyFrom: lastPosition,
        unstoredBytes,
      }
    }
    if (next.between === 'commands') return undefined
    const isMark = next.between === 'mark'
    return {
      filePosition: lastPosition,
      dbnum: segment.dbnum,
      copyFrom: isMark ? lastPosition : next.filePosition,
      unstoredBytes: isMark ? 0 : next.replOffset - replOffset,
    }
  }

  /**
   * The same state in another file, whose end holds what this one holds behind a split.
   *
   * @param shift from positions in this file to positions in the new one
   */
  moveTo(to: PartFile, shift: number, place: SplitPlace): PartWriter {
    const { unstoredBytes, dbnum, replid, boundary } = this
    const isTail = place.copyFrom >= boundary.filePosition && place.unstoredBytes > 0
    const moved = new PartWriter(to, this.#owner, {
      storedReplOffset: isTail ? this.replOffset - place.unstoredBytes : this.#storedReplOffset,
      unstoredBytes: isTail ? place.unstoredBytes : unstoredBytes,
      dbnum,
      replid,
    })
    moved.boundary.filePosition = boundary.filePosition + shift
    moved.boundary.storedReplOffset = isTail ? moved.#storedReplOffset : boundary.storedReplOffset
    moved.boundary.unstoredBytes = isTail ? moved.unstoredBytes : boundary.unstoredBytes
    moved.boundary.dbnum = boundary.dbnum
    moved.inTransaction = this.inTransaction
    moved.inPiece = this.inPiece
    moved.#holding = this.#holding
    moved.#held.raw(this.#held.bytes, 0, this.#held.length)
    moved.#aside = this.#aside
    return moved
  }

  #settle(): void {
    const before = this.file.position
    const beforeReplOffset = this.#storedReplOffset
    this.#write(Buffer.from(formatSkew(this.unstoredBytes), 'latin1'))
    this.#storedReplOffset += this.unstoredBytes
    this.unstoredBytes = 0
    if (!this.inTransaction) this.#noteSegment(before, beforeReplOffset, 'skew')
  }

  #write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (!this.#holding) {
      ;(this.#aside ?? this.file).append(bytes, start, end)
      return
    }
    this.#held.raw(bytes, start, end)
    if (this.#held.length <= this.#owner.holdBytes) return
    this.#openAside().append(this.#held.bytes, 0, this.#held.length)
    this.#held.reset()
    this.#holding = false
  }

  #openAside(): AppendFile {
    const { boundary, replid, file } = this
    const { storedReplOffset: replOffset, dbnum } = boundary
    // A reader of the files alone sees that their ends meet.
    file.appendAscii(formatMark({ replOffset, dbnum, replid }))
    boundary.filePosition = file.position
    this.#aside = this.#owner.openAside()
    writeHead(this.#aside, replOffset, dbnum, replid)
    return this.#aside
  }

  /** The transaction is whole: its file is the next increment. */
  #moveAside(file: AppendFile): void {
    const { boundary } = this
    const old = { record: this.record, file: this.file }
    old.record.endReplOffset = boundary.storedReplOffset
    this.record = this.#owner.nameAside(old, file, boundary.storedReplOffset, this.replid)
    this.file = file
    this.#aside = undefined
    this.noteBoundary()
    // Nobody can split the old file any more.
    if (this.#segments !== undefined) this.watchForSplit()
  }

  #noteSegment(
    beforeFilePosition: number,
    beforeReplOffset: number,
    between: Segment['between'],
  ): void {
    if (this.#segments === undefined || this.#segments.length > MAX_SEGMENTS) return
    this.#segments.push({
      filePosition: this.file.position,
      replOffset: this.#storedReplOffset,
      dbnum: this.dbnum,
      beforeFilePosition,
      beforeReplOffset,
      between,
    })
  }
}

/** What every increment begins with. */
export function writeHead(
  file: AppendFile,
  replOffset: number,
  dbnum: number,
  replid: string,
): void {
  file.appendAscii(formatMark({ replOffset, dbnum, replid }))
  file.append(encodeCommand('SELECT', String(dbnum)))
}
