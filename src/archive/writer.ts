/**
 * A master's snapshot and stream, kept as a multi-part append-only file.
 *
 * Takes what a replication link delivers (snapshot bytes, stream bytes with offsets, losses) and
 * keeps the directory such that a server can start on it at any moment, and that a later run can
 * go on at the exact byte. All methods that take bytes return at once; writing, fsyncing and the
 * order data → manifest → sidecar happen behind them. Trouble with the disk is told by `onError`
 * and ends the archive; what was whole stays whole.
 */
import { truncateSync } from 'node:fs'
import type { GapRecord, IncrRecord } from './sidecar.js'
import { InternalError, ProtocolError } from '../errors.js'
import { AppendFile } from '../disk/append-file.js'
import { BaseWriter, type SnapshotFacts, type SnapshotOrigin } from './base.js'
import { PartWriter } from './part.js'
import { recoverPart } from './recovery.js'
import { splitPart } from './split.js'
import type { ArchiveStore } from './store.js'
import { StreamTranslator } from './stream.js'

export type ArchiveWriterEvent =
  | { event: 'snapshot'; file: string; bytes: number; replOffset: number; rdbVersion: number }
  | { event: 'rotated'; file: string; replOffset: number }
  | { event: 'gap'; fromReplOffset: number; toReplOffset: number; replid: string; toReplid: string }
  | { event: 'pruned'; files: string[] }

export interface ArchiveWriterOptions {
  /** A new increment is begun above this size. 0: never. */
  rotateBytes: number
  /** `always`: after every batch of stream bytes. `everysec`: when `sync` is called each second.
   * `no`: only when a part is complete. */
  fsync: 'always' | 'everysec' | 'no'
  /** fsync as soon as the master asks for an acknowledgement (WAITAOF waits for it). */
  syncOnGetAck?: boolean
  /** What to keep of older bases. Undefined: all. */
  keep?: { bases: number } | { ageMs: number } | undefined
  onEvent?: (event: ArchiveWriterEvent) => void
  /** Nothing more is kept; `close` tidies up. */
  onError: (error: Error) => void
  /** `syncedReplOffset` has grown. */
  onSynced?: () => void
  /** Unix ms; for tests. */
  now?: () => number
  /** In place of fdatasync; for tests of slow disks. */
  sync?: (fd: number) => Promise<void>
}

const SIDECAR_INTERVAL_MS = 1000

interface PendingSplit {
  replOffset: number
  resolve: (record: IncrRecord) => void
  reject: (error: Error) => void
}

export class ArchiveWriter {
  /** Stream bytes taken since the start of this run. */
  streamBytes = 0
  /** Everything up to this stream byte is on disk and would be loaded; -1: nothing. */
  syncedReplOffset = -1
  gaps = 0

  private readonly store: ArchiveStore
  private readonly options: ArchiveWriterOptions
  private readonly now: () => number
  private readonly translator: StreamTranslator
  private part: PartWriter | undefined
  private base: BaseWriter | undefined
  private pendingGap: Omit<GapRecord, 'toReplid' | 'toReplOffset'> | undefined
  /** Changes of the directory, one after the other. */
  private tasks: Promise<void> = Promise.resolve()
  /** What arrives while a part is being cut or split. */
  private deferred: (() => void)[] | undefined
  private deferral: Promise<void> = Promise.resolve()
  private pendingSplit: PendingSplit | undefined
  private syncing: Promise<void> | undefined
  private syncAgain = false
  private savedMs = 0
  private failure: Error | undefined

  constructor(store: ArchiveStore, options: ArchiveWriterOptions) {
    this.store = store
    this.options = options
    this.now = options.now ?? Date.now
    this.translator = new StreamTranslator(store.sidecar)
    const resume = store.resume
    if (resume === undefined) return
    const { part } = resume
    this.part = new PartWriter(resume.incr, this.openFile(resume.incr.file, part.filePosition), {
      storedReplOffset: part.replOffset,
      unstoredBytes: resume.unstoredBytes,
      dbnum: part.dbnum,
      replid: part.replid,
    })
    this.requestSync()
  }

