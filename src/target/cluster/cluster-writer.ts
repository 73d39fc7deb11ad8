/**
 * A cluster as the end of a stream. Each slot gets its commands in their order, by transactions that
 * carry the slot's own checkpoint; many slots' transactions go to their master in one piece, and only one of
 * a slot is on its way at a time. So order holds within a slot, and around what concerns several.
 *
 * A transaction that a node refuses as a whole has done nothing: it goes again, with what stands behind it,
 * to where the slot is now (MOVED), or waits while the slot is on the move (ASK, TRYAGAIN). When a
 * connection breaks, nobody knows what was executed, and what was may be lost by a failover: then all
 * are left, the slots' checkpoints are read from who owns them now, and the stream begins again where the
 * last of them is (TargetRewound), without what is there already.
 */
import { LinkError, TargetError, type RrepError } from '../../errors.js'
import type { CommandTable } from '../../resp/command-table.js'
import { Gate, sleep } from '../../net/waiting.js'
import type { ClusterSeeds } from '../../topology/cluster.js'
import type { Checkpoint } from '../checkpoint.js'
import type { Ledger } from '../ledger.js'
import type { Reply } from '../server/reply-reader.js'
import { type PipelinedBatch, type TargetConnection } from '../server/target-connection.js'
import { StreamBatch } from '../stream/stream-batch.js'
import type { StreamTarget } from '../stream/stream-target.js'
import { TargetRewound } from '../stream/target-rewound.js'
import { FrameRouter, type WholeCommand } from './frame-router.js'
import { NodeBatch } from './node-batch.js'
import { NodeSet } from './node-set.js'
import { atPlace, PlaceKeeper, type Place } from './place-keeper.js'
import { MarkBatch, PlaceMarker } from './place-marker.js'
import { SlotCheckpoints } from './slot-checkpoints.js'
import { SlotSender } from './slot-sender.js'
import { WholeCommands } from './whole-commands.js'
import { WindowLine, type OpenWindow } from './window-line.js'

export interface ClusterWriterOptions {
  seeds: ClusterSeeds
  clientName: string
  checkpointKey: Buffer
  importSource: boolean
  retries: number
  ledger: Ledger
  table: CommandTable
  /** PEXPIRETIME is there. */
  hasExpireTime: boolean
  onReconnect: (error: RrepError) => void
  onWarning: (message: string) => void
}

const FULL_BYTES = 1 << 20
const FULL_FRAMES = 20_000
const MAX_PENDING_BYTES = 16 << 20
const PAUSE_MS = 100
/** So long replicas are waited for that lack what a checkpoint says. */
const STOP_MS = 3000

export class ClusterStreamWriter implements StreamTarget {
  current = newBatch()
  appliedReplOffset = -1
  appliedDb = 0
  checkpoint: Checkpoint | undefined
  /** Behind a load of several streams: where each goes on. */
  loadedTo: readonly number[] | undefined
  readonly #options: ClusterWriterOptions
  readonly #nodes: NodeSet
  readonly #slots: SlotCheckpoints
  readonly #whole: WholeCommands
  readonly #router: FrameRouter
  readonly #sender: SlotSender
  readonly #places: PlaceKeeper
  readonly #marker: PlaceMarker
  readonly #progress = new Gate()
  readonly #end = new AbortController()
  readonly #line: WindowLine
  #isAlone = false
  #isRecovering = false
  /** Calls are made on the connections, one by one. */
  #isCalling = false
  #isClosed = false
  #fatal: Error | undefined
  #sealedReplOffset = -1

