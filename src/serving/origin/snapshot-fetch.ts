/**
 * One further snapshot from upstream, over a connection of its own (`rdb-only` where upstream
 * knows it), while the stream goes on over the other. `begun` resolves as soon as its offset is
 * known: who waits for it can be served while it arrives.
 */
import { FileError, LinkError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { ReplicationLink } from '../../replication/link.js'
import type { Snapshot } from './snapshot.js'

export interface SnapshotFetchHost {
  /** Throws where the snapshot is of no use. */
  makeSnapshot(replid: string, replOffset: number, lengthBytes: number | undefined): Snapshot
  /** Its file could not be written. Replicas hear only that there is no snapshot. */
  onDiskFailed(error: FileError): void
  /** Over, with the whole snapshot or without. */
  onDone(snapshot: Snapshot | undefined): void
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

export class SnapshotFetch {
  readonly begun: Promise<Snapshot>
  readonly #link: ReplicationLink
  readonly #host: SnapshotFetchHost
  #snapshot: Snapshot | undefined
  #resolve: (snapshot: Snapshot) => void = () => undefined
  #reject: (error: Error) => void = () => undefined
  #isOver = false

  constructor(server: ServerSettings, host: SnapshotFetchHost) {
    this.#host = host
    this.begun = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Whoever waits hears of it; if nobody waits any more, that is no fault.
    this.begun.catch(() => undefined)
    // One attempt: who waits is a replica that comes again by itself.
    this.#link = new ReplicationLink(
      { server, purpose: 'snapshot', start: 'full', retries: 0, onWire: host.onWire },
      {
        onFullResync: ({ replid, replOffset, lengthBytes }) => {
          this.#snapshot = host.makeSnapshot(replid ?? '', replOffset, lengthBytes)
          this.#resolve(this.#snapshot)
        },
        onSnapshotBytes: (bytes, start, end) => this.#snapshot!.write(bytes, start, end),
        onSnapshotEnd: () => this.#snapshot!.complete(),
        onContinue: () => undefined,
        resumePoint: () => 'full',
        onStream: () => undefined,
      },
    )
    void this.#run()
  }

  stop(reason: Error): void {
    this.#end(reason)
    this.#link.stop()
  }

  async #run(): Promise<void> {
    try {
      await this.#link.run()
      if (this.#isOver) return
      this.#isOver = true
      this.#host.onDone(this.#snapshot)
    } catch (error) {
      this.#end(error as Error)
    }
  }

  #end(reason: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#snapshot?.fail(reason)
    if (reason instanceof FileError) this.#host.onDiskFailed(reason)
    this.#reject(
      new LinkError('ERR_NO_SNAPSHOT', `upstream gave no snapshot: ${reason.message}`, {
        cause: reason,
        retriable: true,
      }),
    )
    this.#host.onDone(undefined)
  }
}
