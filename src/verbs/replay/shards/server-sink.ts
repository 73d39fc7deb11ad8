/** One server as the target of several streams: each transaction says how far all of them are. */
import type { Buffer } from 'node:buffer'
import type { CommandDecoder } from '../../../resp/decoder.js'
import { CommandEncoder } from '../../../resp/encoder.js'
import { CommandDecoder as Decoder, RESP } from '../../../resp/decoder.js'
import { copyArg } from '../../../resp/command-args.js'
import { isArg, KeyPositions } from '../../../resp/command-table.js'
import { deleteKeys } from '../../../source/slot-keys.js'
import { slotSet } from '../../../topology/key-slot.js'
import type { SlotRanges } from '../../../topology/cluster-nodes.js'
import type { CheckpointPhase } from '../../../target/checkpoint.js'
import type { ReplaySession } from '../session.js'
import type { ShardLane } from './shard-lane.js'
import type { MergeSink } from './merge-sink.js'
import { formatPoint, rangesOfSet } from './shard-point.js'

export class ServerSink implements MergeSink {
  readonly #session: ReplaySession
  readonly #lanes: readonly ShardLane[]
  readonly #owners: Int16Array
  readonly #source: string
  /** Bytes of all streams together: what the checkpoint counts. */
  #count: number
  /** What was sent and is not confirmed: the count behind it, and where each shard is then. */
  readonly #sent: { count: number; at: ReadonlyMap<string, number> }[] = []
  #confirmed: ReadonlyMap<string, number> = new Map()
  readonly #libraries = new LibraryWatch()
  readonly #keys = new KeyPositions()

  /** `owners`: by slot, the number of the lane whose writes were applied last. */
  constructor(
    session: ReplaySession,
    source: string,
    { lanes, owners }: { lanes: readonly ShardLane[]; owners: Int16Array },
  ) {
    this.#session = session
    this.#source = source
    this.#lanes = lanes
    this.#owners = owners
    this.#count = 0
  }

  /** After a start, or where the target was thrown back. */
  startAt(count: number): void {
    this.#count = count
    this.#sent.length = 0
    this.#confirmed = this.#places()
    this.#session.applier!.startAt(count, 0)
  }

