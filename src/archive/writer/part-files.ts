/**
 * The files of increments: begun, listed once they are whole and on disk, or grown aside and named
 * or discarded later.
 */
import { AppendFile } from '../../disk/append-file.js'
import { syncDirectory } from '../../disk/write-all.js'
import type { OperationQueue } from './operation-queue.js'
import type { PartFile, PartOwner } from './part.js'
import { PartHashing } from './part-hashing.js'
import type { IncrRecord } from '../sidecar.js'
import type { ArchiveStore } from '../store.js'
import type { ArchiveWriterOptions } from './options.js'

const DEFAULT_HOLD_BYTES = 8 << 20

export class PartFiles implements PartOwner {
  readonly holdBytes: number
  readonly #store: ArchiveStore
  readonly #options: ArchiveWriterOptions
  readonly #now: () => number
  readonly #queue: OperationQueue
  readonly #onError: (error: Error) => void
  readonly #hashing: PartHashing
  /** Files that grew aside so far. */
  #asides = 0

  constructor(
    store: ArchiveStore,
    options: ArchiveWriterOptions,
    queue: OperationQueue,
    onError: (error: Error) => void,
  ) {
    this.holdBytes = options.holdBytes ?? DEFAULT_HOLD_BYTES
    this.#store = store
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#queue = queue
    this.#onError = onError
    this.#hashing = new PartHashing(store)
  }

  begin(startReplOffset: number, replid: string): PartFile {
    const record = this.#newRecord(startReplOffset, replid)
    return { record, file: this.open(this.#store.path(record.file)) }
  }

  /** @param position goes on behind it, in what is there */
  open(path: string, position?: number): AppendFile {
    const { sync } = this.#options
    return new AppendFile(path, {
      ...(position === undefined ? {} : { position }),
      ...(sync === undefined ? {} : { sync }),
      onError: this.#onError,
    })
  }

  /** An increment is complete and another has begun: the manifest learns it. */
  list(old: AppendFile, { record, file }: PartFile): void {
    // As they are now: a part may move on to another file before its turn.
    void this.#queue.add(async () => await this.listNow(old, { record, file }))
  }

  /** For an operation of the queue: what has arrived behind it comes behind this. */
  async listNow(old: AppendFile, { record, file }: PartFile): Promise<void> {
    await old.close()
    this.#hashing.add(old.path)
    await file.sync()
    const path = this.#store.path(record.file)
    if (file.path !== path) {
      file.rename(path)
      syncDirectory(this.#store.partsDir)
    }
    this.#store.timeline.push(record)
    this.#store.persist()
    const { startReplOffset: replOffset } = record
    this.#options.onEvent?.({ event: 'rotated', file: record.file, replOffset })
  }

  /** Its hash is kept, from the time on when it is known: nothing waits for it. */
  noteComplete(path: string): void {
    this.#hashing.add(path)
  }

  /** All hashes are known. */
  async hashed(): Promise<void> {
    await this.#hashing.idle()
  }

  openAside(): AppendFile {
    this.#asides += 1
    return this.open(this.#store.asidePath(this.#asides))
  }

  nameAside(old: PartFile, file: AppendFile, replOffset: number, replid: string): IncrRecord {
    const record = this.#newRecord(replOffset, replid)
    this.list(old.file, { record, file })
    return record
  }

  discardAside(file: AppendFile): void {
    void this.#queue.add(() => file.remove())
  }

  #newRecord(startReplOffset: number, replid: string): IncrRecord {
    const { file, seq } = this.#store.newIncrFile()
    return { kind: 'incr', file, seq, replid, startReplOffset, unixMs: this.#now() }
  }
}
