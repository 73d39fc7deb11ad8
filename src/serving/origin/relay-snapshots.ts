/**
 * The snapshots of a relay: the newest one, whole or still arriving on the link itself, and the one that
 * is fetched over a connection of its own when a replica needs a state that is newer than that. What
 * the relay's log still goes on behind is decided here; where the bytes lie is the store's.
 */
import { AbortedError, LinkError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { orAborted } from '../../net/waiting.js'
import type { History } from './history.js'
import type { RelayStore } from './relay-store.js'
import type { SlotDeletions } from './slot-deletions.js'
import { SnapshotFetch } from './snapshot-fetch.js'
import type { Snapshot } from './snapshot.js'

export interface RelaySnapshotsHost {
  readonly history: History
  readonly store: RelayStore
  readonly deletions: SlotDeletions
  /** A connection to upstream can be made now, and where; undefined: the link is down. */
  whereToFetch(): ServerSettings | undefined
  /** Upstream began to send one of its own for us. */
  onFetchBegun(): void
  /** It is whole. */
  onFetched(snapshot: Snapshot): void
  /** The next process would begin from another snapshot than before. */
  onKept(): void
  /** A kept file is not what it was: it is removed. */
  onDamaged(snapshot: Snapshot): void
  onDiskFailed(error: unknown): void
  readonly onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

/** A snapshot this young is still the state of now to somebody who wants only that. */
const FRESH_MS = 5000

export class RelaySnapshots {
  readonly #host: RelaySnapshotsHost
  #newest: Snapshot | undefined
  #fetch: SnapshotFetch | undefined
  #isClosed = false

  constructor(host: RelaySnapshotsHost) {
    this.#host = host
  }

  get newest(): Snapshot | undefined {
    return this.#newest
  }

  /** What an earlier process left. */
  restore(snapshot: Snapshot | undefined): void {
    this.#newest = snapshot
  }

  /** The link brings one, of the history as it is now. */
  begin(replOffset: number, lengthBytes: number | undefined): void {
    this.#newest = this.#make(replOffset, lengthBytes)
  }

  /** It came whole; it outlives the process where the store keeps snapshots. */
  keep(snapshot: Snapshot): void {
    if (snapshot.state === 'growing') snapshot.complete()
    if (!this.#host.store.keepsSnapshots) return
    snapshot
      .keep()
      .then((isKept) => {
        if (isKept && !this.#isClosed) this.#host.onKept()
      })
      .catch((error: unknown) => this.#host.onDiskFailed(error))
  }

  /** The link ended: what was arriving on it will never be whole. */
  failGrowing(reason: Error): void {
    if (this.#newest?.state !== 'growing') return
    this.#newest.fail(reason)
    this.#newest = undefined
  }

  /** Of snapshots that contain this byte nothing is of use any more, nor of one that is on its way. */
  dropFrom(replOffset: number, reason: LinkError): void {
    this.stopFetch(reason)
    if (this.#newest === undefined || this.#newest.place.replOffset < replOffset) return
    this.#newest.remove()
    this.#newest = undefined
  }

  stopFetch(reason: Error): void {
    this.#fetch?.stop(reason)
  }

  /** The history has another name and is the same. */
  rename(): void {
    if (this.#newest !== undefined) this.#newest.place.replid = this.#host.history.replid
  }

  close(): void {
    this.#isClosed = true
    this.stopFetch(new AbortedError())
  }

  /** When all is written down. */
  discard(): void {
    this.#newest?.discard()
  }

  /** For a replica: the newest one where it will do, else a new one for all who wait. */
  async get(wish: 'any' | 'fresh', signal: AbortSignal): Promise<Snapshot> {
    const snapshot = await this.#sound()
    if (snapshot !== undefined && this.#isContinued(snapshot)) {
      const isNow =
        snapshot.state === 'growing' ||
        snapshot.place.replOffset >= this.#host.store.log.endReplOffset ||
        Date.now() - snapshot.createdAtMs < FRESH_MS
      if (wish === 'any' || isNow) return snapshot
    }
    this.#fetch ??= this.#startFetch()
    const fetched = await orAborted(this.#fetch.begun, signal)
    if (this.#isContinued(fetched)) return fetched
    throw new LinkError('ERR_SNAPSHOT_OUTDATED', 'the snapshot is of another history', {
      retriable: true,
    })
  }

  #make(replOffset: number, lengthBytes: number | undefined): Snapshot {
    const { history, store } = this.#host
    return store.newSnapshot({ replid: history.replid, replOffset }, lengthBytes)
  }

  /** Does the log go on behind it? */
  #isContinued({ state, place }: Snapshot): boolean {
    const { history, store, deletions } = this.#host
    return (
      state !== 'failed' &&
      place.replid === history.replid &&
      place.replOffset >= deletions.replOffset &&
      place.replOffset + 1 >= store.log.firstReplOffset
    )
  }

  /** The snapshot that is there; one that was kept is looked through before anybody is given it. */
  async #sound(): Promise<Snapshot | undefined> {
    const snapshot = this.#newest
    if (snapshot === undefined || (await snapshot.isSound())) return this.#newest
    // Of all who waited for the answer, the first removes it.
    if (this.#newest === snapshot) {
      this.#newest = undefined
      snapshot.remove()
      this.#host.onDamaged(snapshot)
    }
    return this.#newest
  }

  /** Over a connection of its own: the stream goes on. */
  #startFetch(): SnapshotFetch {
    const server = this.#host.whereToFetch()
    if (server === undefined) {
      throw new LinkError('ERR_NO_UPSTREAM', "Can't SYNC while not connected with my master", {
        retriable: true,
      })
    }
    const fetch = new SnapshotFetch(server, {
      makeSnapshot: (replid, replOffset, lengthBytes) => {
        if (replid !== this.#host.history.replid) {
          throw new LinkError('ERR_SNAPSHOT_OUTDATED', 'upstream has another replid by now')
        }
        this.#host.onFetchBegun()
        return this.#make(replOffset, lengthBytes)
      },
      onDiskFailed: (error) => this.#host.onDiskFailed(error),
      onDone: (snapshot) => {
        if (snapshot !== undefined) this.#fetched(snapshot)
        if (this.#fetch === fetch) this.#fetch = undefined
      },
      onWire: this.#host.onWire,
    })
    return fetch
  }

  #fetched(snapshot: Snapshot): void {
    if (this.#isClosed || !this.#isContinued(snapshot)) {
      snapshot.discard()
      return
    }
    this.#newest?.remove()
    this.#newest = snapshot
    this.keep(snapshot)
    this.#host.onFetched(snapshot)
  }
}
