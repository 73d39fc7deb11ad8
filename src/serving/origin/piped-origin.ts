/**
 * A master whose snapshot is made anew for each full resync that it gives, while it is sent, and whose
 * stream has nothing in it but PINGs: for one replica that is loaded by it.
 */
import { LinkError, ProtocolError } from '../../errors.js'
import type { ServerKind } from '../../servers/rdb-version.js'
import { FrozenLog } from './frozen-log.js'
import { History } from './history.js'
import type { Origin, OriginListener, ResumeAnswer, SnapshotWish } from './origin.js'
import { PipedSnapshot } from './piped-snapshot.js'

const PING_PERIOD_MS = 10_000

export interface PipedOriginOptions {
  /** 40 hex digits that name the history. */
  readonly replid: string
  readonly writer: ServerKind
  /** Writes the snapshot, then calls `complete` or `fail`. */
  readonly write: (snapshot: PipedSnapshot) => void
}

export class PipedOrigin implements Origin {
  readonly history: History
  readonly log = new FrozenLog(0, [])
  readonly isReady = true
  readonly writer: ServerKind
  readonly hasCommandsBehindSnapshot = false
  readonly upstream = undefined
  readonly backlogSizeBytes = 0
  readonly mayRelabel = false
  readonly #options: PipedOriginOptions
  #snapshot: PipedSnapshot | undefined
  #listener: OriginListener | undefined
  #pingedMs = Date.now()

  constructor(options: PipedOriginOptions) {
    this.#options = options
    this.writer = options.writer
    this.history = new History({ replid: options.replid, replid2: '', secondReplOffset: -1 })
  }

  get boundaryReplOffset(): number {
    return this.log.endReplOffset
  }

  setListener(listener: OriginListener): void {
    this.#listener = listener
  }

  /** Who names this history has been given all of it. */
  resume(replid: string, nextReplOffset: number): ResumeAnswer {
    if (!this.history.names(replid, nextReplOffset)) return 'no'
    if (nextReplOffset < this.log.firstReplOffset) return 'no'
    return nextReplOffset <= this.log.endReplOffset + 1 ? 'yes' : 'no'
  }

  snapshot(wish: SnapshotWish): Promise<PipedSnapshot> {
    if (wish !== 'any') {
      return Promise.reject(new ProtocolError('ERR_NO_SNAPSHOT', 'this master is for one replica'))
    }
    this.#end('it asked again')
    const { replid } = this.history
    const snapshot = new PipedSnapshot({ replid, replOffset: 0 })
    this.#snapshot = snapshot
    this.#options.write(snapshot)
    return Promise.resolve(snapshot)
  }

  tick(nowMs: number): void {
    if (nowMs - this.#pingedMs < PING_PERIOD_MS) return
    this.#pingedMs = nowMs
    this.log.ping()
    this.#listener?.onAppended()
  }

  async close(): Promise<void> {
    this.#end('the master ends')
    await this.log.close()
  }

  #end(why: string): void {
    this.#snapshot?.fail(new LinkError('ERR_REPLICA_GONE', why, { retriable: true }))
    this.#snapshot = undefined
  }
}
