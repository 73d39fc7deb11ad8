/**
 * What every replay shares, whatever its source: the target and what is known of it, the ledger,
 * how expiry is held back, the checkpoint, and the end.
 */
import { ClusterTarget, noStream } from './cluster-target.js'
import { randomBytes } from 'node:crypto'
import { Buffer } from 'node:buffer'
import { AbortedError, LinkError, TargetError, UsageError } from '../../errors.js'
import { DEFAULT_RETRIES } from '../../net/server-settings.js'
import {
  DEFAULT_CHECKPOINT_KEY,
  type Checkpoint,
  type CheckpointPhase,
} from '../../target/checkpoint.js'
import { CommandApplier } from '../../target/stream/command-applier.js'
import { compileKeyMapping } from '../../target/key-mapping.js'
import { Ledger } from '../../target/ledger.js'
import { RateLimiter } from '../../target/server/rate-limiter.js'
import type { KeyTarget, OnConflict } from '../../target/key-target.js'
import { SnapshotWriter } from '../../target/load/snapshot-writer.js'
import { DryStreamWriter } from '../../target/dry-run.js'
import { LARGE_PIECE_BYTES } from '../../bytes/piece-size.js'
import { StreamRules } from '../../target/stream/stream-rules.js'
import { StreamWriter } from '../../target/stream/stream-writer.js'
import { removeMarksOf } from '../../target/load/load-marks.js'
import {
  commandRows,
  flushTarget,
  probeTarget,
  targetEnd,
  type TargetFacts,
} from '../../target/server/target-probe.js'
import { backoffMs, sleep } from '../../net/waiting.js'
import { CommandTable } from '../../resp/command-table.js'
import { printable } from '../../bytes/printable.js'
import { compileKeyFilter, withAddressDb, type KeyFilter } from '../../source/key-filter.js'
import { dbOfSource } from '../../source/classify.js'
import type { SlotRanges } from '../../topology/cluster-nodes.js'
import type { ReplayEvent, ReplayCall, ReplayProgress } from './options.js'
import { refuseForStream } from './checks.js'
import { shortHash, streamClientName } from './client-names.js'
import { ExpiryHold } from './expiry-hold.js'
import { putLeftRight } from './via-replica/left.js'

const DEFAULT_CONNECTIONS = 3

/** So long a run that breaks off waits for answers, and one that is interrupted. */
const SETTLE_MS = 3000
const ABORT_SETTLE_MS = 500
/** Progress is told no more often. */
const PROGRESS_MS = 20
export class ReplaySession {
  readonly options: ReplayCall
  readonly ledger = new Ledger()
  readonly selection: KeyFilter
  readonly mapping: ReturnType<typeof compileKeyMapping>
  readonly checkpointKey: Buffer
  /** Names this process in the checkpoint. */
  readonly owner = randomBytes(8).toString('hex')
  readonly table = new CommandTable()
  readonly isDry: boolean
  streamWriter: StreamWriter | undefined
  rules: StreamRules | undefined
  applier: CommandApplier | undefined
  readonly expiry: ExpiryHold
  targetWasEmpty = false
  /** Of the source, so far: as it tells progress. */
  readBytes = 0
  /** How many have taken over this replay, this process included. */
  #epoch = 1
  readonly #rate: RateLimiter | undefined
  #facts: TargetFacts | undefined
  #snapshotWriter: SnapshotWriter | undefined
  #toldPhase = ''
  #toldMs = 0

  /** Undefined: the target holds keys of others, which may be in the same slots. */
  readonly deleteSlots: ((slots: SlotRanges) => Promise<unknown>) | undefined

