/** A snapshot that is whole becomes a base: the timeline, the manifests and the user learn it. */
import type { BaseWriter, SnapshotFacts } from './base.js'
import type { PartFile } from './part.js'
import type { BaseRecord, GapRecord, IncrRecord } from '../sidecar.js'
import type { ArchiveStore } from '../store.js'
import type { ArchiveWriterOptions } from './options.js'

/** Stream bytes that are missing, until it is known what follows them. */
export type OpenGap = Omit<GapRecord, 'toReplid' | 'toReplOffset'>

export class BaseCommits {
  gaps = 0
  readonly #store: ArchiveStore
  readonly #options: ArchiveWriterOptions

  constructor(store: ArchiveStore, options: ArchiveWriterOptions) {
    this.#store = store
    this.#options = options
  }

  /** The stream begins behind it, in the increment given. */
  async begin(
    base: BaseWriter,
    { rdbVersion, checksum }: SnapshotFacts,
    { record: incr, file }: PartFile,
    gap: OpenGap | undefined,
  ): Promise<void> {
    const record = await base.finish(rdbVersion, checksum)
    await file.sync()
    const { sidecar, timeline } = this.#store
    const isBehindGap = gap !== undefined && timeline.some((entry) => entry.kind !== 'gap')
    const { replid, replOffset } = record
    if (isBehindGap) this.#noteGap({ ...gap, toReplid: replid, toReplOffset: replOffset })
    timeline.push(record, incr)
    sidecar.replid = replid
    if (gap !== undefined) this.#store.persistBefore(record)
    this.#store.persist()
    this.#tell(record)
  }

  /** It was made while the stream went on, and belongs in front of the increment `before`. False, and
   * nothing done, where that is gone: the archive was cut back meanwhile. */
  async insert(base: BaseWriter, before: IncrRecord, rdbVersion: number): Promise<boolean> {
    if (!this.#store.timeline.includes(before)) return false
    const record = await base.finish(rdbVersion, 'ok')
    this.#store.insertBase(record, before)
    this.#store.persistBefore(record)
    this.#store.persist()
    this.#tell(record)
    return true
  }

  #noteGap(gap: GapRecord): void {
    this.gaps += 1
    this.#store.addGap(gap)
    const { replid, fromReplOffset, toReplid, toReplOffset } = gap
    this.#options.onEvent?.({ event: 'gap', replid, fromReplOffset, toReplid, toReplOffset })
  }

  #tell({ file, bytes, replOffset, rdbVersion }: BaseRecord): void {
    const { keep, onEvent, now = Date.now } = this.#options
    onEvent?.({ event: 'snapshot', file, bytes, replOffset, rdbVersion })
    const files = keep === undefined ? [] : this.#store.prune(keep, now())
    if (files.length > 0) onEvent?.({ event: 'pruned', files })
  }
}