  /** Next stream byte wanted; undefined: a snapshot is needed. */
  get resumePoint(): { replid: string; nextReplOffset: number } | undefined {
    const part = this.part
    if (part === undefined) return undefined
    return {
      replid: part.replid,
      nextReplOffset: part.boundary.storedReplOffset + part.boundary.unstoredBytes + 1,
    }
  }

  /** Commands stored since the start of this run. */
  get commands(): number {
    return this.translator.commands
  }

  get replid(): string | undefined {
    return this.part?.replid
  }

  /** Last stream byte taken, as far as commands are whole. */
  get replOffset(): number {
    return this.part?.replOffset ?? -1
  }

  get dropped(): Readonly<Record<string, number>> {
    return this.store.sidecar.dropped
  }

  get highestDbnum(): number {
    return this.store.sidecar.highestDbnum
  }

  /** Wait for this before reading on: the disk is too slow, or a part is being split. */
  drain(): Promise<void> | undefined {
    if (this.failure !== undefined) return undefined
    if (this.deferred !== undefined) return this.deferral
    return this.base?.file.drain() ?? this.part?.file.drain()
  }

  /** A snapshot begins on the link. What an earlier, unfinished one brought is void. */
  beginSnapshot(origin: SnapshotOrigin): void {
    const void_ = this.base
    if (void_ !== undefined) void this.enqueue(() => void_.abandon())
    this.whenReady(() => this.endHistory())
    this.base = new BaseWriter(this.store, origin, this.now(), (error) => this.fail(error))
  }

  snapshotBytes(bytes: Uint8Array, start: number, end: number): void {
    this.base?.append(bytes, start, end)
  }

  /** The snapshot is whole: the stream behind it begins. */
  endSnapshot({ rdbVersion, checksum }: SnapshotFacts): void {
    this.whenReady(() => {
      const base = this.base
      if (base === undefined) throw new InternalError('a snapshot ends that never began')
      this.base = undefined
      const { replid, replOffset } = base.origin
      this.store.sidecar.relativeTimes = base.sendsRelativeTimes
      this.translator.reset()
      const part = this.newPart(replOffset, base.streamDbnum, replid)
      this.part = part
      const gap = this.pendingGap
      this.pendingGap = undefined
      void this.enqueue(async () => {
        const record = await base.finish(rdbVersion, checksum)
        await part.file.sync()
        const { sidecar, timeline } = this.store
        if (gap !== undefined && sidecar.timeline.some((entry) => entry.kind !== 'gap')) {
          this.gaps += 1
          this.store.addGap({ ...gap, toReplid: replid, toReplOffset: replOffset })
          this.emit({
            event: 'gap',
            replid: gap.replid,
            fromReplOffset: gap.fromReplOffset,
            toReplid: replid,
            toReplOffset: replOffset,
          })
        }
        timeline.push(record, part.record)
        sidecar.replid = replid
        if (gap !== undefined) this.store.persistBefore(record)
        this.store.persist()
        this.emit({
          event: 'snapshot',
          file: record.file,
          bytes: record.bytes,
          replOffset,
          rdbVersion,
        })
        this.prune()
      })
      this.requestSync()
    })
  }

  /** The link goes on where it was, perhaps under another replid. */
  continued(replid: string, nextReplOffset: number): void {
    this.whenReady(() => {
      const part = this.part
      if (part?.replOffset !== nextReplOffset - 1) {
        throw new InternalError(
          `the stream goes on at ${nextReplOffset}, the archive ends at ${part?.replOffset ?? -1}`,
        )
      }
      if (part.replid === replid) return
      part.replid = replid
      this.store.sidecar.replid = replid
      part.writeMark()
      part.file.kick()
      void this.enqueue(() => this.store.saveSidecar())
    })
  }