  /** @param wishes `keepHeld`: all expiries stay moved by `shiftMs` at the end; nothing expires. */
  constructor(
    options: ReplayCall,
    wishes: { keepHeld?: boolean; deleteSlots?: (slots: SlotRanges) => Promise<unknown> } = {},
  ) {
    this.deleteSlots = wishes.deleteSlots
    this.options = options
    this.expiry = new ExpiryHold(this, wishes.keepHeld === true)
    this.isDry = options.dryRun === true
    this.ledger.dryRun = this.isDry
    const { source } = options
    this.selection = compileKeyFilter(withAddressDb(options.filter, dbOfSource(source)))
    this.mapping = compileKeyMapping({ mapDb: options.mapDb, rewriteKey: options.rewriteKey })
    this.checkpointKey = Buffer.from(options.checkpointKey ?? DEFAULT_CHECKPOINT_KEY)
    if (this.checkpointKey.length === 0) throw new UsageError('the checkpoint key is empty')
    const rate = options.rateBytesPerSecond
    if (rate !== undefined && !(rate > 0)) throw new UsageError('the rate must be more than 0')
    this.#rate = rate === undefined ? undefined : new RateLimiter(rate)
  }

  get facts(): TargetFacts {
    return this.#facts!
  }

  get retries(): number {
    return this.options.retries ?? DEFAULT_RETRIES
  }

  get rate(): RateLimiter | undefined {
    return this.#rate
  }

  event(event: ReplayEvent): void {
    // Nothing was written: whatever the source has, the target is not the same.
    if (this.isDry && event.event === 'synced') return
    this.options.onEvent?.(event)
  }