  constructor(options: ClusterWriterOptions) {
    this.#options = options
    this.#nodes = new NodeSet({
      ...options,
      signal: this.#end.signal,
      onAnswered: (batch) => this.#answered(batch),
      onLost: (error) => this.#lost(error),
    })
    this.#slots = new SlotCheckpoints(this.#nodes, options.checkpointKey)
    this.#places = new PlaceKeeper(this.#slots)
    this.#marker = new PlaceMarker({
      nodes: this.#nodes,
      slots: this.#slots,
      places: this.#places,
      checkpointKey: options.checkpointKey,
      signal: this.#end.signal,
      checkpoint: () => this.#streaming,
    })
    this.#sender = new SlotSender({
      nodes: this.#nodes,
      slots: this.#slots,
      ledger: options.ledger,
      onReady: () => this.#pump(),
      onLost: (error) => this.#lost(error),
      onWarning: options.onWarning,
    })
    this.#line = new WindowLine({
      send: (window, slots) => this.#sender.add(window, slots),
      onApplied: (window) => this.#applied(window),
    })
    this.#router = new FrameRouter(options.table, (slot, replOffset, stream) =>
      this.#slots.isApplied(slot, replOffset, stream),
    )
    this.#whole = new WholeCommands(this.#nodes, this.#slots, options)
  }

  async open(): Promise<void> {
    await this.#nodes.open(this.#options.retries)
    this.#marker.run().catch((error: unknown) => this.#fail(error))
  }

  /** Of several streams: its number in batches, by its name in checkpoints. */
  streamOf(name: string): number {
    return this.#slots.streamOf(name)
  }

  /** What ends there of the stream is in the target, as far as it is of this slot. */
  isApplied(slot: number, replOffset: number, stream: number): boolean {
    return this.#slots.isApplied(slot, replOffset, stream)
  }

  /** Names of up to `most` keys of each slot, when all that was sealed is in the target. */
  async keysOf(
    slots: readonly number[],
    most: number,
  ): Promise<ReadonlyMap<number, readonly Buffer[]>> {
    return await this.#onMark(async () => await this.#nodes.keysOf(slots, most))
  }

  /** While nothing but the stream goes to the target. */
  get #streaming(): Checkpoint | undefined {
    const isBusy = this.#isRecovering || this.#isAlone || this.#isCalling
    if (isBusy || this.#fatal !== undefined) return undefined
    return this.checkpoint?.phase === 'stream' ? this.checkpoint : undefined
  }

  get keptReplOffset(): number {
    return this.#places.keptReplOffset
  }

  get isFull(): boolean {
    return this.current.out.length >= FULL_BYTES || this.current.frameCount >= FULL_FRAMES
  }

  get isIdle(): boolean {
    return this.#line.isEmpty && !this.#isAlone
  }

  get isRecovering(): boolean {
    return this.#isRecovering
  }

  /** As it stands there: the slots' own are not read. */
  async findCheckpoint(): Promise<Checkpoint | undefined> {
    return await this.#onMark(async () => await this.#slots.readMark())
  }

  async readCheckpoint(): Promise<Checkpoint | undefined> {
    const found = await this.findCheckpoint()
    if (found === undefined || found.phase === 'load') return found
    await this.#onMark(async () => await this.#whole.endFlush(found))
    await this.#onMark(async () => await this.#slots.read())
    return found
  }

  async writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    const { phase, nextReplOffset } = checkpoint
    const isLoaded = phase === 'stream' && this.checkpoint?.phase === 'load'
    let safe: Place | undefined
    await this.#onMark(async () => {
      if (phase === 'load') this.#slots.begin([...(checkpoint.shards?.keys() ?? [])])
      if (isLoaded) await this.#slots.writeAll(this.loadedTo ?? [nextReplOffset])
      // It says that nothing in front of it is asked for again.
      const isThere = phase === 'load' || isLoaded || (await this.#slots.untilReplicated(STOP_MS))
      safe = isThere ? undefined : this.#places.kept
      await this.#slots.writeMark(safe === undefined ? checkpoint : atPlace(checkpoint, safe))
    })
    this.checkpoint = checkpoint
    this.#startAt(checkpoint)
    if (safe === undefined) this.#places.beginAt(this.#places.last)
  }

  async deleteCheckpoint(): Promise<void> {
    await this.flush()
    // Nothing more is told.
    this.checkpoint = undefined
    await this.#onMark(async () => await this.#slots.deleteAll())
  }

  seal(keepFrom = this.current.frameCount, keepDb = this.current.targetDb): void {
    const batch = this.current
    if (keepFrom === 0 && batch.nextReplOffset <= this.#sealedReplOffset) return
    const next = newBatch()
    batch.moveTail(keepFrom, keepDb, next)
    next.nextReplOffset = batch.nextReplOffset
    next.sourceDb = batch.sourceDb
    this.current = next
    this.#sealedReplOffset = batch.nextReplOffset
    const routed = this.#router.route(batch)
    this.#router.tell(this.#options.ledger, this.#options.onWarning)
    this.#line.add(routed, batch)
    this.#pump()
  }

  drain(): Promise<void> | undefined {
    if (this.#fatal !== undefined) return Promise.reject(this.#fatal)
    const hasRoom = (): boolean => this.#line.pendingBytes <= MAX_PENDING_BYTES
    return hasRoom() ? undefined : this.#waitFor(hasRoom)
  }

  async flush(): Promise<void> {
    await this.#waitFor(() => this.isIdle && !this.#isRecovering)
  }

  async progress(): Promise<void> {
    await this.#progress.wait()
  }

  async onEach(work: (connection: TargetConnection) => Promise<void>): Promise<void> {
    await this.#onMark(async () => {
      for (const index of this.#nodes.map.owners()) await this.#nodes.onNode(index, work)
    })
  }

  async call(...args: readonly (string | Uint8Array)[]): Promise<Reply> {
    return await this.#nodes.lanes[0]!.connection.call(...args)
  }

  rewind(checkpoint: Checkpoint): void {
    if (this.checkpoint !== undefined)
      this.checkpoint = { ...this.checkpoint, phase: checkpoint.phase }
    this.#fatal = undefined
    // What was sealed since it broke is read again.
    this.#forget()
    this.current.reset()
    this.#startAt(checkpoint)
    this.#places.startAt(this.#places.last)
  }

  close(): void {
    this.#isClosed = true
    this.#fatal ??= new TargetError('ERR_TARGET_CLOSED', 'the target was closed')
    this.#sender.close()
    this.#end.abort()
    this.#nodes.close()
    this.#progress.open()
  }

  #startAt({ nextReplOffset, dbnum, shards }: Checkpoint): void {
    this.appliedReplOffset = this.#sealedReplOffset = nextReplOffset
    this.appliedDb = dbnum
    this.current.nextReplOffset = nextReplOffset
    this.current.sourceDb = dbnum
    this.#places.last = { replOffset: nextReplOffset, db: dbnum, shards }
  }

  // What is sent.

  #pump(): void {
    if (this.#isRecovering || this.#isAlone || this.#fatal !== undefined) return
    const command = this.#line.begin()
    if (command !== undefined) {
      this.#isAlone = true
      void this.#alone(command)
    }
    this.#sender.pump()
  }

  /** All before it is in the target, and nothing is on its way. */
  async #alone(command: WholeCommand): Promise<void> {
    try {
      await this.#nodes.untilIdle()
      await this.#whole.run(command, this.checkpoint!, this.#places.last)
      this.#isAlone = false
      this.#pump()
      this.#progress.open()
    } catch (error) {
      this.#isAlone = false
      if (error instanceof LinkError && error.retriable) this.#lost(error)
      else this.#fail(error)
    }
  }

  // What is answered.

  #answered(batch: PipelinedBatch): void {
    if (!(batch instanceof NodeBatch)) {
      if (batch instanceof MarkBatch) batch.answered()
      return
    }
    try {
      this.#sender.answered(batch)
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#line.advance()
    this.#progress.open()
    this.#pump()
  }

  #applied({ batch, isEnd, shards }: OpenWindow): void {
    this.#options.ledger.commands.written += batch.sourceCommands
    if (!isEnd) return
    const { nextReplOffset, sourceDb } = batch
    this.appliedReplOffset = nextReplOffset
    this.appliedDb = sourceDb
    this.#places.last = { replOffset: nextReplOffset, db: sourceDb, shards }
  }

  // What breaks.

  #lost(error: RrepError): void {
    if (this.#isClosed || this.#isRecovering) return
    this.#isRecovering = true
    this.#recover(error).then(
      () => {
        this.#isRecovering = false
        this.#pump()
        this.#progress.open()
      },
      (fault: unknown) => {
        this.#isRecovering = false
        this.#fail(fault)
      },
    )
  }

  async #recover(cause: RrepError): Promise<void> {
    if (!cause.retriable) throw cause
    const hadWork = !this.isIdle
    this.#nodes.drop()
    await this.#nodes.openAgain(cause, this.#options.onReconnect)
    const { checkpoint } = this
    if (checkpoint === undefined || checkpoint.phase === 'load') return
    const found: Checkpoint | undefined = await this.#nodes.until(
      async () => await this.#slots.readMark(),
    )
    this.#slots.expect(found, checkpoint)
    await this.#nodes.until(async () => await this.#whole.endFlush(found))
    const before = this.#slots.copyApplied()
    await this.#nodes.until(async () => await this.#readSlots(found))
    if (!hadWork && this.#slots.covers(before)) return
    this.#options.ledger.note('times the connections to the target were made anew')
    const at = atPlace(checkpoint, this.#places.newestWhole)
    await this.#nodes.until(async () => await this.#slots.writeMark(at))
    throw new TargetRewound(at)
  }

  /** A lost FLUSHALL is done again. */
  async #readSlots(found: Checkpoint): Promise<void> {
    await this.#slots.read()
    if (!this.#slots.hasLostFlush) return
    this.#slots.mark = { ...this.#slots.mark, pending: this.#slots.mark.floor }
    await this.#whole.endFlush(found)
  }

  /** What was handed over is read again. */
  #forget(): void {
    this.#sender.clear()
    this.#line.clear()
  }

  #fail(error: unknown): void {
    // Nobody may have gone back yet when it broke again: then farther.
    if (this.#fatal === undefined || this.#fatal instanceof TargetRewound)
      this.#fatal = error instanceof Error ? error : new Error(String(error))
    this.#progress.open()
  }

  /** By calls on the connections, when nothing is in flight; again where one breaks. */
  async #onMark<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      await this.flush()
      this.#isCalling = true
      try {
        await this.#nodes.untilIdle()
        return await work()
      } catch (error) {
        if (!(error instanceof LinkError) || !error.retriable) throw error
        if (attempt > this.#options.retries) throw error
        this.#lost(error)
        await sleep(PAUSE_MS, this.#end.signal)
      } finally {
        this.#isCalling = false
      }
    }
  }

  async #waitFor(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#fatal !== undefined) throw this.#fatal
      if (condition()) return
      await this.#progress.wait()
    }
  }
}

function newBatch(): StreamBatch {
  const batch = new StreamBatch()
  batch.transactions = []
  return batch
}
