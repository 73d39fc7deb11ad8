/**
 * The one way of a snapshot into a target, wherever it comes from (a file, a preamble, a base, the
 * spool of a live source, a damaged dump) and whether it is written or only tried:
 *
 *   bytes ─▶ pieces ─▶ SnapshotLoader ─▶ KeyTarget ─▶ batches ─▶ connections ─▶ ledger
 *                       selection, mapping, transform;
 *                       then rows by kernels, or key by key
 *
 * Who opens one says what differs: whether keys may be our own, whether a stream follows, which keys
 * are damaged, what happens behind the RDB's end. Backpressure acts between two pieces.
 */
import type { Buffer } from 'node:buffer'
import { LARGE_PIECE_BYTES, PieceSize } from '../../bytes/piece-size.js'
import { allocateInputBuffer } from '../../kernels/kernel.js'
import { RdbParser } from '../../rdb/parser.js'
import { DEPTH } from '../../rdb/visitor.js'
import { inKernel } from '../../source/rdb-input.js'
import { SizeGate } from '../../source/size-gate.js'
import type { ByteInput } from '../../source/source.js'
import type { KeyTarget } from '../../target/key-target.js'
import { SnapshotLoader } from '../../target/load/snapshot-loader.js'
import { FunctionLoads } from './functions.js'
import type { Salvaged } from './options.js'
import type { ReplaySession } from './session.js'

/** What is read at once: one piece for the loader where values do not grow much. */
export const SNAPSHOT_READ_BYTES = LARGE_PIECE_BYTES

export interface SnapshotWishes {
  /** For messages; else as the input is called. */
  name?: string | undefined
  /** Keys that are there are of an earlier attempt. */
  replaceOwn: boolean
  streamFollows: boolean
  /** No checksum vouches for the values. */
  validate: boolean
  /** What lies behind damage is read, too; the keys that were found damaged are not written. */
  damage?: Salvaged
  /** Keys of other slots are not for here. By slot: 1 where it counts. Default: those of the target. */
  slots?: Uint8Array | undefined
}

export interface SnapshotRun {
  /** Told with the progress. */
  lag?: (() => { lagBytes: number; lagMs: number }) | undefined
  /** All keys are answered: the last word before the load counts as done, a checkpoint perhaps. */
  confirm?: (flow: SnapshotFlow) => Promise<void>
  /** Takes what stands behind the RDB in the same input; false: no more of it. */
  behind?: (bytes: Buffer, flow: SnapshotFlow) => Promise<boolean>
}

export class SnapshotFlow {
  /** Of the RDB, so far. */
  rdbBytes = 0
  readonly #session: ReplaySession
  readonly #input: ByteInput
  readonly #target: KeyTarget
  readonly #loader: SnapshotLoader
  readonly #functions: FunctionLoads

  /** Connects to the target. The input stays the caller's. */
  static async open(
    session: ReplaySession,
    input: ByteInput,
    wishes: SnapshotWishes,
  ): Promise<SnapshotFlow> {
    const target = await session.openSnapshot(wishes.replaceOwn)
    return new SnapshotFlow(session, input, target, wishes)
  }

  private constructor(
    session: ReplaySession,
    input: ByteInput,
    target: KeyTarget,
    wishes: SnapshotWishes,
  ) {
    this.#session = session
    this.#input = input
    this.#target = target
    this.#loader = makeLoader(session, target, input.name, wishes)
    this.#functions = new FunctionLoads(session)
  }

  /** The db that the source's own master had selected last. */
  get replDb(): number {
    return this.#loader.replDb
  }

  /** Of who wrote it, as far as is known. */
  get sourceVersion(): string {
    return this.#loader.sourceVersion
  }

  /** Reads the input to its end, or until `behind` wants no more. */
  async run({ lag, confirm, behind }: SnapshotRun = {}): Promise<void> {
    const session = this.#session
    const input = this.#input
    const target = this.#target
    const loader = this.#loader
    // Kernels of the target work on what was read in place.
    const buffer =
      target.kernel?.allocateInput(SNAPSHOT_READ_BYTES) ?? allocateInputBuffer(SNAPSHOT_READ_BYTES)
    const pieces = new PieceSize(target.commands.out)
    let isOver = false as boolean
    const end = async (): Promise<void> => {
      isOver = true
      await this.#end(confirm)
    }
    await input.pump(
      async (bytes) => {
        const chunk = inKernel(bytes, buffer)
        let at = 0
        while (at < chunk.length && !isOver) {
          const piece = chunk.subarray(at, at + pieces.bytes)
          const taken = loader.push(piece)
          pieces.loaded(taken)
          this.rdbBytes += taken
          at += taken
          if (loader.functions.length > 0 || loader.scripts.length > 0) await this.#loadFunctions()
          const drained = target.drain()
          if (drained !== undefined) await drained
          session.progress({
            phase: 'load',
            done: input.consumedBytes,
            total: input.sizeBytes,
            unit: 'bytes',
            ...lag?.(),
          })
          if (taken < piece.length) await end()
        }
        return at < chunk.length ? await behind?.(chunk.subarray(at), this) : undefined
      },
      { signal: session.options.signal, buffer },
    )
    if (!isOver) await end()
  }