  progress(progress: Omit<ReplayProgress, 'keys' | 'commands'>): void {
    if (progress.phase === 'load') this.readBytes = progress.done
    const nowMs = performance.now()
    if (progress.phase === this.#toldPhase && nowMs - this.#toldMs < PROGRESS_MS) return
    this.#toldPhase = progress.phase
    this.#toldMs = nowMs
    this.options.onProgress?.({
      ...progress,
      keys: this.ledger.totals.written,
      commands: this.ledger.commands.written,
    })
  }

  checkAborted(): void {
    if (this.options.signal?.aborted === true) throw new AbortedError()
  }

  /** Asks the target what it is. */
  async meetTarget(): Promise<void> {
    let facts = await this.#probe()
    if (!this.isDry && (await putLeftRight(this, facts))) facts = await this.#probe()
    if (facts.isReplica && !this.isDry) {
      throw new TargetError(
        'ERR_TARGET_REPLICA',
        `${facts.name} is a replica and takes no writes`,
        {
          hint: 'name its master',
        },
      )
    }
    if (facts.isCluster && this.options.shard === undefined) throw new ClusterTarget(facts.name)
    this.event({
      event: 'target',
      server: facts.name,
      version: facts.versionText,
      keys: keysIn(facts),
    })
    this.#facts = facts
    this.targetWasEmpty = keysIn(facts) === 0 || (this.isDry && this.options.emptyTarget === true)
  }

  get isToBeEmptied(): boolean {
    return this.options.emptyTarget === true && !this.isDry
  }

  /** Deletes everything in the target. Called once the source is known to be whole. */
  async emptyTarget(): Promise<void> {
    await flushTarget(this.options.target, this.options.signal)
    this.event({ event: 'emptied' })
    this.#facts = await this.#probe()
    this.targetWasEmpty = keysIn(this.#facts) === 0
  }

  /**
   * Opens the ordered connection and reads the checkpoint. `source` names what is replayed; a
   * checkpoint of something else is refused, unless `isSame` knows it under this name.
   */
  async openStream(
    source: string,
    publish: boolean,
    isSame?: (found: Checkpoint) => Promise<boolean>,
  ): Promise<Checkpoint | undefined> {
    refuseForStream(this.options)
    if (this.options.shard !== undefined) throw noStream(source)
    const writer = this.isDry
      ? new DryStreamWriter(this.ledger)
      : new StreamWriter({
          settings: this.options.target,
          clientName: streamClientName(this.checkpointKey),
          checkpointKey: this.checkpointKey,
          // Turned on before, where the target has it.
          importSource: this.expiry.isImportMode,
          retries: this.retries,
          ledger: this.ledger,
          // A stop by the user is a good end: what is in flight is waited for.
          signal: undefined,
          onReconnect: (error) =>
            this.event({ event: 'link-lost', side: 'target', message: error.message }),
        })
    this.streamWriter = writer
    await writer.open()
    // Which commands write, modules' own among them, the target knows best.
    this.table.learn(await commandRows(this.options.target))
    this.rules = new StreamRules(this.table, {
      target: this.facts.capabilities,
      hasCommand: (name) => this.facts.commandNames?.has(name) ?? true,
      publish,
      onLoss: (what) => this.ledger.notHeld(what),
    })
    this.rules.shiftMs = this.expiry.shiftMs
    this.applier = new CommandApplier({
      writer,
      rules: this.rules,
      table: this.table,
      selection: this.selection,
      mapping: this.mapping,
      transform: this.options.transform,
      ledger: this.ledger,
      databases: this.facts.databases,
      checkpointKey: this.checkpointKey,
    })
    if (this.isDry) return undefined
    const found = await writer.readCheckpoint()
    if (found === undefined) return undefined
    if (found.source !== source && (await isSame?.(found)) !== true) {
      throw new TargetError(
        'ERR_OTHER_CHECKPOINT',
        `the target holds the checkpoint of another replay (${printable(Buffer.from(found.source))})`,
        {
          hint:
            'if that one is over, `finishReplay()` puts right what it left, and ' +
            '`emptyTarget` begins anew; two at once need `checkpointKey`',
        },
      )
    }
    this.#epoch = found.epoch + 1
    await writer.withConnection(
      async (connection) => await removeMarksOf(connection, this.checkpointKey, found.owner),
    )
    this.#countOutCheckpoint()
    return found
  }

  /** What an earlier run did goes on. */
  resume(checkpoint: Checkpoint): void {
    this.targetWasEmpty = checkpoint.targetWasEmpty
    this.expiry.resume(checkpoint)
    if (this.rules !== undefined) this.rules.shiftMs = this.expiry.shiftMs
  }

  async writeCheckpoint(
    checkpoint: Pick<Checkpoint, 'source' | 'replid' | 'nextReplOffset' | 'dbnum' | 'shards'>,
    phase: CheckpointPhase,
  ): Promise<void> {
    if (this.isDry) return
    const marks = this.#snapshotWriter?.marks
    await this.streamWriter!.writeCheckpoint(
      {
        source: checkpoint.source,
        replid: checkpoint.replid,
        nextReplOffset: checkpoint.nextReplOffset,
        dbnum: checkpoint.dbnum,
        phase,
        shiftMs: this.expiry.shiftMs,
        targetWasEmpty: this.targetWasEmpty,
        owner: this.owner,
        epoch: this.#epoch,
        shards: checkpoint.shards,
      },
      // The load is over only where the target still has all of it.
      phase === 'stream' && marks !== undefined
        ? async (connection) => await marks.verify(connection)
        : undefined,
    )
  }

  /** Rejects with TargetError where the target has lost some of the snapshot at hand. */
  async proveSnapshot(): Promise<void> {
    const marks = this.#snapshotWriter?.marks
    if (marks === undefined || this.isDry) return
    await this.streamWriter!.withConnection(async (connection) => await marks.verify(connection))
  }

  /** Nothing was left out, failed, or called otherwise: what was sent makes the same in the target. */
  get isCopy(): boolean {
    const { mapDb, rewriteKey, transform } = this.options
    const isChanged = [mapDb, rewriteKey, transform].some((each) => each !== undefined)
    const { totals, commands } = this.ledger
    const isWhole = this.ledger.isComplete && totals.skipped === 0 && commands.skipped === 0
    return isWhole && !isChanged && !this.isDry && this.targetWasEmpty
  }

  /** Where the keys of a snapshot go. */
  async openSnapshot(replaceOwn: boolean): Promise<KeyTarget> {
    const name =
      this.streamWriter === undefined
        ? `rrep-${this.owner}`
        : `rrep-${shortHash(this.checkpointKey)}`
    const writer = new SnapshotWriter({
      settings: this.options.target,
      clientName: name,
      inputBytes: LARGE_PIECE_BYTES,
      lanes: this.isDry ? 1 : (this.options.connections ?? DEFAULT_CONNECTIONS),
      retries: this.retries,
      onConflict: replaceOwn ? 'replace' : this.onConflict,
      targetWasEmpty: this.targetWasEmpty,
      importSource: this.expiry.isImportMode,
      runId: this.facts.runId,
      checkpointKey: this.checkpointKey,
      owner: this.owner,
      ledger: this.ledger,
      isDry: this.isDry,
      rate: this.#rate,
      signal: this.options.signal,
      onReconnect: (error) =>
        this.event({ event: 'link-lost', side: 'target', message: error.message }),
    })
    this.#snapshotWriter = writer
    await writer.open()
    return writer
  }

  /** From the version that a snapshot names: servers from 7.0 on never send scripts. */
  noteSource(version: string): void {
    const major = Number.parseInt(version, 10)
    if (this.rules !== undefined && major >= 7) this.rules.refuseScripts = true
  }

  /**
   * The run breaks off: what was sent is waited for a little, what is then not known is counted so,
   * and the target is asked what it holds.
   */
  async settle(error: unknown): Promise<void> {
    const timeoutMs = error instanceof AbortedError ? ABORT_SETTLE_MS : SETTLE_MS
    await this.#snapshotWriter?.settle(timeoutMs)
    this.ledger.breakOff()
    await this.lookAtTarget(timeoutMs)
  }

  /** What the target holds at the end, and whether it has thrown anything out. */
  async lookAtTarget(timeoutMs: number): Promise<void> {
    const facts = this.#facts
    if (facts === undefined || this.isDry) return
    const end = await targetEnd({ ...this.options.target, timeoutMs })
    if (end === undefined) return
    const restarted = end.runId !== facts.runId
    this.ledger.target = {
      keys: end.keys,
      evicted: Math.max(0, end.evicted - (restarted ? 0 : facts.evictedKeys)),
      policy: end.policy,
    }
  }

  close(): void {
    this.#snapshotWriter?.close()
    this.streamWriter?.close()
  }

  /** The snapshot is in, and the checkpoint says so where there is one: its connections and what
   * proves it are not needed any more. */
  async endSnapshot(): Promise<void> {
    await this.#snapshotWriter?.removeMarks()
    this.dropSnapshot()
  }

  dropSnapshot(): void {
    this.#snapshotWriter?.close()
    this.#snapshotWriter = undefined
  }

  get onConflict(): OnConflict {
    return this.options.onConflict ?? 'fail'
  }

  async #probe(): Promise<TargetFacts> {
    for (let attempt = 1; ; attempt += 1) {
      this.checkAborted()
      try {
        return await probeTarget(this.options.target, this.options.signal)
      } catch (error) {
        const passes =
          (error instanceof LinkError && error.retriable) ||
          (error instanceof Error && /LOADING|BUSY/.test(error.message))
        if (!passes || attempt > this.retries) throw error
        await sleep(backoffMs(attempt), this.options.signal)
      }
    }
  }

  /** Our own key is nobody's conflict. */
  #countOutCheckpoint(): void {
    const keys = this.facts.keysByDb as Map<number, number>
    const count = keys.get(0)
    if (count === 1) keys.delete(0)
    else if (count !== undefined) keys.set(0, count - 1)
  }
}

function keysIn(facts: TargetFacts): number {
  let keys = 0
  for (const count of facts.keysByDb.values()) keys += count
  return keys
}
