/**
 * Where a relay keeps its stream and its snapshots: in memory and a temporary directory, or in a
 * directory from which the next process goes on.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { bootId } from '../../disk/owner.js'
import { DiskBacklog } from '../backlog/disk-backlog.js'
import type { OnServeEvent } from '../events.js'
import type { HistoryState } from './history.js'
import { MemoryBacklog } from '../backlog/memory-backlog.js'
import { snapshotName, type KeptSnapshot, type RelayDir, type RelayState } from './relay-state.js'
import { Snapshot, type SnapshotPlace } from './snapshot.js'
import type { GrowingLog, Retainer } from './stream-log.js'
import type { StreamPosition } from './stream-tracker.js'

export interface RelayStoreOptions {
  backlogSizeBytes: number
  /** Where snapshots are put; they go with the process. */
  temporaryDir: string
  /** Where backlog and snapshot are kept instead, to survive it. */
  keepDir: RelayDir | undefined
  retain: Retainer
  onEvent: OnServeEvent
}

/** What a relay knows besides the stream itself. */
export interface RelayFacts {
  history: HistoryState
  position: StreamPosition
  snapshot: Snapshot | undefined
  /** Last byte of what deleted whole slots; none: -1, or not there. */
  deletedReplOffset?: number | undefined
}

export class RelayStore {
  readonly #options: RelayStoreOptions
  #log: GrowingLog
  #epoch = newEpoch()
  #snapshotNumber = 0
  #savedEndReplOffset = -1
  #isTicking = false

  constructor(options: RelayStoreOptions) {
    this.#options = options
    this.#log = new MemoryBacklog(options.backlogSizeBytes, 1, options.retain)
  }

  get log(): GrowingLog {
    return this.#log
  }

  /** To be called first. What an earlier process left in the directory; undefined where it left
   * nothing. */
  async restore(): Promise<RelayFacts | undefined> {
    const { keepDir } = this.#options
    if (keepDir === undefined) return undefined
    const found = keepDir.load()
    const state = found === 'damaged' ? undefined : found
    if (found === 'damaged') {
      const reason = `${keepDir.dir} was left by another version of rrep, or is damaged`
      this.#options.onEvent({ event: 'backlog-damaged', reason })
    }
    keepDir.removeSnapshotsBut(state?.snapshot?.file)
    if (state === undefined) {
      this.#log = DiskBacklog.create(this.#diskOptions(keepDir), this.#epoch, 1)
      return undefined
    }
    const isSameBoot = state.bootId !== '' && state.bootId === bootId()
    const trusted = isSameBoot ? Infinity : state.syncedReplOffset
    const options = this.#diskOptions(keepDir)
    this.#log = await DiskBacklog.restore(options, state.epoch, state.nextReplOffset, trusted)
    this.#epoch = state.epoch
    const { history, position, deletedReplOffset } = state
    return {
      history,
      position,
      deletedReplOffset,
      snapshot: await this.#openKept(state.snapshot, history.replid),
    }
  }

  /** Another history: nothing of the old one is kept. */
  begin(nextReplOffset: number): void {
    this.#epoch = newEpoch()
    if (this.#log instanceof DiskBacklog) this.#log.reset(nextReplOffset, this.#epoch)
    else this.#log.reset(nextReplOffset)
  }

  newSnapshot(place: SnapshotPlace, lengthBytes: number | undefined): Snapshot {
    this.#snapshotNumber += 1
    const { keepDir, temporaryDir } = this.#options
    const name = snapshotName(this.#epoch, this.#snapshotNumber)
    const path = join(keepDir?.dir ?? temporaryDir, name)
    return Snapshot.growing(place, path, lengthBytes, { isNameless: keepDir === undefined })
  }

  /** True where a snapshot is to outlive the process. */
  get keepsSnapshots(): boolean {
    return this.#options.keepDir !== undefined
  }

  /** Writes down what the next process needs; nothing without a directory. */
  save(facts: RelayFacts): void {
    const state = this.#stateOf(facts)
    if (state !== undefined) this.#options.keepDir?.save(state)
  }

  #stateOf({ history, position, snapshot, deletedReplOffset }: RelayFacts): RelayState | undefined {
    const { keepDir } = this.#options
    const log = this.#log
    if (keepDir === undefined || !(log instanceof DiskBacklog)) return undefined
    const isKept = snapshot?.state === 'complete' && snapshot.path !== undefined
    return {
      history,
      epoch: this.#epoch,
      nextReplOffset: log.firstReplOffset,
      syncedReplOffset: log.syncedReplOffset,
      bootId: bootId(),
      position,
      deletedReplOffset,
      snapshot: isKept
        ? {
            file: snapshot.path.slice(keepDir.dir.length + 1),
            replOffset: snapshot.place.replOffset,
            lengthBytes: snapshot.writtenBytes,
            createdAtMs: snapshot.createdAtMs,
            sum: snapshot.sum,
          }
        : undefined,
    }
  }

  /** Each second: what came since the last one is synced, then written down. */
  async tick(facts: () => RelayFacts): Promise<void> {
    const log = this.#log
    if (!(log instanceof DiskBacklog) || log.endReplOffset === this.#savedEndReplOffset) return
    if (this.#isTicking) return
    this.#isTicking = true
    this.#savedEndReplOffset = log.endReplOffset
    try {
      await log.sync()
      const state = this.#stateOf(facts())
      if (state !== undefined) await this.#options.keepDir?.saveLater(state)
    } finally {
      this.#isTicking = false
    }
  }

  /** `facts` undefined: there was no history to keep. */
  async close(facts: RelayFacts | undefined): Promise<void> {
    await this.#log.flush()
    if (facts !== undefined) this.save(facts)
    await this.#log.close()
  }

  #diskOptions(keepDir: RelayDir): Parameters<typeof DiskBacklog.create>[0] {
    const { backlogSizeBytes, retain, onEvent } = this.#options
    return {
      dir: keepDir.dir,
      sizeBytes: backlogSizeBytes,
      retain,
      onError: (error) => onEvent({ event: 'backlog-disk-failed', reason: error.message }),
      onDamage: (reason) => onEvent({ event: 'backlog-damaged', reason }),
    }
  }

  async #openKept(kept: KeptSnapshot | undefined, replid: string): Promise<Snapshot | undefined> {
    const { keepDir } = this.#options
    if (kept === undefined || keepDir === undefined) return undefined
    if (kept.replOffset + 1 < this.#log.firstReplOffset) return undefined
    const range = {
      path: join(keepDir.dir, kept.file),
      byteOffset: 0,
      lengthBytes: kept.lengthBytes,
    }
    const place = { replid, replOffset: kept.replOffset }
    try {
      return await Snapshot.ofFile(place, range, kept.createdAtMs, kept.sum)
    } catch {
      // Without it a newcomer costs a new snapshot; nothing else is lost.
      return undefined
    }
  }
}

function newEpoch(): string {
  return randomBytes(4).toString('hex')
}
