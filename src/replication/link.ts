/**
 * One replication link, for as long as it is wanted: connect, handshake, snapshot, stream, and
 * again after a loss, with backoff and partial resync.
 *
 * The link promises the consumer exact offsets, a whole snapshot or none, and that the socket is
 * read as fast as the consumer takes. It understands neither keys nor commands.
 */
import { InternalError } from '../errors.js'
import type { ServerSettings } from '../net/server-settings.js'
import type { LinkConsumer, LinkState, ResumePoint } from './consumer.js'

export interface LinkOptions {
  server: ServerSettings
  /** `snapshot`: `run` resolves once the snapshot is whole (`rdb-only` where the server knows it:
   * no stream is kept for us). `stream`: it goes on until `stop` or abort. */
  purpose: 'snapshot' | 'stream'
  /** Where to begin. `full`: with a snapshot. `now`: with the next write, by a partial resync at
   * the offset that INFO tells; without a backlog there, by an empty snapshot (7.0+); else by a
   * full one. A resume point: there, else by a full one. */
  start: 'full' | 'now' | ResumePoint
  /** `false`: never let the master make a full snapshot, not even on reconnecting: the run ends
   * with ProtocolError ERR_FULL_RESYNC_NEEDED. Default true. */
  allowFullResync?: boolean | undefined
  /** Failed attempts in a row before `run` rejects. Default 5; Infinity for ever. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  /** What REPLCONF version announces. Decides the RDB version a Valkey 9.1+ sends. Default: the
   * newest that master has. */
  announcedVersion?: string | undefined
  /** Wire log for --debug: secrets are masked. */
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

export class ReplicationLink {
  readonly #options: LinkOptions
  readonly #consumer: LinkConsumer
  #state: LinkState = 'idle'
  #replid: string | undefined
  #receivedReplOffset = -1

  constructor(options: LinkOptions, consumer: LinkConsumer) {
    this.#options = options
    this.#consumer = consumer
  }

  get state(): LinkState {
    return this.#state
  }

  /** Of the history being followed; undefined before the first resync and from masters <= 2.6. */
  get replid(): string | undefined {
    return this.#replid
  }

  /** Last stream byte delivered; -1 before the first resync and from masters <= 2.6. */
  get receivedReplOffset(): number {
    return this.#receivedReplOffset
  }

  /** Runs until the purpose is reached or `stop` is called. Rejects with LinkError, AuthError,
   * ProtocolError, RdbError, AbortedError, or what the consumer threw. Once only. */
  run(): Promise<void> {
    const error = new InternalError(`no link for ${this.#options.purpose} yet`)
    this.#consumer.onState?.(this.#state)
    return Promise.reject(error)
  }

  /** Ends the run as if its purpose were reached: closes the connection, `run` resolves. */
  stop(): void {
    this.#state = 'closed'
    this.#replid = undefined
    this.#receivedReplOffset = -1
  }

  /** Sends an ACK now (offsets from the consumer's `ackOffsets`), e.g. after an fsync that a
   * WAITAOF may be waiting for. Nothing happens while there is no stream. */
  acknowledge(): void {
    this.#consumer.ackOffsets?.()
  }
}