  /** Stream bytes exactly as they came. Valid during the call only. */
  stream(bytes: Uint8Array, start: number, end: number): void {
    if (this.failure !== undefined) return
    if (this.deferred !== undefined) {
      const copy = Uint8Array.from(bytes.subarray(start, end))
      this.deferred.push(() => this.stream(copy, 0, copy.length))
      return
    }
    this.streamBytes += end - start
    let from = start
    const split = this.pendingSplit
    if (split !== undefined && this.part !== undefined) {
      const behind = from + split.replOffset - this.part.replOffset - this.translator.heldBytes
      if (behind <= end) {
        if (behind > from) this.take(bytes, from, behind)
        from = Math.max(from, behind)
        this.splitHere(split)
      }
    }
    if (from < end) this.take(bytes, from, end)
  }

  /** The connection is gone: an unfinished command or transaction is forgotten, the next attempt
   * asks for it anew (`resumePoint`). */
  linkLost(): void {
    this.whenReady(() => this.forgetUnfinished())
  }

  /** Everything taken so far is made durable; resolves when it is. */
  sync(): Promise<void> {
    this.requestSync()
    return this.syncing ?? Promise.resolve()
  }

  /** From now on the increment can be split at an offset that has passed; no rotation. */
  watchForSplit(): void {
    this.whenReady(() => this.part?.watchForSplit())
  }

  stopWatching(): void {
    this.part?.stopWatching()
    this.pendingSplit?.reject(new InternalError('the split was given up'))
    this.pendingSplit = undefined
  }

  /**
   * Begins a new increment exactly behind a stream byte, passed or to come, for a snapshot that
   * contains the stream up to it. Rejects where that is not possible any more.
   */
  splitAt(replid: string, replOffset: number): Promise<IncrRecord> {
    return new Promise((resolve, reject) => {
      this.whenReady(() => {
        const part = this.part
        if (part?.replid !== replid) {
          reject(new ProtocolError('ERR_SNAPSHOT_HISTORY', 'the snapshot is of another history'))
          return
        }
        if (replOffset > part.replOffset) {
          this.pendingSplit = { replOffset, resolve, reject }
          return
        }
        if (replOffset === part.replOffset && part.atBoundary) {
          resolve(this.rotate())
          return
        }
        const place = part.placeOf(replOffset)
        if (place === undefined) {
          reject(new ProtocolError('ERR_SNAPSHOT_PASSED', `offset ${replOffset} is out of reach`))
          return
        }
        this.defer(async () => {
          const record = this.newRecord(replOffset, part.replid)
          const file = this.openFile(record.file)
          const moved = await splitPart(part, record, file, replOffset, place)
          part.record.endReplOffset = replOffset
          this.part = moved
          void this.enqueue(() => this.listNext(part, moved))
          resolve(record)
        }).catch(reject)
      })
    })
  }

  /** A base for a snapshot from a second connection. */
  newBase(origin: SnapshotOrigin): BaseWriter {
    return new BaseWriter(this.store, origin, this.now(), (error) => this.fail(error))
  }

  /** That snapshot is whole: from now on servers load it, and the increments from `before` on. */
  async commitBase(
    base: BaseWriter,
    before: IncrRecord,
    { rdbVersion, checksum }: SnapshotFacts,
  ): Promise<void> {
    // A snapshot that is no good is one less; the archive is as before.
    await base.check(checksum)
    await this.enqueue(async () => {
      const record = await base.finish(rdbVersion, 'ok')
      this.store.insertBase(record, before)
      this.store.persistBefore(record)
      this.store.persist()
      this.emit({
        event: 'snapshot',
        file: record.file,
        bytes: record.bytes,
        replOffset: record.replOffset,
        rdbVersion,
      })
      this.prune()
    })
  }

