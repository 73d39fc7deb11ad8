/**
 * What a live source has sent and the target has not got yet, on disk: the snapshot as one file,
 * the stream as segments, and the times at which it came. The link writes at full speed and never
 * waits; the replay reads at the target's pace.
 *
 * The directory outlives the process. A restarted rrep finds in it what it had received and goes
 * on from there, with the target's checkpoint saying from where to read. Segments are kept for a
 * while after they were applied, since a target that crashes may come back a little older.
 *
 *   state.json              what it is of: source, replid, the snapshot's offset
 *   snapshot.rdb            whole, or `.part` while it comes
 *   stream-<offset>.seg     stream bytes from that offset on
 *   stream-<offset>.times   pairs of (offset, unix ms), 16 bytes each
 *   stream-<offset>.sums    checksums of the segment: see spool-sums.ts
 *   lock                    the rrep at work
 */
import { Buffer } from 'node:buffer'
import { existsSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FileError } from '../../../errors.js'
import { AtomicFile } from '../../../disk/atomic-file.js'
import { DataFile } from '../../../disk/data-file.js'
import { fileError } from '../../../disk/file-error.js'
import { Lock } from '../../../disk/lock.js'
import { makeSpoolDirectory } from '../../../disk/spool-directory.js'
import { Crc64 } from '../../../kernels/crc64.js'
import { cutSegment, type Segment } from './spool-segment.js'
import { fileSum, SegmentSums, soundPart, type SoundPart } from './spool-sums.js'
import { Gate } from '../../../net/waiting.js'

const STATE_FILE = 'state.json'
const SNAPSHOT_FILE = 'snapshot.rdb'
const LOCK_FILE = 'lock'
const DEFAULT_SEGMENT_BYTES = 64 << 20
/** Applied stream bytes that are kept at least. */
const KEPT_BYTES = 64 << 20
/** Times are noted at most so often. */
const MARK_MS = 5
const MARK_BYTES = 16

export interface SpoolState {
  version: 1
  source: string
  /** Of the history at the stream's end. */
  replid: string
  snapshot: { replOffset: number; dbnum: number; bytes: number; sum: string } | undefined
  /** The target holds writes that a failover lost: what is to be put right, from where on. */
  repair?: SpoolRepair | undefined
}

export interface SpoolRepair {
  fromReplOffset: number
  dbnum: number
  /** Database, and names in base64. */
  keys: readonly (readonly [number, readonly string[]])[]
}

export interface StreamSpoolOptions {
  directory: string
  /** What is replayed. A spool that was begun from elsewhere may be of the same history. */
  source: string
  segmentBytes?: number
}

export class StreamSpool {
  readonly directory: string
  state: SpoolState
  readonly #segmentBytes: number
  readonly #source: string
  readonly #segments: Segment[] = []
  readonly #more = new Gate()
  readonly #lock: Lock
  readonly #stateFile: AtomicFile
  #snapshot: DataFile | undefined
  #snapshotBytes = 0
  #snapshotSum = new Crc64()
  /** What an earlier run had received and does not agree with its checksum: said by the owner. */
  damage: string | undefined
  #lastMarkMs = 0
  #ended = false
  #fault: Error | undefined

