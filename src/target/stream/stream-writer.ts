/**
 * The target's end of a stream: batches in order, one in flight while the next is being made, each
 * a transaction that carries the checkpoint.
 *
 * Only one is in flight because a transaction can be refused as a whole (OOM, READONLY …); were
 * others behind it, they would be executed without it. After a loss of the connection the
 * checkpoint in the target tells whether the batch was executed: nothing is lost or done twice.
 */
import {
  AbortedError,
  InternalError,
  LinkError,
  TargetError,
  type RrepError,
} from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import {
  comparePhases,
  deleteCheckpoint,
  readCheckpoint,
  refuseTakenOver,
  writeCheckpoint,
  type Checkpoint,
} from '../checkpoint.js'
import type { Ledger } from '../ledger.js'
import { errorKind, type Reply } from '../server/reply-reader.js'
import { countFailed, refuses, verdictOn } from './batch-verdict.js'
import { StreamBatch } from './stream-batch.js'
import type { StreamTarget } from './stream-target.js'
import { TargetRewound } from './target-rewound.js'
import {
  fence,
  TargetConnection,
  type ConnectionOwner,
  type PipelinedBatch,
} from '../server/target-connection.js'
import { backoffMs, Gate, sleep, untilOpen } from '../../net/waiting.js'

export interface StreamWriterOptions {
  settings: ServerSettings
  clientName: string
  checkpointKey: Uint8Array
  importSource: boolean
  retries: number
  ledger: Ledger
  signal?: AbortSignal | undefined
  onReconnect?: ((error: RrepError, attempt: number) => void) | undefined
}

const FULL_BYTES = 256 << 10
const FULL_FRAMES = 10_000
const MAX_QUEUED = 2
/** What the target refuses for reasons that pass is tried so often: about half a minute. */
const MAX_TRANSIENT_ATTEMPTS = 12

export class StreamWriter implements ConnectionOwner, StreamTarget {
  /** Where commands are appended; `seal` when it is full and at a boundary. */
  current = new StreamBatch()
  /** Next stream byte that the target has confirmed not to have. */
  appliedReplOffset = -1
  appliedDb = 0
  /** What the checkpoint says besides offset and db. */
  checkpoint: Checkpoint | undefined
  readonly #options: StreamWriterOptions
  readonly #queue: StreamBatch[] = []
  readonly #free: StreamBatch[] = []
  readonly #progress = new Gate()
  #inFlight: StreamBatch | undefined
  #connection: TargetConnection | undefined
  #fatal: Error | undefined
  #recovering = false
  #closed = false
  /** Ends what waits: by the caller, or by `close`. */
  readonly #end = new AbortController()
  readonly #signal: AbortSignal

  constructor(options: StreamWriterOptions) {
    this.#options = options
    const { signal } = options
    this.#signal =
      signal === undefined ? this.#end.signal : AbortSignal.any([this.#end.signal, signal])
  }

  /** A target that restarts or loads its data is waited for. */
  async open(): Promise<void> {
    this.#connection = await untilOpen(
      async () => await this.#connect(),
      this.#options.retries,
      this.#signal,
    )
    await fence(this.#connection, this.#options.clientName)
  }

