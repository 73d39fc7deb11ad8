/**
 * `tail -o`: a master's snapshot and every write since, kept in a directory that redis-server
 * loads as it is; started again, it goes on at the byte where it stopped.
 */
import { AbortedError, ProtocolError, UsageError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { DEFAULT_RETRIES } from '../../net/server-settings.js'
import type {
  AckOffsets,
  ContinueInfo,
  FullResyncInfo,
  LinkConsumer,
  LinkLostInfo,
  LostStream,
  ResumePoint,
  SnapshotEndInfo,
} from '../../replication/consumer.js'
import { ReplicationLink } from '../../replication/link.js'
import { ArchiveWriter } from '../../archive/writer/writer.js'
import type { ArchiveStore } from '../../archive/store.js'
import { announce } from '../../serving/announce/announcement.js'
import { takeSnapshot } from './archive-snapshot.js'
import { openPlace } from './place.js'
import type { Shipping } from './shipping.js'
import { clusterNodeWarning } from '../../source/progress.js'
import { readServer, type ServerName } from '../../source/classify.js'
import type { OnSlots } from '../../archive/writer/stream.js'
import type { ArchiveCall, ArchiveOptions, ArchiveResult, FullResyncReason } from './options.js'

export type * from './options.js'
export type { ArchiveWriterEvent } from '../../archive/writer/options.js'

const DEFAULT_ROTATE_BYTES = 256 << 20
/** What is being written goes up anew each time: it is to stay small. */
const SHIPPED_ROTATE_BYTES = 16 << 20
const TICK_MS = 1000
/** Not at once: the server may be at its next move of slots, and saves for that. */
const TRIM_SNAPSHOT_MS = 3000
/** Full resyncs in a row because the stream made no sense. */
const MAX_DESYNCS = 3

/**
 * Resolves when `durationMs` is over. Rejects with AbortedError by the signal, FileError (the
 * disk is full, the directory is in use or foreign), LinkError, AuthError, ProtocolError, AofError
 * (what is there is damaged). In every case what was whole is on disk and the state is saved.
 */
export async function archive(source: ServerName, options: ArchiveOptions): Promise<ArchiveResult> {
  if (options.durable === true && options.fsync === 'no') {
    throw new UsageError("`durable` acknowledges what is fsynced, and `fsync: 'no'` does not fsync")
  }
  const { signal, onEvent } = options
  const announced = await announce(readServer(source), {
    announce: options.announce,
    signal,
    onWarning: (message) => onEvent?.({ event: 'warning', message }),
  })
  try {
    return await archiveCall({ ...options, server: announced.server })
  } finally {
    await announced.close()
  }
}

/** One of the shards of a cluster, each with an archive of its own. */
export interface KeptShard {
  /** Ends it as if done. */
  readonly end: AbortSignal
  readonly onSlots: OnSlots
  readonly onOpen: (archive: OpenArchive) => void
}

export interface OpenArchive {
  /** The last byte that it has, whenever that is asked; -1: none. */
  readonly replOffset: () => number
  /** The begin of the second in which it received last, unix ms; undefined: there is nothing yet. */
  readonly receivedMs: () => number | undefined
}

export async function archiveCall(call: ArchiveCall, shard?: KeptShard): Promise<ArchiveResult> {
  // Before anything is made.
  if (call.signal?.aborted === true) throw new AbortedError()
  const place = await openPlace(call)
  try {
    const { store, shipping, dir } = place
    return await new ArchiveRun({ ...call, dir }, store, { shard, shipping }).run()
  } finally {
    place.close()
  }
}

/** `dir`: where it is, for people. */
type PlacedCall = ArchiveCall & { dir: string }

class ArchiveRun implements LinkConsumer {
  readonly #options: PlacedCall
  readonly #shard: KeptShard | undefined
  #isNode = false
  readonly #store: ArchiveStore
  readonly #archive: ArchiveWriter
  #link: ReplicationLink | undefined
  #failure: Error | undefined
  #connected = false
  #snapshotBytes = 0
  #snapshots = 0
  #reason: FullResyncReason = 'first'
  readonly #shipping: Shipping | undefined
  readonly #snapshotHalt = new AbortController()
  #snapshotting: Promise<void> | undefined
  #lastSnapshotMs = Date.now()
  /** Commands left out, without which a server loads what is gone; and how many of them the newest
   * snapshot has behind it. */
  #trims = 0
  #trimsCovered = 0

  constructor(
    options: PlacedCall,
    store: ArchiveStore,
    { shard, shipping }: { shard: KeptShard | undefined; shipping: Shipping | undefined },
  ) {
    this.#options = options
    this.#shard = shard
    this.#isNode = shard !== undefined
    this.#shipping = shipping
    this.#store = store
    this.#archive = new ArchiveWriter(store, {
      rotateBytes: options.rotateBytes ?? (shipping ? SHIPPED_ROTATE_BYTES : DEFAULT_ROTATE_BYTES),
      fsync: options.fsync ?? 'everysec',
      syncOnGetAck: options.durable === true,
      keep: options.keep,
      onEvent: (event) => {
        if (event.event === 'snapshot') this.#snapshots += 1
        if (event.event === 'dropped' && shard !== undefined) this.#trims += 1
        options.onEvent?.(event)
      },
      onSlots: shard?.onSlots,
      onError: (error) => this.#fail(error),
      onSynced: () => {
        if (options.durable === true) this.#link?.acknowledge()
      },
      ...(options.sync === undefined ? {} : { sync: options.sync }),
    })
    shard?.onOpen({
      replOffset: () => this.#archive.replOffset,
      receivedMs: () => {
        const { unixSeconds } = store.sidecar
        return unixSeconds > 0 ? unixSeconds * 1000 : undefined
      },
    })
    if (shard !== undefined) this.#trims = store.resume?.part.trims ?? 0
    const base = store.currentBase
    if (base !== undefined) this.#lastSnapshotMs = base.unixMs
  }

  async run(): Promise<ArchiveResult> {
    const { signal, durationMs, server, dir } = this.#options
    const end = this.#shard?.end
    const onEnd = (): void => this.#link?.stop()
    end?.addEventListener('abort', onEnd, { once: true })
    this.#tellRecovery()
    const timers = [setInterval(() => this.#tick(), TICK_MS)]
    if (durationMs !== undefined) timers.push(setTimeout(() => this.#link?.stop(), durationMs))
    try {
      if (end?.aborted !== true) await this.#follow()
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error))
    } finally {
      for (const timer of timers) clearTimeout(timer)
      end?.removeEventListener('abort', onEnd)
      this.#snapshotHalt.abort()
      await this.#snapshotting
    }
    try {
      await this.#archive.close()
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error))
    }
    const failure = this.#failure
    const isDone = failure === undefined || failure instanceof AbortedError
    const shipped = await this.#shipping?.finish(isDone)
    if (!isDone) throw failure
    const result: ArchiveResult = {
      source: formatServerAddress(server.address),
      dir,
      replid: this.#archive.replid,
      replOffset: this.#archive.replOffset,
      streamBytes: this.#archive.streamBytes,
      commands: this.#archive.commands,
      snapshots: this.#snapshots,
      gaps: this.#archive.gaps,
      dropped: this.#archive.dropped,
      droppedCommands: this.#archive.droppedCommands,
      highestDbnum: this.#archive.highestDbnum,
      shipped,
    }
    this.#options.onEvent?.({ event: 'stopped', ...result })
    if (failure !== undefined) throw failure
    if (signal?.aborted === true) throw new AbortedError()
    return result
  }

  /** One link after the other: the next only where the stream made no sense. */
  async #follow(): Promise<void> {
    const { server, signal, retries, onWire } = this.#options
    let start: 'full' | ResumePoint = this.#archive.resumePoint ?? 'full'
    if (start !== 'full') this.#reason = 'refused'
    for (let desyncs = 0; ;) {
      const before = this.#archive.commands
      this.#link = new ReplicationLink(
        { server, purpose: 'stream', start, retries: retries ?? Infinity, signal, onWire },
        this,
      )
      try {
        await this.#link.run()
        return
      } catch (error) {
        const isDesync = error instanceof ProtocolError && error.code === 'ERR_STREAM_DESYNC'
        desyncs = this.#archive.commands > before ? 1 : desyncs + 1
        if (!isDesync || desyncs > MAX_DESYNCS) throw error
        this.#options.onEvent?.({ event: 'link-lost', message: error.message, retryInMs: 0 })
        this.#archive.linkLost()
        this.#reason = 'desync'
        start = 'full'
      }
    }
  }

  onClusterNode(): void {
    if (this.#isNode) return
    this.#isNode = true
    const server = formatServerAddress(this.#options.server.address)
    this.#options.onEvent?.(clusterNodeWarning(server))
  }

  onFullResync(info: FullResyncInfo): void {
    const { replid, replOffset } = info
    if (replid === undefined) {
      throw new ProtocolError(
        'ERR_NOT_SUPPORTED',
        'the master has no PSYNC: its stream has no offsets',
        {
          hint: 'archives need Redis 2.8 or newer; sync takes its snapshot',
        },
      )
    }
    this.#refuseOther(replid)
    this.#connected = true
    this.#snapshotBytes = 0
    const isOther = this.#reason === 'refused' && !this.#store.replids.has(replid)
    const reason = isOther ? 'other-history' : this.#reason
    this.#options.onEvent?.({ event: 'full-resync', replid, replOffset, reason })
    this.#archive.beginSnapshot({ replid, replOffset })
    this.#trimsCovered = this.#trims
    this.#lastSnapshotMs = Date.now()
  }

  /** An archive is one master's: another one's snapshot would be its newest state, and with --keep
   * push the first one's out. */
  #refuseOther(replid: string): void {
    const options = this.#options
    const store = this.#store
    if (store.timeline.length > 0 && store.isOfOtherSource && options.adopt !== true) {
      if (!store.replids.has(replid)) {
        throw new UsageError(
          `${options.dir} was kept from ${store.sidecar.source}, and ` +
            `${formatServerAddress(options.server.address)} knows nothing of its history`,
          {
            hint: 'give another directory, or mean it (`adopt`): its history then follows that one',
            details: { dir: options.dir, source: store.sidecar.source },
          },
        )
      }
    }
    store.noteSource()
  }

  onSnapshotBytes(bytes: Buffer, start: number, end: number): void {
    this.#snapshotBytes += end - start
    this.#archive.snapshotBytes(bytes, start, end)
  }

  onSnapshotEnd(info: SnapshotEndInfo): void {
    this.#archive.endSnapshot(info)
    this.#reason = 'refused'
  }

  onContinue(info: ContinueInfo): void {
    this.#connected = true
    const { replid, previousReplid, nextReplOffset } = info
    this.#store.noteSource()
    this.#archive.continued(replid, nextReplOffset)
    this.#options.onEvent?.({
      event: 'continued',
      replid,
      replOffset: nextReplOffset - 1,
      previousReplid,
    })
  }

  onStream(bytes: Buffer, start: number, end: number): void {
    this.#archive.stream(bytes, start, end)
  }

  onLinkLost(info: LinkLostInfo): void {
    this.#archive.linkLost()
    const { error, retryInMs, attempt } = info
    this.#options.onEvent?.({ event: 'link-lost', message: error.message, retryInMs })
    if (!this.#connected && this.#options.retries === undefined && attempt > DEFAULT_RETRIES) {
      throw error
    }
  }

  /** What the new master never had is set aside; where a snapshot holds it, it stays, in front of a gap. */
  async cutBack(lost: LostStream): Promise<void> {
    const found = await this.#archive.cutBack(lost.fromReplOffset - 1)
    this.#shipping?.cutBack()
    if (found?.writes === 0) return
    const { writes, file } = found ?? { writes: undefined, file: undefined }
    this.#options.onEvent?.({ event: 'writes-lost', ...lost, writes, file })
  }

  drain(): Promise<void> | undefined {
    return this.#archive.drain()
  }

  resumePoint(): ResumePoint | 'full' | undefined {
    return this.#archive.resumePoint ?? 'full'
  }

  /** Durable: only what is fsynced, of a cluster node too, which then waits for the fsync. */
  ackOffsets(): AckOffsets | undefined {
    if (this.#options.durable !== true) return undefined
    const synced = this.#archive.syncedReplOffset
    return synced < 0 ? { ack: 0 } : { ack: synced, fack: synced }
  }

  #tick(): void {
    if ((this.#options.fsync ?? 'everysec') === 'everysec') {
      // Its failure comes by onError.
      void this.#archive.sync()
    }
    this.#shipping?.tick(this.#archive)
    const { snapshotEveryMs, onProgress } = this.#options
    const everyMs = this.#trims > this.#trimsCovered ? TRIM_SNAPSHOT_MS : snapshotEveryMs
    const isDue = everyMs !== undefined && Date.now() - this.#lastSnapshotMs >= everyMs
    if (isDue && this.#link?.state === 'stream' && this.#snapshotting === undefined) {
      this.#lastSnapshotMs = Date.now()
      this.#snapshotting = this.#snapshot().finally(() => (this.#snapshotting = undefined))
    }
    onProgress?.({
      phase: this.#link?.state ?? 'idle',
      done: this.#snapshotBytes + this.#archive.streamBytes,
      total: undefined,
      unit: 'bytes',
      snapshotBytes: this.#snapshotBytes,
      streamBytes: this.#archive.streamBytes,
      commands: this.#archive.commands,
      replOffset: this.#archive.replOffset,
      syncedReplOffset: this.#archive.syncedReplOffset,
    })
  }

  async #snapshot(): Promise<void> {
    const { server, onEvent, onWire } = this.#options
    const trims = this.#trims
    try {
      await takeSnapshot(this.#archive, server, this.#snapshotHalt.signal, onWire)
      this.#trimsCovered = trims
    } catch (error) {
      if (this.#snapshotHalt.signal.aborted) return
      onEvent?.({
        event: 'snapshot-failed',
        message: error instanceof Error ? error.message : String(error),
      })
    }
  }

  #tellRecovery(): void {
    for (const message of this.#store.notices)
      this.#options.onEvent?.({ event: 'warning', message })
    const resume = this.#store.resume
    if (resume === undefined) return
    const { part, incr } = resume
    const cutBytes = part.fileBytes - part.filePosition
    if (cutBytes === 0) return
    const { replOffset } = part
    this.#options.onEvent?.({ event: 'recovered', file: incr.file, cutBytes, replOffset })
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#link?.stop()
  }
}
