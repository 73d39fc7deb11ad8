/**
 * What one replica is sent: a snapshot, then the stream from the shared log, at the pace its
 * socket takes. Owns no copy of the stream; of files it holds at most two chunks, which are small
 * as long as it takes little.
 */
import type { Socket } from 'node:net'
import { LinkError } from '../../errors.js'
import type { ChunkPool } from '../chunk-pool.js'
import { relabel, type ServedSnapshot } from '../origin/snapshot.js'
import type { StreamLog } from '../origin/stream-log.js'

const STREAM_CHUNK_BYTES = 512 << 10
/** Who has taken so much reads: sockets alone, full on both sides, hold less. */
const READER_BYTES = 16 << 20
/** A fast reader must not keep the process from its other sockets. */
const TURN_BYTES = 4 << 20

export interface SnapshotForm {
  /** RDB version to write over the snapshot's own. */
  version: number | undefined
  /** Undefined: `$<length>`; else 40 characters for `$EOF:`. */
  eofMark: string | undefined
}

interface ChunkPart {
  chunk: Buffer
  /** Bytes of it that count. */
  count: number
}

export class ReplicaFeed {
  readonly #socket: Socket
  readonly #log: StreamLog
  readonly #chunks: ChunkPool
  readonly #onFailed: (error: Error) => void
  #isStreaming = false
  #isClosed = false
  /** The socket is full, or the next turn is awaited. */
  #isBusy = false
  #isReadingFile = false
  #turnBytes = 0
  /** Of chunks, by the socket. */
  #takenBytes = 0
  /** Next stream byte to hand to the socket. */
  nextReplOffset: number
  snapshotBytes = 0
  streamBytes = 0
  /** When the socket last took something. */
  progressMs = Date.now()

  constructor(
    socket: Socket,
    log: StreamLog,
    chunks: ChunkPool,
    nextReplOffset: number,
    onFailed: (error: Error) => void,
  ) {
    this.#socket = socket
    this.#log = log
    this.#chunks = chunks
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
  }

  /** Header, payload and mark. Resolves once the socket has taken all of it. Rejects with what
   * made the snapshot fail; the payload is then incomplete and the connection must end. */
  async sendSnapshot(snapshot: ServedSnapshot, form: SnapshotForm): Promise<void> {
    const header =
      form.eofMark === undefined ? `$${snapshot.lengthBytes!}\r\n` : `$EOF:${form.eofMark}\r\n`
    this.#socket.write(header)
    await this.#sendPayload(snapshot, form.version)
    if (form.eofMark !== undefined) await this.#hasTaken(Buffer.from(form.eofMark))
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
      const part = await this.#fill((chunk) => this.#log.read(this.nextReplOffset, chunk))
      this.nextReplOffset += part.count
      this.streamBytes += part.count
      await this.#write(part)
      if (this.#hasClosed()) return
      this.#isBusy = false
      this.#isReadingFile = false
      this.pump()
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  async #sendPayload(snapshot: ServedSnapshot, version: number | undefined): Promise<void> {
    let byteOffset = 0
    let writing: Promise<void> | undefined
    try {
      for (;;) {
        await snapshot.whenSendable(byteOffset)
        if (snapshot.state === 'complete' && byteOffset >= snapshot.lengthBytes!) break
        const part = await this.#fill((chunk) => snapshot.read(byteOffset, chunk))
        if (version !== undefined) {
          const bytes = part.chunk.subarray(0, part.count)
          relabel(bytes, byteOffset, snapshot.lengthBytes!, version)
        }
        byteOffset += part.count
        // One chunk is on its way while the next is read.
        await writing
        writing = this.#write(part)
        if (this.#hasClosed()) throw new LinkError('ERR_REPLICA_GONE', 'the replica went away')
        this.snapshotBytes += part.count
      }
    } finally {
      await writing
    }
  }

  /** A chunk, with what was read into it. */
  async #fill(read: (chunk: Buffer) => Promise<number>): Promise<ChunkPart> {
    const chunk = this.#chunks.take(this.#takenBytes > READER_BYTES)
    try {
      return { chunk, count: await read(chunk) }
    } catch (error) {
      this.#chunks.giveBack(chunk, true)
      throw error
    }
  }

  /** Resolves once the kernel has the bytes; also when the connection is gone. */
  async #write({ chunk, count }: ChunkPart): Promise<void> {
    const isTaken = await this.#hasTaken(chunk.subarray(0, count))
    this.#chunks.giveBack(chunk, isTaken)
    if (!isTaken) return
    this.#takenBytes += count
    this.progressMs = Date.now()
  }

  async #hasTaken(bytes: Buffer): Promise<boolean> {
    return await new Promise((resolve) => {
      this.#socket.write(bytes, (error) => resolve(error === null || error === undefined))
    })
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