  /** Ends the archive: what is whole is on disk, the rest is cut off, the state is saved. */
  async close(): Promise<void> {
    const settled = async (): Promise<void> => {
      // What went wrong there has been told by onError.
      if (this.deferred !== undefined) await this.deferral.catch(() => undefined)
    }
    await settled()
    const base = this.base
    this.base = undefined
    if (base !== undefined) await base.abandon()
    if (this.failure === undefined) this.forgetUnfinished()
    await settled()
    await this.tasks
    await this.syncing
    const part = this.part
    if (part === undefined) return
    if (this.failure === undefined) {
      await part.file.close()
      this.syncedReplOffset = part.replOffset
      this.noteMark(part)
      this.store.saveSidecar()
    } else {
      await this.salvage(part)
    }
  }

  /** After an error: cuts the last part to what is whole, as far as the disk lets us. */
  private async salvage(part: PartWriter): Promise<void> {
    await part.file.abandon()
    try {
      const whole = recoverPart(part.file.path)
      if (whole.filePosition < whole.fileBytes) truncateSync(part.file.path, whole.filePosition)
      this.store.saveSidecar()
    } catch {
      // The next run cuts it; the error that brought us here is the one to tell.
    }
  }

  private take(bytes: Uint8Array, start: number, end: number): void {
    const { part, translator } = this
    if (part === undefined) throw new InternalError('stream bytes before a snapshot')
    translator.take(part, bytes, start, end, this.now())
    const { rotateBytes, fsync, syncOnGetAck } = this.options
    if (rotateBytes > 0 && part.file.position >= rotateBytes && part.atBoundary) {
      if (!part.isWatched && this.pendingSplit === undefined) this.rotate()
    }
    if (fsync === 'always' || (translator.getAckSeen && syncOnGetAck === true)) this.requestSync()
    translator.getAckSeen = false
  }

  /** Closes the increment and begins the next; returns its record. At a boundary only. */
  private rotate(): IncrRecord {
    const old = this.part
    if (old?.atBoundary !== true) throw new InternalError('a part can end at a boundary only')
    // So that a reader of the files alone sees that their ends meet.
    if (old.unstoredBytes !== 0) old.writeMark()
    old.record.endReplOffset = old.replOffset
    const next = this.newPart(old.replOffset, old.dbnum, old.replid)
    this.part = next
    void this.enqueue(() => this.listNext(old, next))
    return next.record
  }

  /** An increment is complete and another has begun: the manifest learns it. */
  private async listNext(old: PartWriter, next: PartWriter): Promise<void> {
    await old.file.close()
    await next.file.sync()
    this.store.timeline.push(next.record)
    this.store.persist()
    this.emit({
      event: 'rotated',
      file: next.record.file,
      replOffset: next.record.startReplOffset,
    })
  }

  private splitHere(split: PendingSplit): void {
    this.pendingSplit = undefined
    const part = this.part
    if (part?.replOffset === split.replOffset && part.atBoundary && this.translator.atBoundary) {
      split.resolve(this.rotate())
    } else {
      split.reject(
        new ProtocolError('ERR_SNAPSHOT_PASSED', `offset ${split.replOffset} is no boundary`),
      )
    }
  }

  /** The history being written ends here: a new snapshot comes. */
  private endHistory(): void {
    const part = this.part
    if (part === undefined) return
    this.stopWatching()
    this.forgetUnfinished()
    this.whenReady(() => {
      this.part = undefined
      this.syncedReplOffset = -1
      part.record.endReplOffset = part.replOffset
      this.pendingGap = {
        kind: 'gap',
        replid: part.replid,
        fromReplOffset: part.replOffset + 1,
        unixMs: this.now(),
      }
      void this.enqueue(() => part.file.close())
    })
  }

  private forgetUnfinished(): void {
    const part = this.part
    if (part === undefined) return
    this.translator.forgetUnfinished()
    if (!part.forgetUnfinished()) return
    this.defer(async () => {
      await part.file.flush()
      part.file.truncate(part.boundary.filePosition)
    }).catch((error: unknown) => this.fail(error))
  }

