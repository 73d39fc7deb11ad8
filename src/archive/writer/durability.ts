/** How far an archive is on disk: fsyncs one after the other, and the mark in the sidecar. */
import type { AppendFile } from '../../disk/append-file.js'
import type { OperationQueue } from './operation-queue.js'
import type { PartWriter } from './part.js'
import type { IncrRecord } from '../sidecar.js'
import type { ArchiveStore } from '../store.js'
import type { ArchiveWriterOptions } from './options.js'

const SIDECAR_INTERVAL_MS = 1000

export class Durability {
  /** Everything up to this stream byte is on disk and would be loaded; -1: nothing. */
  syncedReplOffset = -1
  readonly #store: ArchiveStore
  readonly #options: ArchiveWriterOptions
  readonly #queue: OperationQueue
  readonly #now: () => number
  #last: Promise<void> | undefined
  #savedMs = 0

  constructor(store: ArchiveStore, options: ArchiveWriterOptions, queue: OperationQueue) {
    this.#store = store
    this.#options = options
    this.#queue = queue
    this.#now = options.now ?? Date.now
  }

  /** Everything taken so far is made durable; resolves when it is. */
  sync(part: PartWriter): Promise<void> {
    // One that waits at the end of the queue will find all that comes until its turn.
    if (this.#last !== undefined && this.#queue.isLast(this.#last)) return this.#last
    const { file, record } = part
    this.#last = this.#queue.add(() => this.#sync(part, file, record))
    return this.#last
  }

  /** @param file with `record`, where the part was when this was asked for: it may have moved on */
  async #sync(part: PartWriter, file: AppendFile, record: IncrRecord): Promise<void> {
    const boundary = part.file === file ? { ...part.boundary } : undefined
    const replOffset =
      boundary === undefined
        ? (record.endReplOffset ?? -1)
        : boundary.storedReplOffset + boundary.unstoredBytes
    await file.sync()
    if (replOffset > this.syncedReplOffset) {
      this.syncedReplOffset = replOffset
      this.#options.onSynced?.()
    }
    const nowMs = this.#now()
    if (boundary === undefined || record.endReplOffset !== undefined) return
    if (nowMs - this.#savedMs < SIDECAR_INTERVAL_MS) return
    const { mark } = this.#store.sidecar
    if (mark?.filePosition === boundary.filePosition && mark.file === record.file) return
    this.#savedMs = nowMs
    this.noteMark(part, boundary, record.file)
    await this.#store.saveSidecarSoon()
  }

  noteMark(part: PartWriter, boundary = part.boundary, file = part.record.file): void {
    this.#store.sidecar.mark = {
      file,
      filePosition: boundary.filePosition,
      replOffset: boundary.storedReplOffset,
      unstoredBytes: boundary.unstoredBytes,
      dbnum: boundary.dbnum,
      replid: part.replid,
    }
  }
}
