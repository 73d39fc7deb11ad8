/**
 * What every replay shares, whatever its source: the target and what is known of it, the ledger,
 * how expiry is held back, the checkpoint, and the end.
 */
import { ClusterTarget, noStream } from './cluster-target.js'
import { randomBytes } from 'node:crypto'
import { Buffer } from 'node:buffer'
import { AbortedError, LinkError, TargetError, UsageError, type RrepError } from '../../errors.js'
import { DEFAULT_RETRIES, type ServerSettings } from '../../net/server-settings.js'
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
import type { StreamTarget } from '../../target/stream/stream-target.js'
import { StreamWriter } from '../../target/stream/stream-writer.js'
import { ClusterStreamWriter } from '../../target/cluster/cluster-writer.js'
import { SlotTarget } from '../../target/cluster/slot-target.js'
import { removeMarksOf, type LoadMarks } from '../../target/load/load-marks.js'
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
import { mastersOf, type ClusterNode, type SlotRanges } from '../../topology/cluster-nodes.js'
import { readWholeCluster, settingsAt } from '../../topology/cluster.js'
import { hashTag, tagIn } from '../../topology/key-slot.js'
import type { ReplayEvent, ReplayCall, ReplayProgress } from './options.js'
import { refuseForStream } from './checks.js'
import { shortHash, streamClientName } from './client-names.js'
import { ExpiryHold } from './expiry-hold.js'
import { awayMs } from './into-cluster/away.js'
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
  streamWriter: StreamTarget | undefined
  /** The servers that the target consists of: of a cluster its masters. */
  targets: readonly ServerSettings[]
  /** In their order, when they were asked. */
  runIds: readonly (string | undefined)[] = []
  rules: StreamRules | undefined
  applier: CommandApplier | undefined
  readonly expiry: ExpiryHold
  targetWasEmpty = false
  /** Of the source, so far: as it tells progress. */
  readBytes = 0
  /** How many have taken over this replay, this process included. */
  #epoch = 1
  readonly #rate: RateLimiter | undefined
  /** By run_id. */
  readonly #evictedBefore = new Map<string, number>()
  #facts: TargetFacts | undefined
  #snapshotWriter: SnapshotWriter | SlotTarget | undefined
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
    this.targets = options.shard?.nodes.map(({ server }) => server) ?? [options.target]
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
    const { intoCluster, shard } = this.options
    let facts = await this.#probe()
    const isOne = intoCluster === undefined && shard === undefined
    if (!this.isDry && isOne && (await putLeftRight(this, facts))) facts = await this.#probe()
    if (facts.isReplica && !this.isDry) {
      throw new TargetError(
        'ERR_TARGET_REPLICA',
        `${facts.name} is a replica and takes no writes`,
        {
          hint: 'name its master',
        },
      )
    }
    if (facts.isCluster && shard === undefined && intoCluster === undefined)
      throw new ClusterTarget(facts.name)
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
    for (const server of await this.#findTargets()) {
      await flushTarget(server, this.options.signal)
    }
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
    // Which commands write, modules' own among them, the target knows best.
    this.table.learn(await this.patiently(async () => await commandRows(this.targets[0]!)))
    const writer = this.#makeWriter()
    this.streamWriter = writer
    await writer.open()
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
      hasOwnFamily: this.options.intoCluster !== undefined,
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
    if (writer instanceof StreamWriter) {
      await writer.withConnection(
        async (connection) => await removeMarksOf(connection, this.checkpointKey, found.owner),
      )
    }
    this.#countOutCheckpoint()
    return found
  }

  #makeWriter(): StreamTarget {
    if (this.isDry) return new DryStreamWriter(this.ledger)
    const { target, intoCluster } = this.options
    const options = {
      clientName: streamClientName(this.checkpointKey),
      checkpointKey: this.checkpointKey,
      // Turned on before, where the target has it.
      importSource: this.expiry.isImportMode,
      retries: this.retries,
      ledger: this.ledger,
      onReconnect: (error: RrepError) =>
        this.event({ event: 'link-lost', side: 'target', message: error.message }),
    }
    if (intoCluster === undefined) {
      // A stop by the user is a good end: what is in flight is waited for.
      return new StreamWriter({ ...options, settings: target, signal: undefined })
    }
    if (hashTag(this.checkpointKey) !== undefined) {
      throw new UsageError('the checkpoint key has a tag of its own, and each slot needs one', {
        hint: 'leave out the braces',
      })
    }
    return new ClusterStreamWriter({
      ...options,
      seeds: intoCluster,
      table: this.table,
      hasExpireTime: this.facts.capabilities.version >= 70000,
      onWarning: (message) => this.event({ event: 'warning', message }),
    })
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
    const marks = this.#marks
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
    const marks = this.#marks
    if (marks === undefined || this.isDry) return
    await this.streamWriter!.onEach(async (connection) => await marks.verify(connection))
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
    const { shard } = this.options
    const make = (settings: ServerSettings, checkpointKey: Buffer, index: number): SnapshotWriter =>
      new SnapshotWriter({
        settings,
        clientName: name,
        inputBytes: shard === undefined ? LARGE_PIECE_BYTES : 0,
        lanes: this.isDry ? 1 : (this.options.connections ?? DEFAULT_CONNECTIONS),
        retries: this.retries,
        onConflict: replaceOwn ? 'replace' : this.onConflict,
        targetWasEmpty: this.targetWasEmpty,
        importSource: this.expiry.isImportMode,
        runId: this.runIds[index],
        checkpointKey,
        owner: this.owner,
        ledger: this.ledger,
        isDry: this.isDry,
        rate: this.#rate,
        signal: this.options.signal,
        onReconnect: (error) =>
          this.event({ event: 'link-lost', side: 'target', message: error.message }),
      })
    const writer =
      shard === undefined
        ? make(this.options.target, this.checkpointKey, 0)
        : new SlotTarget({
            nodes: shard.nodes.map(({ server, slots }, index) => {
              const key = Buffer.from(`${this.checkpointKey.toString()}:{${tagIn(slots)}}`)
              return { slots, writer: make(server, key, index) }
            }),
            inputBytes: LARGE_PIECE_BYTES,
            mayLose: shard.mayLose,
          })
    this.#snapshotWriter = writer
    await writer.open()
    return writer
  }

  get #marks(): LoadMarks | undefined {
    return this.#snapshotWriter instanceof SnapshotWriter ? this.#snapshotWriter.marks : undefined
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
    if (this.options.intoCluster !== undefined) await this.#findTargets().catch(() => undefined)
    const ends = await Promise.all(
      this.targets.map(async (server) => await targetEnd({ ...server, timeoutMs })),
    )
    const sum = { keys: 0, evicted: 0, policy: ends[0]?.policy }
    for (const end of ends) {
      if (end === undefined) return
      const before = this.#evictedBefore.get(end.runId ?? '') ?? 0
      sum.keys += end.keys
      sum.evicted += Math.max(0, end.evicted - before)
    }
    this.ledger.target = sum
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
        return await this.#probeOnce()
      } catch (error) {
        const passes =
          (error instanceof LinkError && error.retriable) ||
          (error instanceof Error && /LOADING|BUSY/.test(error.message))
        if (!passes || attempt > this.retries) throw error
        await sleep(backoffMs(attempt), this.options.signal)
      }
    }
  }

  /** Of a cluster all that is in it, as one. */
  async #probeOnce(): Promise<TargetFacts> {
    const { signal } = this.options
    const servers = await this.#findTargets()
    const all = await Promise.all(servers.map(async (server) => await probeTarget(server, signal)))
    for (const { runId, evictedKeys } of all) this.#evictedBefore.set(runId ?? '', evictedKeys)
    this.runIds = all.map(({ runId }) => runId)
    const [first, ...others] = all
    if (others.length === 0) return first!
    const keysByDb = new Map(first!.keysByDb)
    for (const each of others) {
      for (const [db, keys] of each.keysByDb) keysByDb.set(db, (keysByDb.get(db) ?? 0) + keys)
    }
    const oldest = all.reduce((a, b) => (b.capabilities.version < a.capabilities.version ? b : a))
    const hasImportMode = all.every(({ importMode }) => importMode !== undefined)
    return { ...oldest, keysByDb, importMode: hasImportMode ? oldest.importMode : undefined }
  }

  /** What is asked of all servers of a cluster is asked again where one of them is replaced meanwhile. */
  async patiently<T>(work: () => Promise<T>): Promise<T> {
    const endMs = performance.now() + awayMs(this.retries)
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const passes = error instanceof LinkError && error.retriable
        if (!passes || this.options.intoCluster === undefined) throw error
        if (performance.now() > endMs) throw error
      }
      await sleep(PROGRESS_MS * 10, this.options.signal)
      await this.#findTargets()
    }
  }

  async #findTargets(): Promise<readonly ServerSettings[]> {
    await this.findNodes(this.options.signal)
    return this.targets
  }

  /** Who takes what is written now, and in a cluster who may after them. */
  async findNodes(signal?: AbortSignal): Promise<{
    readonly masters: readonly ServerSettings[]
    readonly replicas: readonly ServerSettings[]
  }> {
    const { intoCluster } = this.options
    if (intoCluster === undefined) return { masters: this.targets, replicas: [] }
    const now = await readWholeCluster(intoCluster, awayMs(this.retries), signal)
    const settings = ({ place }: ClusterNode): ServerSettings => settingsAt(now.via, place)
    const masters = (this.targets = mastersOf(now).map(settings))
    return { masters, replicas: now.nodes.filter(({ isMaster }) => !isMaster).map(settings) }
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
