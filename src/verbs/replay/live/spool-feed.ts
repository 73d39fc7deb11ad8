/**
 * From the link to the spool: what a live source sends, written at the speed at which it comes.
 * A full resync is taken once, where the replay begins with one; later it would be another state
 * than the one the target has.
 */
import { nameOfSource } from '../../../source/classify.js'
import { clusterNodeWarning } from '../../../source/progress.js'
import type { Buffer } from 'node:buffer'
import { InternalError, ProtocolError, RrepError } from '../../../errors.js'
import type { ServerSettings } from '../../../net/server-settings.js'
import type { StreamSpool } from './stream-spool.js'
import type {
  ContinueInfo,
  FullResyncInfo,
  LinkConsumer,
  LinkLostInfo,
  LostStream,
  ResumePoint,
} from '../../../replication/consumer.js'
import { ReplicationLink } from '../../../replication/link.js'
import { sleep } from '../../../net/waiting.js'
import type { ReplaySession } from '../session.js'

const SHARD_RETRIES = 20
/** So long a shard may refuse to go on. */
const REFUSED_MS = 15_000
const AGAIN_MS = 500

/** Of one shard of several. */
export interface ShardFeedWishes {
  /** What came, behind what is in the spool. */
  onReceived: (bytes: Buffer, start: number, end: number) => void
  /** A stream begins anew: what came before counts no more. */
  onBegin: () => void
  /** Nothing more comes. */
  signal: AbortSignal
}

export class SpoolFeed implements LinkConsumer {
  #isNode = false
  readonly #shard: ShardFeedWishes | undefined
  /** A snapshot is wanted, or one that is coming may begin again. */
  wantsSnapshot = false
  snapshotReplOffset = -1
  /** The source has what comes next, and sends it. */
  isContinued = false
  /** Takes back what the failover lost, in the spool and in the target. */
  onLost: ((lost: LostStream) => Promise<void>) | undefined
  /** When it began to come, by our clock; 0: in an earlier run. */
  snapshotMs = 0
  readonly #session: ReplaySession
  readonly #spool: StreamSpool
  #link: ReplicationLink | undefined
  #linkEnd: Promise<void> = Promise.resolve()
  #refusedSinceMs: number | undefined

  constructor(session: ReplaySession, spool: StreamSpool, shard?: ShardFeedWishes) {
    this.#session = session
    this.#spool = spool
    this.#shard = shard
    // It is one of many, and meant so.
    this.#isNode = shard !== undefined
  }

  start(server: ServerSettings, start: 'full' | ResumePoint): void {
    this.#linkEnd = this.#run(server, start).then(
      () => this.#spool.end(),
      (error: unknown) =>
        this.#spool.end(
          isRefused(error)
            ? streamIsGone(error)
            : error instanceof Error
              ? error
              : new Error(String(error)),
        ),
    )
  }

  async #run(server: ServerSettings, start: 'full' | ResumePoint): Promise<void> {
    let from = start
    for (;;) {
      const link = this.#makeLink(server, from)
      this.#link = link
      try {
        await link.run()
        return
      } catch (error) {
        if (this.#shard === undefined || !isRefused(error) || this.wantsSnapshot) throw error
        // A deposed master is one for some seconds more by what the cluster says.
        const nowMs = performance.now()
        this.#refusedSinceMs ??= nowMs
        if (nowMs - this.#refusedSinceMs > REFUSED_MS) throw error
        await sleep(AGAIN_MS, this.#shard.signal)
        from = this.resumePoint() ?? start
      }
    }
  }

  #makeLink(server: ServerSettings, start: 'full' | ResumePoint): ReplicationLink {
    const { options } = this.#session
    return new ReplicationLink(
      {
        server,
        purpose: 'stream',
        start,
        allowFullResync: this.wantsSnapshot,
        // A failover takes its time.
        retries: options.retries ?? (this.#shard === undefined ? undefined : SHARD_RETRIES),
        signal: this.#shard?.signal ?? options.signal,
        onWire: options.onWire,
      },
      this,
    )
  }

  /** Resolves when nothing more comes; why, the spool says. */
  get ended(): Promise<void> {
    return this.#linkEnd
  }

  /** Nothing more is received. Resolves when the link has ended. */
  async stop(): Promise<void> {
    this.#link?.stop()
    await this.#linkEnd
  }

  /** It is up, and behind the snapshot. */
  get isStreaming(): boolean {
    return this.#link?.state === 'stream'
  }

  onClusterNode(): void {
    if (this.#isNode) return
    this.#isNode = true
    const { source } = this.#session.options
    this.#session.event(clusterNodeWarning(nameOfSource(source)))
  }

  onFullResync(info: FullResyncInfo): void {
    if (!this.wantsSnapshot) {
      throw streamIsGone(undefined, info.refusedResume?.nextReplOffset)
    }
    this.snapshotReplOffset = Math.max(0, info.replOffset)
    this.snapshotMs = Date.now()
    this.#spool.beginSnapshot(info.replid ?? '')
    this.#shard?.onBegin()
  }

  onSnapshotBytes(bytes: Buffer, start: number, end: number): void {
    this.#spool.snapshotWrite(bytes, start, end)
    this.#session.progress({
      phase: 'receive',
      done: this.#spool.snapshotBytes,
      total: undefined,
      unit: 'bytes',
    })
  }

  onSnapshotEnd(): void {
    this.wantsSnapshot = false
    this.#spool.endSnapshot(this.snapshotReplOffset, 0)
  }

  onContinue(info: ContinueInfo): void {
    if (info.nextReplOffset !== this.#spool.nextReplOffset) {
      throw new InternalError(
        `the stream goes on at ${info.nextReplOffset}, not at ${this.#spool.nextReplOffset}`,
      )
    }
    this.#spool.setReplid(info.replid)
    this.isContinued = true
    this.#refusedSinceMs = undefined
  }

  onStream(bytes: Buffer, start: number, end: number): void {
    this.#spool.append(bytes, start, end)
    this.#shard?.onReceived(bytes, start, end)
  }

  onLinkLost(info: LinkLostInfo): void {
    this.#session.event({
      event: 'link-lost',
      side: 'source',
      message: info.error.message,
      ...(info.retryInMs === undefined ? {} : { retryInMs: info.retryInMs }),
    })
  }

  async cutBack(lost: LostStream): Promise<void> {
    await this.onLost?.(lost)
  }

  resumePoint(): ResumePoint | 'full' | undefined {
    if (this.wantsSnapshot || this.#spool.state.replid === '') return 'full'
    return { replid: this.#spool.state.replid, nextReplOffset: this.#spool.nextReplOffset }
  }
}

function isRefused(error: unknown): error is RrepError {
  return error instanceof RrepError && error.code === 'ERR_FULL_RESYNC_NEEDED'
}

function streamIsGone(cause: Error | undefined, replOffset?: number): ProtocolError {
  return new ProtocolError(
    'ERR_FULL_RESYNC_NEEDED',
    'the source no longer has the stream from where this replay stands',
    {
      cause,
      hint:
        '`emptyTarget` begins anew; `finishReplay()` keeps what is there and puts expiries right; ' +
        'a larger repl-backlog-size at the source bridges longer breaks',
      details: { replOffset },
    },
  )
}
