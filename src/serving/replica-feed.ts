/**
 * What one replica is sent: a snapshot, then the stream from the shared log, at the pace its
 * socket takes. Owns no copy of the stream; of a snapshot it holds two chunks.
 */
import type { Socket } from 'node:net'
import { LinkError } from '../errors.js'
import { relabel, type Snapshot } from './snapshot.js'
import type { StreamLog } from './stream-log.js'

const SNAPSHOT_CHUNK_BYTES = 512 << 10
const STREAM_CHUNK_BYTES = 512 << 10
/** A fast reader must not keep the process from its other sockets. */
const TURN_BYTES = 4 << 20

export interface SnapshotForm {
  /** RDB version to write over the snapshot's own. */
  version: number | undefined
  /** Undefined: `$<length>`; else 40 characters for `$EOF:`. */
  eofMark: string | undefined
}

export class ReplicaFeed {
  readonly #socket: Socket
  readonly #log: StreamLog
  readonly #onFailed: (error: Error) => void
  #isStreaming = false
  #isClosed = false
  /** The socket is full, or the next turn is awaited. */
  #isBusy = false
  #isReadingFile = false
  #turnBytes = 0
  #scratch: Buffer | undefined
  /** Next stream byte to hand to the socket. */
  nextReplOffset: number
  snapshotBytes = 0
  streamBytes = 0
  /** When the socket last took something. */
  progressMs = Date.now()

  constructor(
    socket: Socket,
    log: StreamLog,
    nextReplOffset: number,
    onFailed: (error: Error) => void,
  ) {
    this.#socket = socket
    this.#log = log
    this.nextReplOffset = nextReplOffset
    this.#onFailed = onFailed
    socket.on('drain', () => this.#drained())
  }

  /** Bytes of the stream that this replica has yet to be sent. */
  get lagBytes(): number {
    return Math.max(0, this.#log.endReplOffset - this.nextReplOffset + 1)
  }

  get isStreaming(): boolean {
    return this.#isStreaming
  }

  /** True while bytes wait for the socket to take them. */
  get isBlocked(): boolean {
    return this.#socket.writableLength > 0
  }

  close(): void {
    this.#isClosed = true
    this.#isStreaming = false
    this.#scratch = undefined
  }

  /** Header, payload and mark. Resolves once the socket has taken all of it. Rejects with what
   * made the snapshot fail; the payload is then incomplete and the connection must end. */
  async sendSnapshot(snapshot: Snapshot, form: SnapshotForm): Promise<void> {
    const header =
      form.eofMark === undefined ? `$${snapshot.lengthBytes!}\r\n` : `$EOF:${form.eofMark}\r\n`
    this.#socket.write(header)
    await this.#sendPayload(snapshot, form.version)
    if (form.eofMark !== undefined) await this.#write(Buffer.from(form.eofMark))
  }

  /** From now on everything behind `nextReplOffset` is sent as it comes. */
  startStream(): void {
    if (this.#isClosed) return
    this.#isStreaming = true
    this.pump()
  }

  /** Sends what the log has and the socket takes; returns at once. */
  pump(): void {
    if (!this.#isStreaming || this.#isBusy || this.#isReadingFile) return
    const log = this.#log
    while (this.nextReplOffset <= log.endReplOffset) {
      if (this.nextReplOffset < log.firstReplOffset) {
        this.#fail(new LinkError('ERR_BACKLOG_PASSED', 'fell behind the backlog'))
        return
      }
      const view = log.view(this.nextReplOffset, STREAM_CHUNK_BYTES)
      if (view === undefined) {
        void this.#pumpFile()
        return
      }
      if (!this.#sendStream(view)) return
    }
  }

  /** False when to come back later, which is arranged. */
  #sendStream(bytes: Buffer): boolean {
    this.nextReplOffset += bytes.length
    this.streamBytes += bytes.length
    this.#turnBytes += bytes.length
    if (!this.#socket.write(bytes)) {
      this.#isBusy = true
      return false
    }
    this.progressMs = Date.now()
    return true
  }

  #drained(): void {
    this.progressMs = Date.now()
    if (!this.#isStreaming || this.#isReadingFile) return
    if (this.#turnBytes < TURN_BYTES) {
      this.#isBusy = false
      this.pump()
      return
    }
    setImmediate(() => {
      this.#turnBytes = 0
      this.#isBusy = false
      this.pump()
    })
  }

  async #pumpFile(): Promise<void> {
    this.#isReadingFile = true
    try {
      this.#scratch ??= Buffer.allocUnsafeSlow(STREAM_CHUNK_BYTES)
      const count = await this.#log.read(this.nextReplOffset, this.#scratch)
      if (this.#hasClosed()) return
      const bytes = this.#scratch.subarray(0, count)
      this.nextReplOffset += count
      this.streamBytes += count
      await this.#write(bytes)
      if (this.#hasClosed()) return
      this.#isBusy = false
      this.#isReadingFile = false
      this.pump()
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  async #sendPayload(snapshot: Snapshot, version: number | undefined): Promise<void> {
    let byteOffset = 0
    let writing: Promise<void> | undefined
    const chunks = [0, 1].map(() => Buffer.allocUnsafeSlow(SNAPSHOT_CHUNK_BYTES))
    try {
      for (let turn = 0; ; turn ^= 1) {
        await snapshot.whenSendable(byteOffset)
        if (snapshot.state === 'complete' && byteOffset >= snapshot.lengthBytes!) break
        const chunk = chunks[turn]!
        const count = await snapshot.read(byteOffset, chunk)
        const bytes = chunk.subarray(0, count)
        if (version !== undefined) relabel(bytes, byteOffset, snapshot.lengthBytes!, version)
        byteOffset += count
        // One chunk is on its way while the next is read.
        await writing
        if (this.#hasClosed()) throw new LinkError('ERR_REPLICA_GONE', 'the replica went away')
        writing = this.#write(bytes)
        this.snapshotBytes += count
      }
    } finally {
      await writing
    }
  }

  /** Resolves once the kernel has the bytes; also when the connection is gone. */
  async #write(bytes: Buffer): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#socket.write(bytes, () => resolve())
    })
    this.progressMs = Date.now()
  }

  /** Asked behind an await, where the compiler still believes the answer from before it. */
  #hasClosed(): boolean {
    return this.#isClosed
  }

  #fail(error: Error): void {
    if (this.#isClosed) return
    this.close()
    this.#onFailed(error)
  }
}
