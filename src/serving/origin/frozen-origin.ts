/**
 * A master frozen at one state: a snapshot, and commands behind it, from files. Its replid is
 * made from the content, so a replica that comes back, also to another process on the same
 * files, continues.
 */
import { ProtocolError } from '../../errors.js'
import { writerOf } from '../../rdb/head.js'
import { emptyRdb } from './empty-rdb.js'
import type { ServerKind } from '../../servers/rdb-version.js'
import { FrozenLog, type StreamPart } from './frozen-log.js'
import { History } from './history.js'
import type { Origin, OriginListener, ResumeAnswer, SnapshotWish } from './origin.js'
import { Snapshot, type SnapshotRange } from './snapshot.js'

export interface FrozenSource {
  /** 40 hex digits that name this content. */
  replid: string
  /** The RDB; undefined where the source has none: the stream begins on an empty one. */
  snapshot: SnapshotRange | undefined
  /** Commands behind it, complete, each part as RESP arrays. */
  stream: readonly StreamPart[]
}

const PING_PERIOD_MS = 10_000

export class FrozenOrigin implements Origin {
  readonly history: History
  readonly log: FrozenLog
  readonly isReady = true
  readonly hasCommandsBehindSnapshot: boolean
  readonly upstream = undefined
  readonly backlogSizeBytes: number
  readonly mayRelabel: boolean
  readonly writer: ServerKind | undefined
  readonly #snapshot: Snapshot
  #listener: OriginListener | undefined
  #pingedMs = Date.now()

  private constructor(source: FrozenSource, snapshot: Snapshot) {
    this.history = new History({ replid: source.replid, replid2: '', secondReplOffset: -1 })
    this.log = new FrozenLog(snapshot.place.replOffset, source.stream)
    this.#snapshot = snapshot
    this.writer = writerOf(snapshot.head)
    snapshot.retain()
    const behind = this.log.commandsEndReplOffset - snapshot.place.replOffset
    this.hasCommandsBehindSnapshot = behind > 0
    this.backlogSizeBytes = behind
    this.mayRelabel = true
  }

  static async open(source: FrozenSource): Promise<FrozenOrigin> {
    const place = { replid: source.replid, replOffset: 0 }
    const snapshot =
      source.snapshot === undefined
        ? Snapshot.ofBytes(place, emptyRdb())
        : await Snapshot.ofFile(place, source.snapshot)
    return new FrozenOrigin(source, snapshot)
  }

  /** Of an unchecked snapshot: so many bytes are sound. */
  checkedTo(byteCount: number): void {
    this.#snapshot.checkedTo(byteCount)
  }

  /** All of it is. */
  checked(): void {
    this.#snapshot.complete()
  }

  /** It is not. */
  failed(error: Error): void {
    this.#snapshot.fail(error)
  }

  get boundaryReplOffset(): number {
    return this.log.endReplOffset
  }

  setListener(listener: OriginListener): void {
    this.#listener = listener
  }

  resume(replid: string, nextReplOffset: number): ResumeAnswer {
    if (!this.history.names(replid, nextReplOffset)) return 'no'
    if (nextReplOffset < this.log.firstReplOffset) return 'no'
    if (nextReplOffset <= this.log.endReplOffset + 1) return 'yes'
    // It had more PINGs from an earlier process than this one has sent so far.
    return this.log.reach(nextReplOffset - 1) ? 'yes' : 'no'
  }

  snapshot(wish: SnapshotWish): Promise<Snapshot> {
    if (wish !== 'empty') return Promise.resolve(this.#snapshot)
    if (this.hasCommandsBehindSnapshot) {
      return Promise.reject(
        new ProtocolError(
          'ERR_NO_EMPTY_SNAPSHOT',
          'no snapshot without keys from this source: commands of its past lie behind it',
        ),
      )
    }
    return Promise.resolve(Snapshot.ofBytes(this.#snapshot.place, emptyRdb()))
  }

  tick(nowMs: number): void {
    if (nowMs - this.#pingedMs < PING_PERIOD_MS) return
    this.#pingedMs = nowMs
    this.log.ping()
    this.#listener?.onAppended()
  }

  async close(): Promise<void> {
    this.#snapshot.discard()
    this.#snapshot.release()
    await this.log.close()
  }
}