  async #end(confirm: SnapshotRun['confirm']): Promise<void> {
    const session = this.#session
    this.#loader.parser.end()
    session.noteSource(this.#loader.sourceVersion)
    await this.#loadFunctions()
    await this.#target.flush()
    await confirm?.(this)
    await session.endSnapshot()
    session.event({ event: 'loaded', keys: session.ledger.totals.written })
  }

  /** What was met of functions and scripts goes in front of the keys that follow. */
  async #loadFunctions(): Promise<void> {
    await this.#functions.load(this.#loader)
    if (this.#loader.movedFields) this.#session.expiry.fieldsMoved = true
  }
}

/**
 * A snapshot that the target has already: read only for where its RDB ends, and which server wrote
 * it. What stands behind it goes to `behind`. Resolves to the bytes of the RDB.
 */
export async function skipSnapshot(
  session: ReplaySession,
  input: ByteInput,
  behind: (bytes: Buffer, rdbBytes: number) => Promise<boolean>,
): Promise<number> {
  let version = ''
  let rdbBytes = 0
  let isOver = false as boolean
  const parser = new RdbParser(
    {
      key: () => DEPTH.SKIP,
      aux: (name, value) => {
        const field = name.bytes.toString('latin1', name.start, name.end)
        if (field !== 'redis-ver' && field !== 'valkey-ver') return
        version = value.bytes.toString('latin1', value.start, value.end)
      },
    },
    { file: input.name, checksum: 'verify', strict: false },
  )
  const end = (): void => {
    isOver = true
    parser.end()
    session.noteSource(version)
  }
  await input.pump(
    async (chunk) => {
      const taken = isOver ? 0 : parser.push(chunk)
      rdbBytes += taken
      session.progress({
        phase: 'load',
        done: input.consumedBytes,
        total: input.sizeBytes,
        unit: 'bytes',
      })
      if (taken === chunk.length) return undefined
      if (!isOver) end()
      return await behind(chunk.subarray(taken), rdbBytes)
    },
    { signal: session.options.signal, buffer: allocateInputBuffer(SNAPSHOT_READ_BYTES) },
  )
  if (!isOver) end()
  return rdbBytes
}

function makeLoader(
  session: ReplaySession,
  writer: KeyTarget,
  inputName: string,
  { name = inputName, replaceOwn, streamFollows, validate, damage, slots }: SnapshotWishes,
): SnapshotLoader {
  const { facts, options } = session
  const minSizeBytes = options.filter?.minSizeBytes
  return new SnapshotLoader({
    file: name,
    // Before a target is emptied the source was looked through already.
    validate: validate && !session.isToBeEmptied,
    damagedFrom: damage?.keysFrom,
    target: facts.capabilities,
    writer,
    restore: options.restore ?? 'auto',
    onConflict: replaceOwn ? 'replace' : session.onConflict,
    keysByDb: session.targetWasEmpty ? new Map() : facts.keysByDb,
    databases: facts.databases,
    hasModule: () => facts.modules === undefined || facts.modules.length > 0,
    selection: session.selection,
    mapping: session.mapping,
    transform: options.transform,
    ledger: session.ledger,
    shiftMs: streamFollows ? session.expiry.shiftMs : 0,
    keepExpired: streamFollows,
    checkpointKey: session.streamWriter === undefined ? undefined : session.checkpointKey,
    maxPayloadBytes: options.maxPayloadBytes,
    slots: restricted(slots ?? options.shard?.slots),
    gate:
      minSizeBytes === undefined
        ? undefined
        : (inner, skipped) => new SizeGate(inner, minSizeBytes, skipped),
  })
}

/** Where all count, nobody need look. */
function restricted(slots: Uint8Array | undefined): Uint8Array | undefined {
  return slots?.includes(0) === true ? slots : undefined
}
