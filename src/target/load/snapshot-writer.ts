/**
 * The target's end of a snapshot: commands of keys go in, in any order of keys, over several
 * connections; what the target said of each comes out in the ledger.
 *
 * Who writes the keys (`KeyRewriter`) appends frames to `commands` and says `endKey` behind each.
 * Between two chunks of input it waits for `drain`. Everything here is one buffer copied into
 * batches of about 256 KB; nothing is made per key. This is the interface behind which a cluster's
 * writer would choose the connection by slot: `commands` then belongs to a node.
 */
import { Buffer } from 'node:buffer'
import { ByteKernel } from '../../kernels/kernel.js'
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { TargetError, type RrepError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { CommandWriter } from '../../rewrite/command-writer.js'
import { printable } from '../../bytes/printable.js'
import { encodeCommand } from '../../resp/encoder.js'
import { ChunkPool } from '../chunk-pool.js'
import type { KeyTarget, OnConflict } from '../key-target.js'
import type { KeyCounts, Ledger } from '../ledger.js'
import type { RateLimiter } from '../server/rate-limiter.js'
import { LoadMarks } from './load-marks.js'
import { LoadVerdicts } from './load-verdicts.js'
import { KEPT_BYTES, keyNameBytes, SnapshotBatch } from './snapshot-batch.js'
import { MAX_IN_FLIGHT, SnapshotLane } from './snapshot-lane.js'
import { batchOfKeys, type CheckBatch } from './snapshot-repeat.js'
import { ReplyPacer } from '../server/reply-pacer.js'
import { refusal } from '../server/target-refusal.js'
import { Gate, sleep } from '../../net/waiting.js'

export interface SnapshotWriterOptions {
  settings: ServerSettings
  /** Connections are called so, with a number behind. */
  clientName: string
  lanes: number
  /** What its kernel has room for besides: for input to be read into. */
  inputBytes: number
  retries: number
  onConflict: OnConflict
  /** All keys of the target are ours: those sent before may be sent again after a DEL. */
  targetWasEmpty: boolean
  importSource: boolean
  runId: string | undefined
  /** By these the marks of this load are called in the target. */
  checkpointKey: Uint8Array
  owner: string
  ledger: Ledger
  /** Nothing is written: keys that are there already are looked for, and that is all. */
  isDry?: boolean | undefined
  rate?: RateLimiter | undefined
  signal?: AbortSignal | undefined
  onReconnect?: ((error: RrepError, attempt: number) => void) | undefined
}

const BATCH_BYTES = 200 << 10
const CHUNK_BYTES = 256 << 10
/** Batches written and not yet answered, per connection, before the producer has to wait. */
const BATCHES_PER_LANE = MAX_IN_FLIGHT + 1
const MAX_QUEUED_BYTES = 8 << 20
const MAX_FREE_BATCHES = 16

export class SnapshotWriter implements KeyTarget {
  readonly commands: CommandWriter
  readonly kernel: ByteKernel
  /** What proves, after a restart of the target, that it still has all it had confirmed. */
  readonly marks: LoadMarks
  readonly #options: SnapshotWriterOptions
  readonly #out: OutputBuffer
  readonly #lanes: SnapshotLane[]
  readonly #pool: ChunkPool
  readonly #freeBatches: SnapshotBatch[] = []
  readonly #progress = new Gate()
  readonly #pacer: ReplyPacer
  #batch = new SnapshotBatch()
  #batchLane: SnapshotLane | undefined
  /** Of the output when the batch began, and behind its last whole key. */
  #batchStartByte = 0
  #batchStartCommands = 0
  #keyEndByte = 0
  #inKey = false
  readonly #verdicts: LoadVerdicts
  #fatal: Error | undefined

  constructor(options: SnapshotWriterOptions) {
    this.#options = options
    this.#pacer = new ReplyPacer(options.lanes * (MAX_IN_FLIGHT - 1) * BATCH_BYTES)
    const chunks = options.lanes * BATCHES_PER_LANE + 2
    this.kernel = new ByteKernel(options.inputBytes + chunks * CHUNK_BYTES)
    this.#pool = new ChunkPool(this.kernel, CHUNK_BYTES, chunks)
    this.#out = new OutputBuffer((bytes) => this.#take(bytes), this.#pool.take())
    this.commands = new CommandWriter(this.#out)
    this.#verdicts = new LoadVerdicts({
      ledger: options.ledger,
      onConflict: options.onConflict,
      targetWasEmpty: options.targetWasEmpty,
      isDry: options.isDry === true,
      signal: options.signal,
      onAgain: (batch) => void this.#assign(batch),
      onFatal: (error) => this.#fail(error),
    })
    const marks = new LoadMarks(options.checkpointKey, options.owner, options.lanes)
    this.marks = marks
    this.#lanes = Array.from(
      { length: options.lanes },
      (_, index) =>
        new SnapshotLane({
          settings: options.settings,
          clientName: `${options.clientName}:${index}`,
          importSource: options.importSource,
          retries: options.retries,
          runId: options.runId,
          lane: index,
          marks,
          isDry: options.isDry === true,
          mayClearRestored: options.targetWasEmpty || options.onConflict === 'replace',
          signal: options.signal,
          restMs: () => this.#pacer.restMs(performance.now()),
          onAnswered: (batch) => this.#answered(batch),
          onChecked: (check) => this.#checked(check),
          onUnrepeatable: (batch) => this.#unrepeatable(batch),
          onReconnect: options.onReconnect,
          onFatal: (error) => this.#fail(error),
        }),
    )
  }

  async open(): Promise<void> {
    await Promise.all(this.#lanes.map(async (lane) => await lane.open()))
  }

  beginKey(db: number, check: boolean): void {
    this.#inKey = true
    this.#batch.openKeyDb = db
    if (check) this.#batch.mustCheck = true
  }

  endKey(type: string, counts: KeyCounts): void {
    this.#inKey = false
    const batch = this.#batch
    const end = this.#out.totalBytes
    this.#keyEndByte = end
    batch.addKey(
      end - this.#batchStartByte,
      this.commands.commands - this.#batchStartCommands,
      batch.openKeyDb,
      type,
      counts,
    )
    if (end - this.#batchStartByte >= BATCH_BYTES) this.#closeBatch()
  }

  addRow(
    db: number,
    keys: number,
    check: boolean,
    counts: readonly (KeyCounts | undefined)[],
    keysByType: Uint32Array,
  ): void {
    const batch = this.#batch
    const end = this.#out.totalBytes
    batch.openKeyDb = db
    if (check) batch.mustCheck = true
    this.#keyEndByte = end
    const endByte = end - this.#batchStartByte
    const endReply = this.commands.commands - this.#batchStartCommands
    batch.addRow(endByte, endReply, db, keys, counts, keysByType)
    if (endByte >= BATCH_BYTES) this.#closeBatch()
  }

  drain(): Promise<void> | undefined {
    if (this.#fatal !== undefined) return Promise.reject(this.#fatal)
    const delayMs = this.#options.rate?.delayMs ?? 0
    if (delayMs > 0) return this.#pause(delayMs)
    return this.#isFull ? this.#waitForRoom() : undefined
  }

  async flush(): Promise<void> {
    this.#closeBatch()
    // The last answers are waited for.
    this.#pacer.stop()
    while (this.#fatal === undefined && (this.#load > 0 || this.#verdicts.retrying > 0)) {
      await this.#progress.wait()
    }
    if (this.#fatal !== undefined) throw this.#fatal
  }

  /** After `flush`: the marks are not needed any more. Those that cannot be removed go in a day. */
  async removeMarks(): Promise<void> {
    if (this.#options.isDry === true) return
    for (const lane of this.#lanes) if (await lane.removeMarks()) return
  }

  /** After a failure: nothing more is sent, and what was is waited for, for so long at most. */
  async settle(timeoutMs: number): Promise<void> {
    this.#pacer.stop()
    for (const lane of this.#lanes) lane.stop()
    const endMs = performance.now() + timeoutMs
    const isWaiting = (): boolean => this.#lanes.some((lane) => lane.inFlight > 0)
    while (isWaiting() && performance.now() < endMs) {
      await Promise.race([this.#progress.wait(), sleep(10)])
    }
    // What was not answered by now may hold this up.
    const removed = new AbortController()
    const limit = sleep(timeoutMs, removed.signal).catch(() => undefined)
    await Promise.race([this.removeMarks(), limit])
    removed.abort()
  }

  close(): void {
    for (const lane of this.#lanes) lane.close()
    // Whoever waits must not wait for ever.
    this.#fatal ??= new TargetError('ERR_TARGET_CLOSED', 'the target was closed')
    this.#progress.open()
  }

  get #load(): number {
    let load = 0
    for (const lane of this.#lanes) load += lane.load
    return load
  }

  get #isFull(): boolean {
    if (this.#verdicts.retrying > 0) return true
    if (this.#load >= this.#lanes.length * BATCHES_PER_LANE) return true
    // A key too large for a batch is not held back by replies: by what the system takes.
    const lane = this.#batchLane
    if (lane === undefined) return false
    return !lane.isReady || lane.queuedBytes > MAX_QUEUED_BYTES
  }

  async #waitForRoom(): Promise<void> {
    while (this.#fatal === undefined && this.#isFull) {
      // The socket's own buffer tells nobody when it empties.
      if (this.#batchLane === undefined) await this.#progress.wait()
      else await Promise.race([this.#progress.wait(), sleep(2, this.#options.signal)])
    }
    if (this.#fatal !== undefined) throw this.#fatal
  }

  async #pause(delayMs: number): Promise<void> {
    await sleep(delayMs, this.#options.signal)
    if (this.#isFull) await this.#waitForRoom()
  }

  /** The sink of the output buffer: bytes of whole keys, kept where they are, or of an open one. */
  #take(bytes: Buffer): void {
    this.#options.rate?.spend(bytes.length)
    if (this.#inKey) {
      this.#takeOpen(bytes)
      return
    }
    const next = this.#pool.holds(bytes) ? this.#pool.take() : undefined
    if (next !== undefined) this.#out.goOnIn(next)
    this.#batch.addChunk(next === undefined ? this.#pool.copy(bytes) : bytes)
  }

  /** Bytes of a key that does not fit. */
  #takeOpen(bytes: Buffer): void {
    // Whole keys in front of the large one go their own way.
    const whole = this.#keyEndByte - this.#batchStartByte - this.#batch.totalBytes
    if (this.#batch.keyCount > 0) {
      const { openKeyDb } = this.#batch
      const mustCheck = this.#batch.mustCheck
      if (whole > 0) this.#batch.addChunk(this.#pool.copy(bytes.subarray(0, whole)))
      this.#send()
      this.#batch.openKeyDb = openKeyDb
      this.#batch.mustCheck = mustCheck
      this.#addSelect(openKeyDb)
    }
    const batch = this.#batch
    const rest = bytes.subarray(Math.max(0, whole))
    if (rest.length === 0) return
    batch.addChunk(this.#pool.copy(rest))
    batch.bigKeyName ||= printable(keyNameBytes(batch.openKeyBytes()), 0, undefined, 200)
    const isLarge = batch.totalBytes > KEPT_BYTES || this.#options.isDry === true
    if (isLarge && !batch.mustCheck) this.#dropSent(batch)
    this.#batchLane ??= this.#assign(batch)
    this.#batchLane.pump()
  }

  /** The SELECT that the key relies on went with the batch before. */
  #addSelect(db: number): void {
    const frame = encodeCommand('SELECT', String(db))
    this.#batch.addChunk(frame)
    this.#batchStartByte -= frame.length
    this.#batchStartCommands -= 1
  }

  /** Lets go of what the connection has got: a huge key must not fill the memory. */
  #dropSent(batch: SnapshotBatch): void {
    for (let i = 0; i < batch.sentChunks; i += 1) {
      batch.droppedBytes += batch.chunks[i]!.length
      batch.chunks[i] = EMPTY
    }
  }

  #closeBatch(): void {
    if (this.#batch.keyCount === 0 && this.#out.pos === 0 && this.#batch.totalBytes === 0) return
    this.#out.flush()
    this.#send()
  }

  /** Closes the batch at hand and begins the next one behind its last whole key. */
  #send(): void {
    const batch = this.#batch
    batch.close()
    const lane = this.#batchLane
    this.#batch = this.#freeBatches.pop() ?? new SnapshotBatch()
    this.#batchLane = undefined
    this.#batchStartByte = this.#keyEndByte
    this.#batchStartCommands += batch.expectedReplies
    // The connection of the next batch may stand in any db.
    this.commands.selectedDb = this.#inKey ? this.commands.selectedDb : -1
    if (lane === undefined) this.#assign(batch)
    else lane.pump()
  }

  #assign(batch: SnapshotBatch): SnapshotLane {
    let best = this.#lanes[0]!
    for (const lane of this.#lanes) if (lane.load < best.load) best = lane
    best.push(batch)
    return best
  }

  #answered(batch: SnapshotBatch): void {
    batch.countWritten()
    this.#pacer.answered(batch.totalBytes, performance.now())
    if (batch.troubles.length > 0) this.#verdicts.judge(batch)
    this.#recycle(batch)
    this.#progress.open()
  }

  #checked(check: CheckBatch): SnapshotBatch | undefined {
    const { source } = check
    if (check.error !== undefined) this.#fail(refusal(check.error))
    if (check.existing.size === 0) return source
    if (this.#options.isDry === true && source.isClosed) source.countWritten()
    if (!this.#verdicts.exist(check)) return source
    if (this.#options.isDry === true) {
      this.#recycle(source)
      this.#progress.open()
      return undefined
    }
    const left: number[] = []
    for (let key = 0; key < source.keyCount; key += 1) {
      if (!check.existing.has(key)) left.push(key)
    }
    this.#progress.open()
    const rest = left.length === 0 ? undefined : batchOfKeys(source, left, { clear: false })
    for (const chunk of source.chunks.splice(0)) this.#pool.giveBack(chunk)
    return rest
  }

  #unrepeatable(batch: SnapshotBatch): void {
    this.#fail(
      new TargetError(
        'ERR_TARGET_LOST_IN_KEY',
        `the connection broke inside the key ${batch.bigKeyName}, which is too large to be kept`,
        { retriable: true, hint: "run again, with `onConflict: 'replace'` or `emptyTarget`" },
      ),
    )
  }

  #recycle(batch: SnapshotBatch): void {
    for (const chunk of batch.chunks) this.#pool.giveBack(chunk)
    batch.reset()
    if (this.#freeBatches.length < MAX_FREE_BATCHES) this.#freeBatches.push(batch)
  }

  #fail(error: Error): void {
    this.#fatal ??= error
    this.#progress.open()
  }
}

const EMPTY = Buffer.alloc(0)
