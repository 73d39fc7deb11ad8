/**
 * One of several connections that carry the snapshot: sends batches in order, two at a time, and
 * survives the loss of its connection. After one it ends whatever the server may still hold of the
 * old connection, clears the keys that may be half written, and sends again what was not answered.
 */
import { AbortedError, LinkError, type RrepError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { MarkBatch, type LoadMarks } from './load-marks.js'
import { CheckBatch, ClearBatch } from './snapshot-repeat.js'
import type { SnapshotBatch } from './snapshot-batch.js'
import {
  fence,
  TargetConnection,
  type ConnectionOwner,
  type PipelinedBatch,
} from '../server/target-connection.js'
import { replyText } from '../server/reply-reader.js'
import { backoffMs, sleep, untilOpen } from '../../net/waiting.js'

export interface LaneOptions {
  settings: ServerSettings
  clientName: string
  importSource: boolean
  /** Attempts to connect again before the run fails. */
  retries: number
  /** run_id of the target when the run began: another one means that it was restarted. */
  runId: string | undefined
  /** Number of this connection, in the marks. */
  lane: number
  marks: LoadMarks
  /** Whether keys that come by RESTORE may be deleted before they are sent again: everything of
   * that name is ours. */
  mayClearRestored: boolean
  /** Nothing is sent but the question whether keys are there already. */
  isDry: boolean
  signal?: AbortSignal | undefined
  /** See `ConnectionOptions.restMs`. */
  restMs(): number
  onAnswered(batch: SnapshotBatch): void
  /** Keys that are there already were found; the batch is to be replaced by one without them. */
  onChecked(check: CheckBatch): SnapshotBatch | undefined
  /** The batch cannot be sent again: it is too large to have been kept. */
  onUnrepeatable(batch: SnapshotBatch): void
  onReconnect?: ((error: RrepError, attempt: number) => void) | undefined
  onFatal(error: Error): void
}

/** Batches sent ahead on one connection. */
export const MAX_IN_FLIGHT = 3

export class SnapshotLane implements ConnectionOwner {
  readonly #options: LaneOptions
  #connection: TargetConnection | undefined
  #state: 'ready' | 'checking' | 'recovering' | 'closed' = 'recovering'
  /** In order; the first ones are in flight. */
  readonly #queue: SnapshotBatch[] = []
  /** Those in flight, and whether the mark behind the batch has been sent. */
  readonly #begun = new Map<SnapshotBatch, boolean>()
  #runId: string | undefined
  #isStopped = false
  /** Ends what waits: by the caller, or by `close`. */
  readonly #end = new AbortController()
  readonly #signal: AbortSignal

  constructor(options: LaneOptions) {
    this.#options = options
    this.#runId = options.runId
    const { signal } = options
    this.#signal =
      signal === undefined ? this.#end.signal : AbortSignal.any([this.#end.signal, signal])
  }

  async open(): Promise<void> {
    const { retries } = this.#options
    const connection = await untilOpen(async () => await this.#connect(), retries, this.#signal)
    if (this.#state === 'closed') connection.close()
    else this.#state = 'ready'
    this.#connection = connection
  }

  /** Batches not yet answered. */
  get load(): number {
    return this.#queue.length
  }

  /** Bytes that the system has not taken yet. */
  get queuedBytes(): number {
    return this.#state === 'ready' ? (this.#connection?.queuedBytes ?? 0) : 0
  }

  /** Nothing more is sent; what was is still answered. */
  stop(): void {
    this.#isStopped = true
    if (this.#state === 'recovering') this.close()
  }

  /** Batches sent whole and not yet answered. */
  get inFlight(): number {
    if (this.#state === 'closed' || this.#connection?.isLost === true) return 0
    let count = 0
    for (const batch of this.#begun.keys()) if (batch.isClosed) count += 1
    return count
  }

  get isReady(): boolean {
    return this.#state === 'ready'
  }

  push(batch: SnapshotBatch): void {
    this.#queue.push(batch)
    this.pump()
  }

  /** Sends what there is to send; called again when an open batch has grown or was closed. */
  pump(): void {
    const connection = this.#connection
    if (this.#state !== 'ready' || connection === undefined || connection.isLost) return
    if (this.#isStopped) return
    if (this.#options.isDry) {
      this.#pumpDry(connection)
      return
    }
    for (const batch of this.#queue) {
      if (!this.#begun.has(batch)) {
        if (connection.inFlight >= MAX_IN_FLIGHT) return
        if (batch.mustCheck) {
          // An open batch is checked too: its one key is known by its first command.
          if (connection.inFlight === 0) this.#check(connection, batch)
          return
        }
        this.#begun.set(batch, false)
        connection.begin(batch)
      }
      this.#write(connection, batch)
      if (!batch.isClosed) return
      connection.settle()
    }
  }

  /** What there is of a batch, and the mark behind a whole one. */
  #write(connection: TargetConnection, batch: SnapshotBatch): void {
    while (batch.sentChunks < batch.chunks.length) {
      connection.write(batch.chunks[batch.sentChunks]!)
      batch.sentChunks += 1
    }
    if (!batch.isClosed || this.#begun.get(batch) !== false) return
    this.#begun.set(batch, true)
    const mark = this.#options.marks.next(this.#options.lane, batch)
    connection.begin(mark)
    connection.write(mark.bytes)
  }

  #pumpDry(connection: TargetConnection): void {
    for (;;) {
      const batch = this.#queue[0]
      if (batch === undefined) return
      if (batch.mustCheck) {
        this.#check(connection, batch)
        return
      }
      batch.sentChunks = batch.chunks.length
      if (!batch.isClosed) return
      this.#queue.shift()
      this.#options.onAnswered(batch)
    }
  }

  onAnswered(batch: PipelinedBatch): void {
    if (batch instanceof CheckBatch) {
      this.#checked(batch)
      return
    }
    // A batch counts as answered with its mark.
    if (!(batch instanceof MarkBatch)) return
    const { source } = batch
    this.#options.marks.answered(this.#options.lane, batch)
    this.#begun.delete(source)
    const at = this.#queue.indexOf(source)
    if (at >= 0) this.#queue.splice(at, 1)
    this.#options.onAnswered(source)
    this.pump()
  }

  onLost(error: RrepError): void {
    // One that breaks while it is being made is told to `#recover` by its call.
    if (this.#state === 'closed' || this.#state === 'recovering') return
    this.#state = 'recovering'
    this.#recover(error).catch((fault: unknown) => {
      if (this.#state === 'closed') return
      this.#options.onFatal(fault instanceof Error ? fault : new Error(String(fault)))
    })
  }

  /** Takes the marks away, where that can be done at once. */
  async removeMarks(): Promise<boolean> {
    const connection = this.#connection
    if (this.#state !== 'ready' || connection === undefined || connection.inFlight > 0) return false
    try {
      await this.#options.marks.remove(connection)
      return true
    } catch {
      return false
    }
  }

  close(): void {
    this.#state = 'closed'
    this.#end.abort()
    this.#connection?.close()
  }

  #check(connection: TargetConnection, batch: SnapshotBatch): void {
    this.#state = 'checking'
    const check = new CheckBatch(batch)
    connection.begin(check)
    connection.write(check.bytes)
  }

  #checked(check: CheckBatch): void {
    const { source } = check
    source.mustCheck = false
    const replacement = this.#options.onChecked(check)
    const at = this.#queue.indexOf(source)
    if (replacement !== source && at >= 0) {
      if (replacement === undefined) this.#queue.splice(at, 1)
      else this.#queue[at] = replacement
    }
    this.#state = 'ready'
    this.pump()
  }

  async #recover(cause: RrepError): Promise<void> {
    let error = cause
    for (let attempt = 1; ; attempt += 1) {
      if (!error.retriable) throw error
      if (attempt > this.#options.retries && !isLoading(error)) throw error
      this.#options.onReconnect?.(error, attempt)
      await sleep(backoffMs(Math.min(attempt, 6)), this.#signal)
      let connection: TargetConnection | undefined
      try {
        connection = await this.#connect()
        await fence(connection, this.#options.clientName)
        await this.#checkRestart(connection)
        if (this.#signal.aborted) throw new AbortedError()
        this.#connection = connection
        this.#resend(connection)
        return
      } catch (fault) {
        connection?.close()
        if (!(fault instanceof LinkError)) throw fault
        error = fault
      }
    }
  }

  #resend(connection: TargetConnection): void {
    this.#state = 'ready'
    for (const batch of [...this.#queue]) {
      if (!this.#begun.has(batch)) continue
      this.#begun.delete(batch)
      if (!batch.canRepeat) {
        this.#queue.splice(this.#queue.indexOf(batch), 1)
        this.#options.onUnrepeatable(batch)
        continue
      }
      const clear = new ClearBatch(batch, { restored: this.#options.mayClearRestored })
      if (clear.expectedReplies > 0) {
        connection.begin(clear)
        connection.write(clear.bytes)
      }
      batch.isRepeat = true
      batch.sentChunks = 0
      batch.troubles.length = 0
      this.#begun.set(batch, false)
      connection.begin(batch)
      this.#write(connection, batch)
    }
    this.pump()
  }

  async #connect(): Promise<TargetConnection> {
    const { settings, clientName, importSource } = this.#options
    return await TargetConnection.open(settings, {
      clientName,
      importSource,
      signal: this.#signal,
      owner: this,
      restMs: () => this.#options.restMs(),
    })
  }

  /** A target that was restarted may have lost what it had confirmed: its mark says so. */
  async #checkRestart(connection: TargetConnection): Promise<void> {
    if (this.#runId === undefined) return
    const server = replyText(await connection.expect('INFO', 'server'))
    const runId = /^run_id:(\w+)/m.exec(server)?.[1]
    if (runId === this.#runId) return
    await this.#options.marks.verify(connection, this.#options.lane)
    this.#runId = runId
  }
}

function isLoading(error: RrepError): boolean {
  return error.code === 'ERR_TARGET_BUSY'
}
