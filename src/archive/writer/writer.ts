/**
 * A master's snapshot and stream, kept as a multi-part append-only file.
 *
 * Takes what a replication link delivers (snapshot bytes, stream bytes with offsets, losses) and
 * keeps the directory such that a server can start on it at any moment, and that a later run can
 * go on at the exact byte. All methods that take bytes return at once; everything else happens
 * behind them in one queue, in the order data → manifest → sidecar. Trouble with the disk is told
 * by `onError` and ends the writing; what was whole stays whole.
 */
import { InternalError, ProtocolError } from '../../errors.js'
import { BaseWriter, type SnapshotFacts, type SnapshotOrigin } from './base.js'
import { BaseCommits, type OpenGap } from './base-commits.js'
import { DroppedCommands } from './dropped.js'
import { Durability } from './durability.js'
import { OperationQueue } from './operation-queue.js'
import { PartWriter } from './part.js'
import { PartFiles } from './part-files.js'
import { goBack, type LostPart } from './cut-back.js'
import { cutToWhole } from '../recovery.js'
import type { IncrRecord, TimelineEntry } from '../sidecar.js'
import { splitPart } from './split.js'
import { SplitPoint } from './split-point.js'
import type { ArchiveStore } from '../store.js'
import { StreamTranslator } from './stream.js'
import type { ArchiveWriterOptions } from './options.js'

export class ArchiveWriter {
  /** Stream bytes taken since the start of this run. */
  streamBytes = 0

  readonly #store: ArchiveStore
  readonly #options: ArchiveWriterOptions
  readonly #now: () => number
  readonly #files: PartFiles
  readonly #translator: StreamTranslator
  readonly #queue = new OperationQueue((error) => this.#fail(error))
  readonly #durability: Durability
  readonly #bases: BaseCommits
  readonly #dropped: DroppedCommands
  #part: PartWriter | undefined
  #base: BaseWriter | undefined
  #gap: OpenGap | undefined
  readonly #split = new SplitPoint()
  #failure: Error | undefined
  /** The stream made no sense in what had to wait: its next bytes are told. */
  #desync: ProtocolError | undefined