  /** The connection, for calls while no batch is in flight. */
  get connection(): TargetConnection {
    if (this.#connection === undefined) throw new InternalError('the stream writer is not open')
    return this.#connection
  }

  get keptReplOffset(): number {
    return this.appliedReplOffset
  }

  get isFull(): boolean {
    return this.current.out.length >= FULL_BYTES || this.current.frameCount >= FULL_FRAMES
  }

  get isIdle(): boolean {
    return this.#inFlight === undefined && this.#queue.length === 0
  }

  /** The connection is gone, and another is being made. */
  get isRecovering(): boolean {
    return this.#recovering
  }

  async readCheckpoint(): Promise<Checkpoint | undefined> {
    return await readCheckpoint(this.connection, this.#options.checkpointKey)
  }

  /** @param proof what must hold on the very connection that writes it: of a load, its marks */
  async writeCheckpoint(
    checkpoint: Checkpoint,
    proof?: (connection: TargetConnection) => Promise<void>,
  ): Promise<void> {
    await this.withConnection(async (connection) => {
      await proof?.(connection)
      await writeCheckpoint(connection, this.#options.checkpointKey, checkpoint)
    })
    // Not before: after a loss of the connection, what is known to be there is what counts.
    this.checkpoint = checkpoint
    this.appliedReplOffset = checkpoint.nextReplOffset
    this.appliedDb = checkpoint.dbnum
  }

  async deleteCheckpoint(): Promise<void> {
    await this.withConnection(
      async (connection) => await deleteCheckpoint(connection, this.#options.checkpointKey),
    )
  }

  /** Hands the current batch over; what stands in it from frame `keepFrom` on goes to the next. */
  seal(keepFrom = this.current.frameCount, keepDb = this.current.targetDb): void {
    const batch = this.current
    // Nothing to tell the target, not even a new offset.
    if (keepFrom === 0 && batch.nextReplOffset <= this.appliedReplOffset) return
    const next = this.#free.pop() ?? new StreamBatch()
    next.reset()
    batch.moveTail(keepFrom, keepDb, next)
    next.nextReplOffset = batch.nextReplOffset
    next.sourceDb = batch.sourceDb
    this.current = next
    this.#queue.push(batch)
    this.#pump()
  }

  drain(): Promise<void> | undefined {
    if (this.#fatal !== undefined) return Promise.reject(this.#fatal)
    return this.#queue.length >= MAX_QUEUED
      ? this.#waitFor(() => this.#queue.length < MAX_QUEUED)
      : undefined
  }

  /** Resolves once everything sealed is confirmed. */
  async flush(): Promise<void> {
    await this.#waitFor(() => this.isIdle && !this.#recovering)
  }

  /** Something a caller does by calls on the connection, again if the connection breaks. */
  async withConnection<T>(work: (connection: TargetConnection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      await this.flush()
      try {
        return await work(this.connection)
      } catch (error) {
        if (!(error instanceof LinkError) || !error.retriable) throw error
        if (attempt > this.#options.retries) throw error
        await sleep(backoffMs(attempt), this.#signal)
      }
    }
  }

  async onEach(work: (connection: TargetConnection) => Promise<void>): Promise<void> {
    await this.withConnection(work)
  }

  async call(...args: readonly (string | Uint8Array)[]): Promise<Reply> {
    return await this.connection.call(...args)
  }

  /** Resolves at the next confirmation. */
  async progress(): Promise<void> {
    await this.#progress.wait()
  }

  close(): void {
    this.#closed = true
    this.#fatal ??= new TargetError('ERR_TARGET_CLOSED', 'the target was closed')
    this.#end.abort()
    this.#connection?.close()
    this.#progress.open()
  }

  onAnswered(answered: PipelinedBatch): void {
    const batch = this.#inFlight
    if (batch === undefined || answered !== batch) return
    if (batch.errors.length === 0) {
      this.#applied(batch)
      return
    }
    try {
      this.#judge(batch)
    } catch (error) {
      this.#fail(error)
    }
  }

  onLost(error: RrepError): void {
    // Before anything was sent the caller of `open` hears of it.
    if (this.#closed || this.#recovering || this.#connection === undefined) return
    this.#recovering = true
    this.#recover(error).then(
      () => {
        this.#recovering = false
        this.#pump()
      },
      (fault: unknown) => this.#fail(fault),
    )
  }

  #pump(): void {
    const connection = this.#connection
    if (this.#inFlight !== undefined || this.#recovering || connection === undefined) return
    if (connection.isLost || this.#fatal !== undefined) return
    const batch = this.#queue.shift()
    if (batch === undefined) return
    batch.close(this.#options.checkpointKey, this.checkpoint!)
    this.#send(batch, connection)
    this.#progress.open()
  }

  #send(batch: StreamBatch, connection: TargetConnection): void {
    this.#inFlight = batch
    connection.begin(batch)
    // The encoder's buffer is not touched again until the batch is answered.
    connection.write(batch.out.view())
  }

  #applied(batch: StreamBatch): void {
    this.#inFlight = undefined
    this.appliedReplOffset = batch.nextReplOffset
    this.appliedDb = batch.sourceDb
    this.#options.ledger.commands.written += batch.sourceCommands
    if (this.#free.length < MAX_QUEUED + 1) this.#free.push(batch)
    this.#pump()
    this.#progress.open()
  }

  #judge(batch: StreamBatch): void {
    const verdict = verdictOn(batch)
    countFailed(batch, verdict.failed, this.#options.ledger)
    switch (verdict.kind) {
      case 'executed':
        this.#applied(batch)
        return
      case 'without':
        batch.reopen(new Set(verdict.failed.map(({ frame }) => frame)))
        this.#again(batch, 0)
        return
      case 'refused':
        batch.attempt += 1
        if (!verdict.passes || this.#isTooMuch(batch, verdict.reason)) throw refuses(verdict.reason)
        batch.reopen(new Set())
        this.#again(batch, backoffMs(Math.min(batch.attempt, 6)))
    }
  }

  #isTooMuch(batch: StreamBatch, reason: string): boolean {
    return batch.attempt > MAX_TRANSIENT_ATTEMPTS && errorKind(reason) !== 'LOADING'
  }

  #again(batch: StreamBatch, delayMs: number): void {
    this.#inFlight = undefined
    this.#queue.unshift(batch)
    if (delayMs === 0) {
      this.#pump()
      return
    }
    this.#recovering = true
    sleep(delayMs, this.#signal).then(
      () => {
        this.#recovering = false
        if (this.#connection?.isLost === true) {
          this.onLost(new LinkError('ERR_LINK_LOST', 'the connection broke', { retriable: true }))
        } else {
          this.#pump()
        }
      },
      (error: unknown) => this.#fail(error),
    )
  }

  async #recover(cause: RrepError): Promise<void> {
    let error = cause
    for (let attempt = 1; ; attempt += 1) {
      if (!error.retriable) throw error
      if (attempt > this.#options.retries && error.code !== 'ERR_TARGET_BUSY') throw error
      this.#options.onReconnect?.(error, attempt)
      await sleep(backoffMs(Math.min(attempt, 6)), this.#signal)
      let connection: TargetConnection | undefined
      try {
        connection = await this.#connect()
        await fence(connection, this.#options.clientName)
        if (this.#signal.aborted) throw new AbortedError()
        await this.#resume(connection)
        return
      } catch (fault) {
        if (connection !== this.#connection) connection?.close()
        if (!(fault instanceof LinkError)) throw fault
        error = fault
      }
    }
  }

  /** Finds out from the checkpoint what became of the batch in flight. */
  async #resume(connection: TargetConnection): Promise<void> {
    const expected = this.checkpoint
    if (expected === undefined) {
      this.#connection = connection
      return
    }
    const found = await readCheckpoint(connection, this.#options.checkpointKey)
    if (found === undefined) {
      throw new TargetError(
        'ERR_TARGET_LOST_STATE',
        'the target has no checkpoint any more: it was restarted without its data, or emptied',
        { hint: 'run again with `emptyTarget` to begin anew' },
      )
    }
    refuseTakenOver(found, expected)
    this.#connection = connection
    if (found.owner !== expected.owner || comparePhases(found, expected) < 0) {
      throw new TargetRewound(found)
    }
    const batch = this.#inFlight
    this.#inFlight = undefined
    if (found.nextReplOffset === this.appliedReplOffset) {
      if (batch === undefined) return
      batch.reopen(new Set())
      this.#queue.unshift(batch)
      return
    }
    if (batch?.nextReplOffset === found.nextReplOffset) {
      // Executed; only the answers are lost.
      this.#options.ledger.note('transactions confirmed by the checkpoint alone')
      batch.errors.length = 0
      this.#applied(batch)
      return
    }
    // A new phase may begin at an offset of its own; it was written and not answered.
    if (comparePhases(found, expected) > 0) return
    throw new TargetRewound(found)
  }

  async #connect(): Promise<TargetConnection> {
    const { settings, clientName, importSource } = this.#options
    return await TargetConnection.open(settings, {
      clientName,
      importSource,
      signal: this.#signal,
      endsScripts: this.#inFlight?.hasScript === true,
      owner: this,
    })
  }

  async #waitFor(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#fatal !== undefined) throw this.#fatal
      if (condition()) return
      await this.#progress.wait()
    }
  }

  #fail(error: unknown): void {
    this.#fatal ??= error instanceof Error ? error : new Error(String(error))
    this.#progress.open()
  }

  /** After `TargetRewound`: forgets what was queued; the caller begins again at the checkpoint. */
  rewind(checkpoint: Checkpoint): void {
    if (this.checkpoint !== undefined)
      this.checkpoint = { ...this.checkpoint, phase: checkpoint.phase }
    this.#fatal = undefined
    this.#recovering = false
    this.#inFlight = undefined
    this.#queue.length = 0
    this.current.reset()
    this.appliedReplOffset = checkpoint.nextReplOffset
    this.appliedDb = checkpoint.dbnum
    this.current.nextReplOffset = checkpoint.nextReplOffset
    this.current.sourceDb = checkpoint.dbnum
  }
}