  /** Makes or opens the directory and takes its lock. Throws FileError. */
  constructor(options: StreamSpoolOptions) {
    this.directory = options.directory
    this.#source = options.source
    this.#segmentBytes = options.segmentBytes ?? DEFAULT_SEGMENT_BYTES
    makeSpoolDirectory(this.directory)
    this.#stateFile = new AtomicFile(join(this.directory, STATE_FILE))
    this.#lock = Lock.take(join(this.directory, LOCK_FILE), {
      what: `the spool in ${this.directory}`,
    })
    this.state = { version: 1, source: options.source, replid: '', snapshot: undefined }
    const found = readState(this.#stateFile.path)
    if (found === undefined) return
    this.state = found
    try {
      this.#openSegments()
    } catch (error) {
      this.close()
      throw fileError(this.directory, 'read', error)
    }
  }

  /** True if snapshot and stream of an earlier run are there. */
  get hasSnapshot(): boolean {
    return this.state.snapshot !== undefined && existsSync(this.snapshotPath)
  }

  get snapshotPath(): string {
    return join(this.directory, SNAPSHOT_FILE)
  }

  /** First stream byte held; equal to `nextReplOffset` if there is none. */
  get firstReplOffset(): number {
    return this.#segments[0]?.startReplOffset ?? -1
  }

  /** Next stream byte wanted from the source; -1 before the first snapshot. */
  get nextReplOffset(): number {
    const last = this.#segments.at(-1)
    return last === undefined ? -1 : endOf(last)
  }

  /** Forgets everything and begins with a snapshot of which nothing has come yet. */
  beginSnapshot(replid: string): void {
    this.#clear()
    this.#ended = false
    this.#fault = undefined
    this.state = { version: 1, source: this.#source, replid, snapshot: undefined }
    this.#saveState()
    this.#snapshot = DataFile.create(`${this.snapshotPath}.part`)
    this.#snapshotBytes = 0
    this.#snapshotSum = new Crc64()
  }

  snapshotWrite(bytes: Buffer, start: number, end: number): void {
    this.#snapshot!.append(bytes, start, end)
    this.#snapshotBytes = this.#snapshot!.sizeBytes
    this.#snapshotSum.update(bytes, start, end)
  }

  /** The snapshot of an earlier run is as it was received. */
  get isSnapshotSound(): boolean {
    return this.#guard(() => fileSum(this.snapshotPath)) === this.state.snapshot?.sum
  }

  /** The snapshot is whole; the stream goes on behind `replOffset`. */
  endSnapshot(replOffset: number, dbnum: number): void {
    this.#snapshot!.close()
    this.#snapshot = undefined
    this.#guard(() => renameSync(`${this.snapshotPath}.part`, this.snapshotPath))
    this.state.snapshot = {
      replOffset,
      dbnum,
      bytes: this.#snapshotBytes,
      sum: this.#snapshotSum.value.toString(16),
    }
    this.#saveState()
    this.#addSegment(replOffset + 1)
    this.#more.open()
  }

  get snapshotBytes(): number {
    return this.#snapshotBytes
  }

  /** A stream from the middle, without a snapshot: the target has it already. */
  beginStream(replid: string, nextReplOffset: number): void {
    this.#clear()
    this.state = { version: 1, source: this.#source, replid, snapshot: undefined }
    this.#saveState()
    this.#addSegment(nextReplOffset)
  }

  setReplid(replid: string): void {
    if (this.state.replid === replid) return
    this.state.replid = replid
    this.#saveState()
  }

  /** The snapshot has been loaded and is not needed any more. */
  dropSnapshot(): void {
    rmSync(this.snapshotPath, { force: true })
  }

  append(bytes: Buffer, start: number, end: number): void {
    let segment = this.#segments.at(-1)!
    if (segment.data.sizeBytes >= this.#segmentBytes) segment = this.#addSegment(endOf(segment))
    this.#mark(segment)
    segment.data.append(bytes, start, end)
    segment.sums.add(bytes, start, end)
    this.#more.open()
  }

  /** What came from this offset on never happened: it is forgotten. False: it begins behind that. */
  cutBack(nextReplOffset: number): boolean {
    if (this.#segments.length === 0 || this.firstReplOffset > nextReplOffset) return false
    while (this.#segments.length > 1 && this.#segments.at(-1)!.startReplOffset >= nextReplOffset) {
      this.#dropSegment(this.#segments.pop()!)
    }
    const last = this.#segments.at(-1)!
    const bytes = nextReplOffset - last.startReplOffset
    if (bytes < last.data.sizeBytes) {
      this.#guard(() => cutSegment(last, bytes, this.#sumsPath(last.startReplOffset)))
    }
    return true
  }

  /** Undefined: it is done. */
  setRepair(repair: SpoolRepair | undefined): void {
    this.state.repair = repair
    this.#saveState()
  }

  /** Fills `into` from `replOffset` on; returns how many bytes, 0 if there are none yet. */
  read(replOffset: number, into: Buffer): number {
    for (let i = this.#segments.length - 1; i >= 0; i -= 1) {
      const segment = this.#segments[i]!
      if (replOffset < segment.startReplOffset) continue
      const at = replOffset - segment.startReplOffset
      const count = Math.min(into.length, segment.data.sizeBytes - at)
      return count <= 0 ? 0 : segment.data.readNow(at, into, count)
    }
    throw new FileError(
      'ERR_SPOOL_GONE',
      `the spool does not hold the stream at offset ${replOffset} any more`,
      { hint: 'begin anew with `emptyTarget`' },
    )
  }

  /** Unix ms at which the byte was received, or -1 if that is not known. */
  receivedMs(replOffset: number): number {
    for (let i = this.#segments.length - 1; i >= 0; i -= 1) {
      const segment = this.#segments[i]!
      if (replOffset < segment.startReplOffset) continue
      let low = 0
      let high = segment.markCount
      while (low < high) {
        const middle = (low + high) >>> 1
        if (segment.marks[2 * middle]! <= replOffset) low = middle + 1
        else high = middle
      }
      return low === 0 ? -1 : segment.marks[2 * low - 1]!
    }
    return -1
  }

  /** Resolves when more has been appended, a snapshot is whole, or the stream has ended. */
  async more(): Promise<void> {
    if (this.#ended) return
    await this.#more.wait()
  }

  /** The link has ended: nothing more will come. */
  end(fault?: Error): void {
    this.#ended = true
    this.#fault = fault
    this.#more.open()
  }

  get isEnded(): boolean {
    return this.#ended
  }

  get fault(): Error | undefined {
    return this.#fault
  }

  /** Everything before `replOffset` is in the target: lets go of what is old enough. */
  release(replOffset: number): void {
    while (this.#segments.length > 1) {
      const first = this.#segments[0]!
      if (endOf(first) + KEPT_BYTES > replOffset) return
      this.#segments.shift()
      this.#dropSegment(first)
    }
  }

  /** Closes the files; the directory stays for the next run. */
  close(): void {
    for (const segment of this.#segments.splice(0)) closeSegment(segment)
    this.#snapshot?.close()
    this.#snapshot = undefined
    this.#lock.release()
  }

  /** Closes and removes what is ours, by name: the replay is done. Whatever else lies in the
   * directory stays, and then the directory too. */
  remove(): void {
    for (const segment of this.#segments.splice(0)) this.#dropSegment(segment)
    for (const name of [SNAPSHOT_FILE, `${SNAPSHOT_FILE}.part`, STATE_FILE]) {
      rmSync(join(this.directory, name), { force: true })
    }
    this.close()
    try {
      rmdirSync(this.directory)
    } catch {
      // Something else lies in it.
    }
  }

  #openSegments(): void {
    const starts = readdirSync(this.directory)
      .map((name) => /^stream-(\d+)\.seg$/.exec(name)?.[1])
      .filter((text) => text !== undefined)
      .map(Number)
      .sort((a, b) => a - b)
    for (const startReplOffset of starts) {
      if (this.damage !== undefined) {
        // Nothing behind a damage is of use.
        this.#removeSegment(startReplOffset)
        continue
      }
      const sound = this.#soundPart(startReplOffset)
      const data = DataFile.open(this.#segmentPath(startReplOffset))
      data.truncate(sound.bytes)
      const before = this.#segments.at(-1)
      if (before !== undefined && endOf(before) !== startReplOffset) {
        throw new FileError('ERR_SPOOL_GAP', `the spool in ${this.directory} has a gap`, {
          hint: 'remove it, and begin anew with `emptyTarget`',
        })
      }
      const noted = readFileSync(this.#timesPath(startReplOffset))
      const markCount = Math.floor(noted.length / MARK_BYTES)
      const marks = new Float64Array(Math.max(1024, 4 * markCount))
      for (let i = 0; i < 2 * markCount; i += 1) marks[i] = noted.readDoubleLE(8 * i)
      const times = DataFile.open(this.#timesPath(startReplOffset))
      // A killed process may have left a part of the last.
      times.truncate(markCount * MARK_BYTES)
      const sums = new SegmentSums(this.#sumsPath(startReplOffset), sound)
      this.#segments.push({ startReplOffset, data, times, marks, markCount, sums })
    }
  }

  #addSegment(startReplOffset: number): Segment {
    const segment: Segment = {
      startReplOffset,
      data: DataFile.create(this.#segmentPath(startReplOffset)),
      times: DataFile.create(this.#timesPath(startReplOffset)),
      marks: new Float64Array(1024),
      markCount: 0,
      sums: new SegmentSums(this.#sumsPath(startReplOffset)),
    }
    this.#segments.push(segment)
    this.#lastMarkMs = 0
    return segment
  }

  #mark(segment: Segment): void {
    const nowMs = Date.now()
    if (segment.markCount > 0 && nowMs - this.#lastMarkMs < MARK_MS) return
    this.#lastMarkMs = nowMs
    if (2 * segment.markCount + 2 > segment.marks.length) {
      const next = new Float64Array(2 * segment.marks.length)
      next.set(segment.marks)
      segment.marks = next
    }
    const replOffset = endOf(segment)
    segment.marks[2 * segment.markCount] = replOffset
    segment.marks[2 * segment.markCount + 1] = nowMs
    segment.markCount += 1
    const record = Buffer.allocUnsafe(MARK_BYTES)
    record.writeDoubleLE(replOffset, 0)
    record.writeDoubleLE(nowMs, 8)
    segment.times.append(record)
  }

  #dropSegment(segment: Segment): void {
    closeSegment(segment)
    this.#removeSegment(segment.startReplOffset)
  }

  #removeSegment(startReplOffset: number): void {
    rmSync(this.#segmentPath(startReplOffset), { force: true })
    rmSync(this.#timesPath(startReplOffset), { force: true })
    rmSync(this.#sumsPath(startReplOffset), { force: true })
  }

  /** What is as it was received; the rest is asked of the source again. */
  #soundPart(startReplOffset: number): SoundPart {
    const part = this.#guard(() =>
      soundPart(this.#segmentPath(startReplOffset), this.#sumsPath(startReplOffset)),
    )
    if (part.isDamaged) {
      this.damage = `the spool is damaged behind offset ${startReplOffset + part.bytes - 1}`
    }
    return part
  }

  #clear(): void {
    for (const segment of this.#segments.splice(0)) this.#dropSegment(segment)
    rmSync(this.snapshotPath, { force: true })
    this.#snapshot?.close()
    this.#snapshot = undefined
    rmSync(`${this.snapshotPath}.part`, { force: true })
  }

  #saveState(): void {
    this.#stateFile.write(JSON.stringify(this.state))
  }

  #segmentPath(startReplOffset: number): string {
    return join(this.directory, `stream-${startReplOffset}.seg`)
  }

  #sumsPath(startReplOffset: number): string {
    return join(this.directory, `stream-${startReplOffset}.sums`)
  }

  #timesPath(startReplOffset: number): string {
    return join(this.directory, `stream-${startReplOffset}.times`)
  }

  #guard<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw fileError(`the spool in ${this.directory}`, 'write', error)
    }
  }
}

/** Offset of the byte behind its last. */
function endOf({ startReplOffset, data }: Segment): number {
  return startReplOffset + data.sizeBytes
}

function closeSegment({ data, times, sums }: Segment): void {
  data.close()
  times.close()
  sums.close()
}

function readState(path: string): SpoolState | undefined {
  try {
    const state = JSON.parse(readFileSync(path, 'utf8')) as SpoolState
    return typeof state.source === 'string' ? state : undefined
  } catch {
    return undefined
  }
}
