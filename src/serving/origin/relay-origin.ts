/**
 * A relay: one replication link upstream, its stream kept in a log under the same replid and
 * offsets, and snapshots that stand for everybody who needs one.
 *
 * The stream is passed on byte for byte, so a replica may move between master and relay. What
 * becomes of the replicas follows what upstream says: it continues (they notice nothing), it has
 * another name (they ask again and continue), it makes a full resync (they must, too).
 */
import { randomBytes } from 'node:crypto'
import { AbortedError, FileError, InternalError, LinkError, RrepError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type {
  ContinueInfo,
  FullResyncInfo,
  LinkConsumer,
  LinkLostInfo,
  LinkState,
  LostStream,
  ResumePoint,
} from '../../replication/consumer.js'
import { ReplicationLink } from '../../replication/link.js'
import { countWrites } from '../../replication/lost-writes.js'
import { streamDbOf, writerOf } from '../../rdb/head.js'
import { emptyRdb } from './empty-rdb.js'
import type { ServerKind } from '../../servers/rdb-version.js'
import { HeldLog } from './held-log.js'
import { History } from './history.js'
import type { Origin, OriginListener, ResumeAnswer, SnapshotWish, UpstreamFacts } from './origin.js'
import { hasNoKeys } from './rdb-scan.js'
import { RelaySnapshots } from './relay-snapshots.js'
import { RelayStore, type RelayFacts, type RelayStoreOptions } from './relay-store.js'
import { SlotDeletions } from './slot-deletions.js'
import { Snapshot } from './snapshot.js'
import type { GrowingLog, StreamLog } from './stream-log.js'
import { StreamTracker } from './stream-tracker.js'

export interface RelayOptions extends Omit<RelayStoreOptions, 'retain'> {
  server: ServerSettings
  /** Attempts before the first success; afterwards it is tried for ever. */
  retries: number
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

/** Stream bytes taken before the replicas have their turn. */
const TURN_BYTES = 2 << 20

/** After an error that will not pass by itself (a password changed), upstream is tried so often. */
const STUBBORN_MS = 10_000

export class RelayOrigin implements Origin, LinkConsumer {
  readonly history = new History({ replid: '0'.repeat(40), replid2: '', secondReplOffset: -1 })
  readonly backlogSizeBytes: number
  readonly hasCommandsBehindSnapshot = false
  /** Newer commands may stand in the stream: an older replica must not be let in by a label. */
  readonly mayRelabel = false
  readonly #options: RelayOptions
  #isNode = false
  readonly #store: RelayStore
  readonly #tracker = new StreamTracker()
  readonly #held: HeldLog | undefined
  readonly #deletions = new SlotDeletions()
  #server: ServerSettings
  #listener: OriginListener | undefined
  #link: ReplicationLink | undefined
  #linkState: LinkState = 'idle'
  #isClosing = false
  #isRestarting = false
  #hasHistory = false
  /** There is, or was, something to serve. */
  #hasBeenUp = false
  /** Before the full resync that is under way, or was the last. */
  #hadHistory = false
  /** Upstream names no history (2.6 and older): the name, and where its offsets begin, are ours. */
  #isHistoryOurs = false
  #shift = 0
  readonly #snapshots: RelaySnapshots
  #wakeUp: (() => void) | undefined
  #turnBytes = 0
  #turnEnd: Promise<void> | undefined
  #lastByteMs = -1
  #downSinceMs: number | undefined = Date.now()
  #lost = 0
  #fullResyncs = 0
  #partialResyncs = 0

  constructor(options: RelayOptions) {
    this.#options = options
    this.#server = options.server
    this.backlogSizeBytes = options.backlogSizeBytes
    this.#store = new RelayStore({ ...options, retain: () => this.retain() })
    this.#snapshots = this.#makeSnapshots()
    if (options.server.isWatched === true) this.#held = new HeldLog(() => this.#store.log)
  }

  /** First byte that some replica needs; set by the master. */
  retain: () => number = () => Infinity

  get log(): StreamLog {
    return this.#held ?? this.#store.log
  }

  get #log(): GrowingLog {
    return this.#store.log
  }

  get writer(): ServerKind | undefined {
    const { newest } = this.#snapshots
    return newest === undefined ? undefined : writerOf(newest.head)
  }

  get isReady(): boolean {
    return this.#hasHistory
  }

  get boundaryReplOffset(): number {
    return this.#tracker.isFollowing
      ? this.#tracker.position.boundaryReplOffset
      : this.#log.endReplOffset
  }

  get upstream(): UpstreamFacts {
    const address = this.#link?.status.address ?? this.#server.address
    return {
      address: formatServerAddress(address),
      host: address.transport === 'unix' ? (address.socketPath ?? '') : address.host,
      port: address.port,
      isUp: this.#linkState === 'stream',
      isSyncing: this.#linkState === 'snapshot' || this.#linkState === 'waiting',
      lastIoSeconds: this.#lastByteMs < 0 ? -1 : Math.round((Date.now() - this.#lastByteMs) / 1000),
      downSinceMs: this.#downSinceMs,
      lost: this.#lost,
      fullResyncs: this.#fullResyncs,
      partialResyncs: this.#partialResyncs,
    }
  }

  setListener(listener: OriginListener): void {
    this.#listener = listener
  }

  /** Takes up what an earlier process left in the directory. To be called first. */
  async restore(): Promise<void> {
    const facts = await this.#store.restore()
    if (facts === undefined) return
    Object.assign(this.history, facts.history)
    this.#hasHistory = true
    this.#hasBeenUp = true
    this.#snapshots.restore(facts.snapshot)
    this.#deletions.replOffset = facts.deletedReplOffset ?? -1
    await this.#retrack(facts.position)
    this.#held?.reset(this.#log.endReplOffset)
    const { firstReplOffset, endReplOffset } = this.#log
    const { replid } = this.history
    this.#options.onEvent({ event: 'backlog-restored', replid, firstReplOffset, endReplOffset })
  }

  /** Runs until closed or aborted. Rejects when upstream was never reached, or refuses. */
  async run(signal: AbortSignal): Promise<void> {
    while (!this.#isClosing) {
      const link = new ReplicationLink(
        {
          server: this.#server,
          purpose: 'stream',
          start: this.resumePoint() ?? 'full',
          retries: this.#hasHistory ? Infinity : this.#options.retries,
          signal,
          onWire: this.#options.onWire,
        },
        this,
      )
      this.#link = link
      try {
        await link.run()
      } catch (error) {
        if (error instanceof AbortedError || error instanceof InternalError) throw error
        if (!(error instanceof RrepError) || !this.#hasHistory) throw error
        // Of our disk, so the link did not tell of it. What never had room will have none.
        if (error instanceof FileError) {
          if (!this.#hasBeenUp) throw error
          this.#tellLost(error, STUBBORN_MS)
        }
        await this.#sleep(STUBBORN_MS, signal)
      }
      this.#linkDown()
      this.#isRestarting = false
    }
  }

  /** Follows another server from now on: by a partial resync where it knows the history. */
  follow(server: ServerSettings): void {
    this.#server = server
    this.#isRestarting = true
    this.#snapshots.stopFetch(new LinkError('ERR_UPSTREAM_CHANGED', 'upstream was changed'))
    this.#options.onEvent({ event: 'upstream-changed', upstream: this.upstream.address })
    this.#link?.stop()
    this.#wakeUp?.()
  }

  resume(replid: string, nextReplOffset: number): ResumeAnswer {
    if (!this.history.names(replid, nextReplOffset)) return 'no'
    if (nextReplOffset < this.#log.firstReplOffset) return 'no'
    // It has what was deleted there, and would keep it.
    if (nextReplOffset <= this.#deletions.replOffset) return 'no'
    if (nextReplOffset <= this.#log.endReplOffset + 1) return 'yes'
    // Ahead of us: we were restarted, or upstream feeds it faster. Upstream has what it had.
    return replid.toLowerCase() === this.history.replid ? 'soon' : 'no'
  }

  async snapshot(wish: SnapshotWish, signal: AbortSignal): Promise<Snapshot> {
    return wish === 'empty' ? this.#emptySnapshot() : await this.#snapshots.get(wish, signal)
  }

  tick(nowMs: number): void {
    if (this.#linkState === 'stream' && this.#held?.tick(nowMs) === true) {
      this.#listener?.onAppended()
    }
    // A state that cannot be written down leaves the one before: older, and true.
    this.#store.tick(() => this.#facts()).catch((error: unknown) => this.#diskFailed(error))
  }

  async close(): Promise<void> {
    this.#isClosing = true
    this.#snapshots.close()
    this.#link?.stop()
    this.#wakeUp?.()
    await this.#store.close(this.#hasHistory ? this.#facts() : undefined)
    this.#snapshots.discard()
  }

  // ---- the link's consumer --------------------------------------------------------------------

  onState(state: LinkState): void {
    this.#linkState = state
    if (state !== 'stream') return
    this.#hasBeenUp = true
    this.#downSinceMs = undefined
  }

  onClusterNode(): void {
    if (this.#isNode) return
    this.#isNode = true
    this.#options.onEvent({ event: 'upstream-cluster-node', upstream: this.upstream.address })
  }

  onFullResync(info: FullResyncInfo): void {
    this.#heard()
    this.#fullResyncs += 1
    const upstream = this.upstream.address
    // A master of 2.6 names no history: what it sends now is one of its own.
    const replid = info.replid ?? randomBytes(20).toString('hex')
    const replOffset = Math.max(0, info.replOffset)
    this.#isHistoryOurs = info.replid === undefined
    this.#shift = replOffset - info.replOffset
    this.#snapshots.dropFrom(0, new LinkError('ERR_FULL_RESYNC', 'upstream made a full resync'))
    this.#hadHistory = this.#hasHistory
    if (this.#hasHistory && replid.toLowerCase() !== this.history.replid) {
      this.#options.onEvent({
        event: 'upstream-other-history',
        upstream,
        replid,
        previousReplid: this.history.replid,
        previousReplOffset: this.#log.endReplOffset,
      })
    }
    this.history.replace(replid)
    this.#store.begin(replOffset + 1)
    this.#tracker.reset({ boundaryReplOffset: replOffset, dbnum: -1 })
    this.#held?.reset(replOffset)
    this.#deletions.reset(replOffset)
    this.#deletions.replOffset = -1
    this.#hasHistory = true
    this.#snapshots.begin(replOffset, info.lengthBytes)
    this.#store.save(this.#facts())
    this.#options.onEvent({ event: 'upstream-full-resync', upstream, replid, replOffset })
    this.#listener?.onHistoryChanged('upstream made a full resync')
  }

  onSnapshotBytes(bytes: Buffer, start: number, end: number): void {
    this.#heard()
    this.#snapshots.newest?.write(bytes, start, end)
  }

  onSnapshotEnd(): void {
    const snapshot = this.#snapshots.newest
    if (snapshot === undefined) return
    const { replOffset } = snapshot.place
    this.#tracker.reset({ boundaryReplOffset: replOffset, dbnum: streamDbOf(snapshot.head) })
    const upstream = this.upstream.address
    // Before it is whole nobody is given the end of it.
    if (this.#hadHistory && hasNoKeys(snapshot.head, snapshot.writtenBytes)) {
      this.#options.onEvent({ event: 'upstream-empty', upstream, replOffset })
    }
    this.#snapshots.keep(snapshot)
    this.#tellSnapshot(snapshot)
  }

  onContinue({ replid, nextReplOffset }: ContinueInfo): void {
    this.#heard()
    this.#partialResyncs += 1
    const upstream = this.upstream.address
    if (nextReplOffset !== this.#log.endReplOffset + 1) {
      throw new InternalError(
        `upstream continues at ${nextReplOffset}, the log ends at ${this.#log.endReplOffset}`,
      )
    }
    const previousReplid = this.history.replid
    this.#options.onEvent({ event: 'upstream-continued', upstream, replid, nextReplOffset })
    if (replid.toLowerCase() === previousReplid) return
    this.history.rename(replid, nextReplOffset)
    this.#snapshots.rename()
    this.#store.save(this.#facts())
    this.#options.onEvent({
      event: 'upstream-renamed',
      upstream,
      replid: this.history.replid,
      previousReplid,
      nextReplOffset,
    })
    // They know the old name: asked again, they learn the new one and go on where they were.
    this.#listener?.onHistoryChanged('upstream has another replid')
  }

  onStream(bytes: Buffer, start: number, end: number, replOffset: number): void {
    this.#lastByteMs = Date.now()
    if (replOffset + this.#shift !== this.#log.endReplOffset + 1) {
      throw new InternalError(
        `stream byte ${replOffset} came, the log ends at ${this.#log.endReplOffset}`,
      )
    }
    this.#log.append(bytes, start, end)
    this.#listener?.onAppended()
    this.#tracker.feed(bytes, start, end)
    this.#held?.feed(bytes, start, end)
    if (this.#isNode && this.#deletions.feed(bytes, start, end)) this.#slotsDeleted()
    this.#turnBytes += end - start
    if (this.#turnBytes >= TURN_BYTES) this.#yieldTurn()
  }

  onKeepalive(): void {
    this.#heard()
  }

  onLinkLost({ error, retryInMs }: LinkLostInfo): void {
    this.#tellLost(error, retryInMs ?? (this.#hasHistory ? STUBBORN_MS : undefined))
  }

  drain(): Promise<void> | undefined {
    return this.#log.drain() ?? this.#turnEnd
  }

  resumePoint(): ResumePoint | 'full' | undefined {
    if (!this.#hasHistory) return undefined
    if (this.#isHistoryOurs) return 'full'
    // A snapshot that did not arrive whole began a history of which nobody has anything.
    const isEmpty = this.#log.endReplOffset < this.#log.firstReplOffset
    if (isEmpty && this.#snapshots.newest?.state !== 'complete') return 'full'
    return { replid: this.history.replid, nextReplOffset: this.#log.endReplOffset + 1 }
  }

  /** Replicas that have what the new master never had take a full resync, the others go on. */
  async cutBack(lost: LostStream): Promise<void> {
    const { fromReplOffset, toReplOffset } = lost
    const log = this.#log
    if (fromReplOffset < log.firstReplOffset || toReplOffset !== log.endReplOffset) return
    const writes = await countWrites(lost, async (at, into) => await log.read(at, into))
    if (this.log.endReplOffset >= fromReplOffset) {
      this.#listener?.onHistoryChanged('a failover lost the end of the stream')
    }
    const reason = new LinkError('ERR_FULL_RESYNC', 'a failover lost what it holds')
    this.#snapshots.dropFrom(fromReplOffset, reason)
    await log.cutBack(fromReplOffset)
    this.#tracker.reset({ boundaryReplOffset: fromReplOffset - 1, dbnum: -1 })
    this.#held?.reset(fromReplOffset - 1)
    this.#deletions.reset(fromReplOffset - 1)
    this.#store.save(this.#facts())
    const upstream = this.upstream.address
    if (writes > 0)
      this.#options.onEvent({ event: 'upstream-lost-writes', upstream, ...lost, writes })
  }

  /** A socket that always has more would be read for 32 MB in one turn of the event loop, and a
   * healthy replica be taken for a slow one before it had a chance to be sent anything. */
  #yieldTurn(): void {
    this.#turnBytes = 0
    this.#turnEnd ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#turnEnd = undefined
        resolve()
      })
    })
  }

  // ---- inside ---------------------------------------------------------------------------------

  #heard(): void {
    this.#lastByteMs = Date.now()
  }

  #tellLost(error: Error, retryInMs: number | undefined): void {
    this.#lost += 1
    this.#linkDown(error)
    const upstream = this.upstream.address
    const reason = error.message
    this.#options.onEvent({ event: 'upstream-lost', upstream, reason, retryInMs })
  }

  #linkDown(error?: Error): void {
    this.#downSinceMs ??= Date.now()
    this.#snapshots.failGrowing(
      error ?? new LinkError('ERR_LINK_LOST', 'the link to upstream ended'),
    )
  }

  #facts(): RelayFacts {
    return {
      history: this.history.state,
      position: this.#tracker.position,
      snapshot: this.#snapshots.newest,
      deletedReplOffset: this.#deletions.replOffset,
    }
  }

  #makeSnapshots(): RelaySnapshots {
    return new RelaySnapshots({
      history: this.history,
      store: this.#store,
      deletions: this.#deletions,
      whereToFetch: () => (this.#linkState === 'stream' ? this.#server : undefined),
      onFetchBegun: () => (this.#fullResyncs += 1),
      onFetched: (snapshot) => this.#tellSnapshot(snapshot),
      onKept: () => this.#store.save(this.#facts()),
      onDamaged: ({ path }) => {
        const reason = `${path ?? 'the snapshot'} is damaged`
        this.#options.onEvent({ event: 'backlog-damaged', reason })
      },
      onDiskFailed: (error) => this.#diskFailed(error),
      onWire: this.#options.onWire,
    })
  }

  #tellSnapshot({ writtenBytes: bytes, place: { replOffset } }: Snapshot): void {
    const upstream = this.upstream.address
    this.#options.onEvent({ event: 'upstream-snapshot', upstream, bytes, replOffset })
  }

  #emptySnapshot(): Snapshot {
    const { boundaryReplOffset, dbnum } = this.#tracker.position
    const isKept = boundaryReplOffset + 1 >= this.#log.firstReplOffset
    if (!this.#tracker.isFollowing || dbnum < 0 || !isKept) {
      throw new LinkError('ERR_NO_POSITION', 'the selected db is not known yet', {
        retriable: true,
      })
    }
    const place = { replid: this.history.replid, replOffset: boundaryReplOffset }
    return Snapshot.ofBytes(place, emptyRdb(dbnum))
  }

  /** Before a replica has got it. Only a new snapshot is without those keys. */
  #slotsDeleted(): void {
    const upstream = this.upstream.address
    const { replOffset } = this.#deletions
    this.#snapshots.stopFetch(
      new LinkError('ERR_SNAPSHOT_OUTDATED', 'slots were deleted meanwhile'),
    )
    this.#store.save(this.#facts())
    this.#options.onEvent({ event: 'upstream-deleted-slots', upstream, replOffset })
    this.#listener?.onHistoryChanged('slots of the cluster were deleted as a replica cannot do it')
  }

  #diskFailed(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    this.#options.onEvent({ event: 'backlog-disk-failed', reason })
  }

  /** Follows the part of the restored stream that came behind the position that was saved. */
  async #retrack(position: { boundaryReplOffset: number; dbnum: number }): Promise<void> {
    const log = this.#log
    let next = Math.max(position.boundaryReplOffset + 1, log.firstReplOffset)
    if (next > log.endReplOffset + 1) {
      // The end was cut back behind the boundary: from here on it is found anew.
      this.#tracker.reset({ boundaryReplOffset: log.endReplOffset, dbnum: -1 })
      this.#deletions.reset(log.endReplOffset)
      return
    }
    this.#tracker.reset({ boundaryReplOffset: next - 1, dbnum: position.dbnum })
    this.#deletions.reset(next - 1)
    const buffer = Buffer.allocUnsafe(1 << 20)
    while (next <= log.endReplOffset) {
      const count = await log.read(next, buffer)
      this.#tracker.feed(buffer, 0, count)
      this.#deletions.feed(buffer, 0, count)
      next += count
    }
  }

  async #sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    if (this.#isClosing || this.#isRestarting || signal.aborted) return
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        this.#wakeUp = undefined
        resolve()
      }
      const timer = setTimeout(end, durationMs)
      signal.addEventListener('abort', end, { once: true })
      this.#wakeUp = end
    })
  }
}