  private newPart(replOffset: number, dbnum: number, replid: string): PartWriter {
    const record = this.newRecord(replOffset, replid)
    const part = new PartWriter(record, this.openFile(record.file), {
      storedReplOffset: replOffset,
      unstoredBytes: 0,
      dbnum,
      replid,
    })
    part.writeHead()
    part.file.kick()
    return part
  }

  private newRecord(startReplOffset: number, replid: string): IncrRecord {
    const { file, seq } = this.store.newIncrFile()
    return { kind: 'incr', file, seq, replid, startReplOffset, unixMs: this.now() }
  }

  private openFile(file: string, position?: number): AppendFile {
    const { sync } = this.options
    return new AppendFile(this.store.path(file), {
      ...(position === undefined ? {} : { position }),
      ...(sync === undefined ? {} : { sync }),
      onError: (error) => this.fail(error),
    })
  }

  private requestSync(): void {
    if (this.failure !== undefined) return
    if (this.syncing !== undefined) {
      this.syncAgain = true
      return
    }
    this.syncing = this.runSync()
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.syncing = undefined
        if (!this.syncAgain) return
        this.syncAgain = false
        this.requestSync()
      })
  }

  private async runSync(): Promise<void> {
    const part = this.part
    if (part === undefined) return
    const boundary = { ...part.boundary }
    await this.tasks
    if (this.failure !== undefined) return
    // A part that was closed meanwhile was fsynced by that.
    if (part === this.part) await part.file.sync()
    const replOffset = boundary.storedReplOffset + boundary.unstoredBytes
    if (replOffset > this.syncedReplOffset) {
      this.syncedReplOffset = replOffset
      this.options.onSynced?.()
    }
    const nowMs = this.now()
    if (part !== this.part || nowMs - this.savedMs < SIDECAR_INTERVAL_MS) return
    const { mark } = this.store.sidecar
    if (mark?.filePosition === boundary.filePosition && mark.file === part.record.file) return
    this.savedMs = nowMs
    this.noteMark(part, boundary)
    await this.enqueue(() => this.store.saveSidecarSoon())
  }

  private noteMark(part: PartWriter, boundary = part.boundary): void {
    this.store.sidecar.mark = {
      file: part.record.file,
      filePosition: boundary.filePosition,
      replOffset: boundary.storedReplOffset,
      unstoredBytes: boundary.unstoredBytes,
      dbnum: boundary.dbnum,
      replid: part.replid,
    }
  }

  private prune(): void {
    const { keep } = this.options
    if (keep === undefined) return
    const files = this.store.prune(keep, this.now())
    if (files.length > 0) this.emit({ event: 'pruned', files })
  }

  /** Runs now, or behind the cut or split that is under way. */
  private whenReady(action: () => void): void {
    if (this.deferred === undefined) action()
    else this.deferred.push(action)
  }

  /** Runs a change of the current part's file; what arrives meanwhile waits. */
  private defer(change: () => Promise<void>): Promise<void> {
    this.deferred = []
    this.deferral = change().finally(() => {
      const waiting = this.deferred ?? []
      this.deferred = undefined
      // One of them may begin the next change; the rest waits for that one.
      for (const action of waiting) this.whenReady(action)
    })
    return this.deferral
  }

  private enqueue(task: () => Promise<void> | void): Promise<void> {
    this.tasks = this.tasks.then(async () => {
      if (this.failure !== undefined) return
      try {
        await task()
      } catch (error) {
        this.fail(error)
      }
    })
    return this.tasks
  }

  private emit(event: ArchiveWriterEvent): void {
    this.options.onEvent?.(event)
  }

  private fail(error: unknown): void {
    if (this.failure !== undefined) return
    this.failure = error instanceof Error ? error : new Error(String(error))
    this.options.onError(this.failure)
  }
}