  apply(_lane: ShardLane, command: CommandDecoder, db: number): void {
    const told = this.#libraries.asTold(command)
    if (told === undefined) return
    const applier = this.#session.applier!
    applier.db = db
    applier.apply(told, this.#count)
  }

  endUnit(_lane: ShardLane, bytes: number): void {
    this.#count += bytes
    this.#session.streamWriter!.current.nextReplOffset = this.#count
  }

  get isFull(): boolean {
    return this.#session.streamWriter!.isFull
  }

  drain(): Promise<void> | undefined {
    if (this.isFull || this.#session.isDry) this.seal()
    return this.#session.streamWriter!.drain()
  }

  /** What was applied is sent, and with it how far all are. */
  seal(): void {
    const writer = this.#session.streamWriter!
    // What only moved on is told, too.
    this.#count += 1
    writer.current.nextReplOffset = this.#count
    writer.current.shards = this.#texts()
    this.#sent.push({ count: this.#count, at: this.#places() })
    this.#session.applier!.seal()
  }

  get hasUnsent(): boolean {
    return this.#session.streamWriter!.current.frameCount > 0
  }

  get isIdle(): boolean {
    return this.#session.streamWriter!.isIdle
  }

  async progress(): Promise<void> {
    await this.#session.streamWriter!.progress()
  }

  /** The next byte of the shard that is not confirmed. */
  confirmed(lane: ShardLane): number {
    const applied = this.#session.streamWriter!.appliedReplOffset
    while (this.#sent.length > 0 && this.#sent[0]!.count <= applied) {
      this.#confirmed = this.#sent.shift()!.at
    }
    return this.#confirmed.get(lane.id) ?? lane.at
  }

  deleteKeysOf(command: CommandDecoder, db: number): void {
    const { table, selection, mapping, facts, streamWriter } = this.#session
    const { bytes, args } = command
    const count = this.#keys.find(table.findOrAdd(bytes, args[0]!, args[1]!), command)
    const targetDb = mapping.db(db)
    if (!selection.db(db) || targetDb >= facts.databases) return
    const batch = streamWriter!.current
    for (let k = 0; k < count; k += 1) {
      const i = this.#keys.positions[k]!
      const [start, end] = [args[2 * i]!, args[2 * i + 1]!]
      if (!selection.name(bytes, start, end)) continue
      batch.select(targetDb)
      batch.beginFrame()
      batch.out
        .begin(2)
        .ascii('DEL')
        .bulk(mapping.key(bytes, start, end))
    }
  }

  async deleteSlots(slots: SlotRanges, db?: number): Promise<void> {
    const session = this.#session
    this.seal()
    await session.streamWriter!.flush()
    if (!session.isDry) {
      const gone = slotSet(slots)
      const { checkpointKey: own, mapping, selection, options } = session
      const targetDb = db === undefined ? undefined : mapping.db(db)
      const isGone = (key: Buffer, slot: number, dbnum: number): boolean =>
        gone[slot] === 1 &&
        (targetDb ?? dbnum) === dbnum &&
        selection.name(key, 0, key.length) &&
        !isOurs(key, own)
      await deleteKeys(options.target, isGone, options.signal)
    }
    await this.save()
  }

  /** Of a source that is no cluster; that one goes another way. */
  async flushAll(): Promise<void> {
    await this.save()
  }

  async save(): Promise<void> {
    await this.flush()
    if (!this.#session.isDry) await this.write('stream')
  }

  async flush(): Promise<void> {
    this.seal()
    await this.#session.streamWriter!.flush()
  }

  async write(phase: CheckpointPhase): Promise<void> {
    await this.#session.writeCheckpoint(
      {
        source: this.#source,
        replid: '',
        nextReplOffset: this.#count,
        dbnum: 0,
        shards: this.#texts(),
      },
      phase,
    )
  }

  note(what: string): void {
    this.#session.ledger.note(what)
  }

  #texts(): ReadonlyMap<string, string> {
    return new Map(
      this.#lanes.map((lane, index) => {
        const owns = rangesOfSet(this.#owners, index)
        return [lane.id, formatPoint({ ...lane.point(), owns })]
      }),
    )
  }

  #places(): ReadonlyMap<string, number> {
    return new Map(this.#lanes.map((lane) => [lane.id, lane.at]))
  }
}

function isOurs(key: Buffer, own: Buffer): boolean {
  return key.length >= own.length && key.subarray(0, own.length).equals(own)
}

/** Each shard says of its functions what the others say of theirs, and of keys that came what is only so
 * for a key that is not there. */
export class LibraryWatch {
  readonly #deleted = new Set<string>()
  readonly #out = new CommandEncoder(1 << 12)
  readonly #again = new Decoder({ lines: 'none' })

  /** Undefined: another shard has said it already. */
  asTold(command: CommandDecoder): CommandDecoder | undefined {
    if (isArg(command, 0, 'RESTORE-ASKING')) return this.#withReplace(command, 4, command.argc)
    if (!isArg(command, 0, 'FUNCTION') || command.argc < 2) return command
    if (isArg(command, 1, 'LOAD') && command.argc > 2) {
      this.#deleted.clear()
      return this.#withReplace(command, 2, 2)
    }
    if (isArg(command, 1, 'DELETE') && command.argc > 2) {
      const name = command.arg(2).toString('latin1')
      if (this.#deleted.has(name)) return undefined
      this.#deleted.add(name)
      return command
    }
    this.#deleted.clear()
    return command
  }

  /** @param from where the word may stand already; `at`: where it goes */
  #withReplace(command: CommandDecoder, from: number, at: number): CommandDecoder {
    for (let i = from; i < command.argc; i += 1) if (isArg(command, i, 'REPLACE')) return command
    const out = this.#out
    out.reset()
    out.begin(command.argc + 1)
    for (let i = 0; i < command.argc; i += 1) {
      if (i === at) out.ascii('REPLACE')
      copyArg(out, command, i)
    }
    if (at === command.argc) out.ascii('REPLACE')
    this.#again.reset()
    this.#again.feed(out.bytes, 0, out.length)
    return this.#again.next() === RESP.COMMAND ? this.#again : command
  }
}