  constructor(store: ArchiveStore, options: ArchiveWriterOptions) {
    this.#store = store
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#files = new PartFiles(store, options, this.#queue, (error) => this.#fail(error))
    this.#durability = new Durability(store, options, this.#queue)
    this.#bases = new BaseCommits(store, options)
    this.#dropped = new DroppedCommands(options)
    this.#translator = new StreamTranslator(
      store.sidecar,
      (command, replOffset) => this.#dropped.note(command, replOffset),
      options.onSlots,
    )
    const resume = store.resume
    if (resume === undefined) return
    const { part, incr } = resume
    const file = this.#files.open(store.path(incr.file), part.filePosition)
    this.#part = new PartWriter({ record: incr, file }, this.#files, {
      storedReplOffset: part.replOffset,
      unstoredBytes: resume.unstoredBytes,
      dbnum: part.dbnum,
      replid: part.replid,
    })
    void this.sync()
  }

  /** Next stream byte wanted; undefined: a snapshot is needed. */
  get resumePoint(): { replid: string; nextReplOffset: number } | undefined {
    const part = this.#part
    if (part === undefined) return undefined
    const { storedReplOffset, unstoredBytes } = part.boundary
    return { replid: part.replid, nextReplOffset: storedReplOffset + unstoredBytes + 1 }
  }

  /** Commands stored since the start of this run. */
  get commands(): number {
    return this.#translator.commands
  }

  get replid(): string | undefined {
    return this.#part?.replid
  }

  /** Last stream byte taken, as far as commands are whole. */
  get replOffset(): number {
    return this.#part?.replOffset ?? -1
  }

  /** Everything up to this stream byte is on disk and would be loaded; -1: nothing. */
  get syncedReplOffset(): number {
    return this.#durability.syncedReplOffset
  }

  get gaps(): number {
    return this.#bases.gaps
  }

  get dropped(): Readonly<Record<string, number>> {
    return this.#store.sidecar.dropped
  }

  /** Of them in this run. */
  get droppedCommands(): number {
    return this.#dropped.count
  }

  get highestDbnum(): number {
    return this.#store.sidecar.highestDbnum
  }

  /** Wait for this before reading on: the disk is too slow, or a part is being split. */
  drain(): Promise<void> | undefined {
    if (this.#failure !== undefined) return undefined
    return this.#queue.free() ?? this.#base?.file.drain() ?? this.#part?.drain()
  }

  // ---- What a link delivers -------------------------------------------------------------------

  /** A snapshot begins on the link. What an earlier, unfinished one brought is void. */
  beginSnapshot(origin: SnapshotOrigin): void {
    const unfinished = this.#base
    if (unfinished !== undefined) void this.#queue.add(() => unfinished.abandon())
    this.#queue.arrive(() => this.#endHistory())
    this.#base = this.newBase(origin)
  }

  snapshotBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#base?.append(bytes, start, end)
  }

  /** The snapshot is whole: the stream behind it begins. */
  endSnapshot(facts: SnapshotFacts): void {
    const base = this.#base
    if (base === undefined) throw new InternalError('a snapshot ends that never began')
    this.#base = undefined
    this.#queue.arrive(() => this.#beginHistory(base, facts))
  }

  /** The link goes on where it was, perhaps under another replid. */
  continued(replid: string, nextReplOffset: number): void {
    this.#queue.arrive(() => {
      const part = this.#part
      if (part?.replOffset !== nextReplOffset - 1) {
        throw new InternalError(
          `the stream goes on at ${nextReplOffset}, the archive ends at ${part?.replOffset ?? -1}`,
        )
      }
      if (part.replid === replid) return
      part.replid = replid
      this.#store.sidecar.replid = replid
      part.writeMark()
      part.kick()
      void this.#queue.add(() => this.#store.saveSidecar())
    })
  }

  /** Stream bytes exactly as they came. Valid during the call only. Throws ProtocolError
   * ERR_STREAM_DESYNC where they make no sense. */
  stream(bytes: Uint8Array, start: number, end: number): void {
    if (this.#failure !== undefined) return
    if (this.#desync !== undefined) throw this.#desync
    if (this.#queue.isHeld) {
      const copy = Uint8Array.from(bytes.subarray(start, end))
      this.#queue.arrive(() => this.#streamLater(copy))
      return
    }
    this.streamBytes += end - start
    this.#takeUpToSplit(bytes, start, end)
  }

  /** The connection is gone: an unfinished command or transaction is forgotten, the next attempt
   * asks for it anew (`resumePoint`). */
  linkLost(): void {
    this.#queue.arrive(() => this.#forgetUnfinished())
  }

  /**
   * Goes back to the last whole place up to this stream byte, and sets aside what lies behind it: see
   * cut-back.ts. Resolves with undefined, and everything as it was, where the newest snapshot lies behind.
   */
  async cutBack(replOffset: number): Promise<LostPart | undefined> {
    this.stopWatching()
    this.linkLost()
    let lost: LostPart | undefined
    await this.#queue.add(async () => {
      const found = this.#part && (await goBack(this.#store, this.#files, this.#part, replOffset))
      if (found === undefined) return
      lost = found.lost
      this.#part = found.part
      this.#durability.syncedReplOffset = found.part.replOffset
      this.#durability.noteMark(found.part)
      this.#store.saveSidecar()
    }, true)
    if (this.#failure !== undefined) throw this.#failure
    return lost
  }

  /** Everything taken so far is made durable; resolves when it is. */
  sync(): Promise<void> {
    const part = this.#part
    if (part === undefined || this.#failure !== undefined) return this.#queue.idle()
    return this.#durability.sync(part)
  }

  /** What lies in the repository is not kept here any more; see ArchiveStore. */
  async letGo(records: () => readonly TimelineEntry[]): Promise<void> {
    await this.#queue.add(() => this.#store.letGo(records()))
  }

  // ---- A base from a second connection --------------------------------------------------------

  /** From now on the increment can be split at an offset that has passed; no rotation. */
  watchForSplit(): void {
    this.#queue.arrive(() => this.#part?.watchForSplit())
  }

  stopWatching(): void {
    this.#part?.stopWatching()
    this.#split.giveUp()
  }

  /**
   * Begins a new increment exactly behind a stream byte, passed or to come, for a snapshot that
   * contains the stream up to it. Rejects where that is not possible any more.
   */
  splitAt(replid: string, replOffset: number): Promise<IncrRecord> {
    return new Promise((resolve, reject) => {
      this.#queue.arrive(() => {
        const part = this.#part
        if (part?.replid !== replid) {
          reject(new ProtocolError('ERR_SNAPSHOT_HISTORY', 'the snapshot is of another history'))
        } else if (replOffset > part.replOffset) {
          this.#split.set({ replOffset, resolve, reject })
        } else if (replOffset === part.replOffset && part.atBoundary) {
          resolve(this.#rotate(part))
        } else {
          this.#splitPassed(part, replOffset).then(resolve, reject)
        }
      })
    })
  }

  /** A base for a snapshot from a second connection. */
  newBase(origin: SnapshotOrigin): BaseWriter {
    return new BaseWriter(this.#store, origin, this.#now(), (error) => this.#fail(error))
  }

  /** That snapshot is whole: from now on servers load it, and the increments from `before` on. */
  async commitBase(
    base: BaseWriter,
    before: IncrRecord,
    { rdbVersion, checksum }: SnapshotFacts,
  ): Promise<void> {
    // A snapshot that is no good is one less; the archive is as before.
    await base.check(checksum)
    const found = { isGone: false }
    await this.#queue.add(async () => {
      found.isGone = !(await this.#bases.insert(base, before, rdbVersion))
    })
    if (!found.isGone) return
    throw new ProtocolError('ERR_SNAPSHOT_HISTORY', 'a failover lost what the snapshot holds')
  }

  /** Ends the archive: what is whole is on disk, the rest is cut off, the state is saved. */
  async close(): Promise<void> {
    await this.#queue.idle()
    const base = this.#base
    this.#base = undefined
    if (base !== undefined) await base.abandon()
    if (this.#failure === undefined) this.#forgetUnfinished()
    await this.#queue.idle()
    const part = this.#part
    if (part === undefined) return
    if (this.#failure === undefined) {
      await part.file.close()
      this.#durability.syncedReplOffset = part.replOffset
      this.#durability.noteMark(part)
      await this.#files.hashed()
      this.#store.saveSidecar()
    } else {
      await this.#salvage(part)
    }
  }

  /** After an error: cuts the last part to what is whole, as far as the disk lets us. */
  async #salvage(part: PartWriter): Promise<void> {
    await part.abandon()
    try {
      cutToWhole(part.file.path)
      this.#store.saveSidecar()
    } catch {
      // The next run cuts it; the error that brought us here is the one to tell.
    }
  }

  #streamLater(bytes: Uint8Array): void {
    if (this.#desync !== undefined) return
    // Its turn has come: nothing holds it but itself.
    try {
      this.streamBytes += bytes.length
      this.#takeUpToSplit(bytes, 0, bytes.length)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#desync = error
    }
  }

  #takeUpToSplit(bytes: Uint8Array, start: number, end: number): void {
    let from = start
    const takenReplOffset = this.replOffset + this.#translator.heldBytes
    const behind = this.#split.placeIn(start, end, takenReplOffset)
    if (behind !== undefined) {
      if (behind > from) this.#take(bytes, from, behind)
      from = behind
      this.#splitHere()
    }
    if (from < end) this.#take(bytes, from, end)
  }

  #take(bytes: Uint8Array, start: number, end: number): void {
    const part = this.#part
    const translator = this.#translator
    if (part === undefined) throw new InternalError('stream bytes before a snapshot')
    translator.take(part, bytes, start, end, this.#now())
    const { rotateBytes, fsync, syncOnGetAck } = this.#options
    if (rotateBytes > 0 && part.file.position >= rotateBytes && part.atBoundary) {
      if (!part.isWatched && !this.#split.isAwaited) this.#rotate(part)
    }
    const isAsked = translator.getAckSeen && syncOnGetAck === true
    translator.getAckSeen = false
    if (fsync === 'always' || isAsked) void this.sync()
  }

  #forgetUnfinished(): void {
    this.#desync = undefined
    const part = this.#part
    if (part === undefined) return
    this.#translator.forgetUnfinished()
    if (!part.forgetUnfinished()) return
    void this.#queue.add(async () => {
      await part.file.flush()
      part.file.truncate(part.boundary.filePosition)
    }, true)
  }

  /** The history being written ends here: a new snapshot comes. */
  #endHistory(): void {
    this.stopWatching()
    this.#forgetUnfinished()
    this.#queue.arrive(() => {
      const part = this.#part
      if (part === undefined) return
      this.#part = undefined
      this.#durability.syncedReplOffset = -1
      part.record.endReplOffset = part.replOffset
      this.#gap = {
        kind: 'gap',
        replid: part.replid,
        fromReplOffset: part.replOffset + 1,
        unixMs: this.#now(),
      }
      void this.#queue.add(async () => {
        await part.file.close()
        this.#files.noteComplete(part.file.path)
      })
    })
  }

  #beginHistory(base: BaseWriter, facts: SnapshotFacts): void {
    const { replid, replOffset } = base.origin
    this.#store.sidecar.relativeTimes = base.sendsRelativeTimes
    this.#translator.reset()
    const part = this.#newPart(replOffset, base.streamDbnum, replid)
    this.#part = part
    const first = { record: part.record, file: part.file }
    const gap = this.#gap
    this.#gap = undefined
    void this.#queue.add(async () => await this.#bases.begin(base, facts, first, gap))
    void this.sync()
  }

  /** Closes the increment and begins the next; returns its record. At a boundary only. */
  #rotate(old: PartWriter): IncrRecord {
    if (!old.atBoundary) throw new InternalError('a part can end at a boundary only')
    // So that a reader of the files alone sees that their ends meet.
    if (old.unstoredBytes !== 0) old.writeMark()
    old.record.endReplOffset = old.replOffset
    const next = this.#newPart(old.replOffset, old.dbnum, old.replid)
    this.#part = next
    this.#files.list(old.file, next)
    return next.record
  }

  #splitHere(): void {
    const part = this.#part
    const isBoundary = part?.atBoundary === true && this.#translator.atBoundary
    this.#split.reached(this.replOffset, isBoundary ? () => this.#rotate(part) : undefined)
  }

  async #splitPassed(part: PartWriter, replOffset: number): Promise<IncrRecord> {
    const place = part.placeOf(replOffset)
    if (place === undefined) {
      throw new ProtocolError('ERR_SNAPSHOT_PASSED', `offset ${replOffset} is out of reach`)
    }
    let record: IncrRecord | undefined
    await this.#queue.add(async () => {
      const next = this.#files.begin(replOffset, part.replid)
      const moved = await splitPart(part, next, replOffset, place)
      part.record.endReplOffset = replOffset
      this.#part = moved
      // At once: what arrived meanwhile may end the new part, and that is noted behind this.
      await this.#files.listNow(part.file, moved)
      record = next.record
    }, true)
    if (record === undefined) throw this.#failure ?? new InternalError('the split was given up')
    return record
  }

  #newPart(replOffset: number, dbnum: number, replid: string): PartWriter {
    const to = this.#files.begin(replOffset, replid)
    return PartWriter.begin(to, this.#files, { replOffset, dbnum, replid })
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = error instanceof Error ? error : new Error(String(error))
    this.#queue.stop()
    this.stopWatching()
    this.#options.onError(this.#failure)
  }
}
