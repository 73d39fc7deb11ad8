/** The target of several streams: with what it is sent goes how far all of them are. */
import type { CommandDecoder } from '../../../../resp/decoder.js'
import type { SlotRanges } from '../../../../topology/cluster-nodes.js'
import type { CheckpointPhase } from '../../../../target/checkpoint.js'
import type { ReplaySession } from '../../session.js'
import { LibraryWatch } from './library-watch.js'
import type { DeletedBy, MergeSink } from './merge-sink.js'
import type { ShardLane } from '../shard-lane.js'
import { firstWanted, formatPoint, rangesOfSet } from '../shard-point.js'

/** What was sent: the count behind it, and where each shard is then. */
interface Sent {
  readonly count: number
  readonly at: ReadonlyMap<string, number>
  /** From there on something is still wanted. */
  readonly wanted: ReadonlyMap<string, number>
}

export abstract class TargetSink implements MergeSink {
  readonly session: ReplaySession
  readonly lanes: readonly ShardLane[]
  readonly #owners: Int16Array
  readonly #source: string
  /** Bytes of all streams together: what the checkpoint counts. */
  protected count = 0
  /** Oldest first: what may be asked for again, and what is not confirmed. */
  #sent: Sent[] = []
  readonly #libraries = new LibraryWatch()

  /** `owners`: by slot, the number of the lane whose writes were applied last. */
  constructor(
    session: ReplaySession,
    source: string,
    { lanes, owners }: { lanes: readonly ShardLane[]; owners: Int16Array },
  ) {
    this.session = session
    this.#source = source
    this.lanes = lanes
    this.#owners = owners
  }

  abstract deleteSlots(slots: SlotRanges, by?: DeletedBy): Promise<void>

  /** After a start, or where the target was thrown back. */
  startAt(count: number): void {
    this.count = count
    this.#sent = [...this.#sent.filter((each) => each.count < count), this.#here()]
    this.session.applier!.startAt(count, 0)
  }

  apply(lane: ShardLane, command: CommandDecoder, db: number, end: number): void {
    const told = this.#libraries.asTold(command)
    if (told === undefined) return
    this.session.applier!.db = db
    this.session.applier!.apply(told, this.stampOf(lane, end))
  }

  /** Which command it is: to the target, if it is to know. */
  protected abstract stampOf(lane: ShardLane, end: number): number

  endUnit(_lane: ShardLane, bytes: number): void {
    this.count += bytes
    this.session.streamWriter!.current.nextReplOffset = this.count
  }

  get isFull(): boolean {
    return this.session.streamWriter!.isFull
  }

  drain(): Promise<void> | undefined {
    if (this.isFull || this.session.isDry) this.seal()
    return this.session.streamWriter!.drain()
  }

  /** What was applied is sent, and with it how far all are. */
  seal(): void {
    const writer = this.session.streamWriter!
    // What only moved on is told, too.
    this.count += 1
    writer.current.nextReplOffset = this.count
    writer.current.shards = this.#texts()
    this.#sent.push(this.#here())
    this.session.applier!.seal()
  }

  get hasUnsent(): boolean {
    return this.session.streamWriter!.current.frameCount > 0
  }

  get isIdle(): boolean {
    return this.session.streamWriter!.isIdle
  }

  async progress(): Promise<void> {
    await this.session.streamWriter!.progress()
  }

  /** The next byte of the shard that is not confirmed. */
  confirmed(lane: ShardLane): number {
    const { appliedReplOffset, keptReplOffset } = this.session.streamWriter!
    const kept = this.#sent.findLastIndex(({ count }) => count <= keptReplOffset)
    if (kept > 0) this.#sent.splice(0, kept)
    const last = this.#sent.findLast(({ count }) => count <= appliedReplOffset)
    return last?.at.get(lane.id) ?? lane.at
  }

  /** The next byte of the shard that may be asked for again. */
  kept(lane: ShardLane): number {
    return Math.min(this.confirmed(lane), this.#sent[0]?.wanted.get(lane.id) ?? Infinity)
  }

  /** Of a source that is no cluster; that one goes another way. */
  async flushAll(): Promise<void> {
    await this.save()
  }

  async save(): Promise<void> {
    await this.flush()
    if (!this.session.isDry) await this.write('stream')
  }

  async flush(): Promise<void> {
    this.seal()
    await this.session.streamWriter!.flush()
  }

  async write(phase: CheckpointPhase): Promise<void> {
    await this.session.writeCheckpoint(
      {
        source: this.#source,
        replid: '',
        nextReplOffset: this.count,
        dbnum: 0,
        shards: this.#texts(),
      },
      phase,
    )
  }

  note(what: string): void {
    this.session.ledger.note(what)
  }

  /** A key of ours is nobody else's. */
  protected isOurs(key: Buffer): boolean {
    const own = this.session.checkpointKey
    return key.length >= own.length && key.subarray(0, own.length).equals(own)
  }

  #texts(): ReadonlyMap<string, string> {
    return new Map(
      this.lanes.map((lane, index) => {
        const owns = rangesOfSet(this.#owners, index)
        return [lane.id, formatPoint({ ...lane.point(), owns })]
      }),
    )
  }

  #here(): Sent {
    const at = new Map(this.lanes.map((lane) => [lane.id, lane.at]))
    const wanted = this.lanes.map((lane) => {
      return [lane.id, firstWanted({ ...lane.point(), owns: undefined })] as const
    })
    return { count: this.count, at, wanted: new Map(wanted) }
  }
}
