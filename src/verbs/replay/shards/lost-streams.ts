/**
 * What a failover of the source lost is taken back: writes that came to us and not to the replica that
 * was promoted. Its stream goes on where the new master's begins; keys that have more than that in the
 * target are written anew, as they are there (live/repair.ts).
 */
import { Buffer } from 'node:buffer'
import { printable } from '../../../bytes/printable.js'
import { ProtocolError } from '../../../errors.js'
import type { LostStream } from '../../../replication/consumer.js'
import { CommandDecoder, RESP } from '../../../resp/decoder.js'
import { encodeCommand } from '../../../resp/encoder.js'
import { keySlot } from '../../../topology/key-slot.js'
import { collectKeys, KeySet } from '../live/lost-keys.js'
import type { ReplaySession } from '../session.js'
import type { MergeSink } from './sinks/merge-sink.js'
import type { ShardLane } from './shard-lane.js'
import type { ShardStream, ShardStreams } from './shard-streams.js'
import { SlotRepairs } from './slot-repairs.js'

/** Keys that are told by name. */
const NAMED_KEYS = 20

export interface LostStreamsOptions {
  session: ReplaySession
  streams: ShardStreams
  sink: MergeSink & { flush(): Promise<void> }
  owners: Int16Array
  lanes: readonly ShardLane[]
}

interface Wish {
  readonly stream: ShardStream
  readonly lost: LostStream
  readonly done: () => void
}

export class LostStreams {
  readonly #options: LostStreamsOptions
  readonly #wishes: Wish[] = []
  #isOver = false
  /** Snapshots are being loaded: nothing of the streams is in the target. */
  isLoading = false

  constructor(options: LostStreamsOptions) {
    this.#options = options
    for (const stream of options.streams.all) this.#goOn(stream)
  }

  /** Resolves when it is taken back: between two pieces of the streams. */
  async takeBack(stream: ShardStream, lost: LostStream): Promise<void> {
    if (this.#isOver) return
    if (this.isLoading || !this.#options.lanes.includes(stream.lane)) {
      stream.lane.spool.cutBack(lost.fromReplOffset)
      stream.barriers.cutBack(lost.fromReplOffset)
      return
    }
    await new Promise<void>((done) => this.#wishes.push({ stream, lost, done }))
  }

  get isAny(): boolean {
    const { lanes } = this.#options
    return this.#wishes.length > 0 || lanes.some(({ repair }) => repair !== undefined)
  }

  /** Nothing more is taken back. */
  end(): void {
    this.#isOver = true
    for (const { done } of this.#wishes.splice(0)) done()
  }

  /** To be called while nothing is being played. */
  async look(): Promise<void> {
    for (const { stream, lost, done } of this.#wishes.splice(0)) {
      await this.#cut(stream, lost)
      done()
    }
    for (const { lane, feed } of this.#options.streams.all) {
      const { repair } = lane
      if (repair === undefined) continue
      if (!repair.isReady) {
        if (feed?.isStreaming !== true) continue
        if (!(await repair.prepare(lane.at, lane.reader.db))) continue
      }
      if (repair.isDue(lane.at)) await this.#putRight(lane, repair)
    }
  }

  async #cut(stream: ShardStream, lost: LostStream): Promise<void> {
    const { sink, session, streams, lanes } = this.#options
    const { lane } = stream
    const { spool } = lane
    const { fromReplOffset, toReplOffset } = lost
    await sink.flush()
    const point = lane.point()
    const isBehind = lane.at <= fromReplOffset
    const keys = KeySet.of(spool.state.repair?.keys)
    const dbnum = lane.reader.db
    const { writes } = collectKeys(
      spool,
      { fromReplOffset, toReplOffset, dbnum },
      session.table,
      new KeySet(),
    )
    if (spool.firstReplOffset > fromReplOffset) throw notKnown(lost, 'it is not in the spool')
    if (!isBehind) {
      if (session.options.intoCluster !== undefined) throw notKnown(lost, 'the target is a cluster')
      const part = { fromReplOffset, toReplOffset: lane.at - 1, dbnum }
      const { problem } = collectKeys(spool, part, session.table, keys)
      if (problem !== undefined) throw notKnown(lost, `it holds ${problem}`)
      if (lane.held.size > 0) throw notKnown(lost, 'slots were on the move')
      if (keys.size > 0) spool.setRepair({ fromReplOffset, dbnum, keys: keys.kept })
    }
    spool.cutBack(fromReplOffset)
    for (const { barriers } of streams.all) barriers.clamp(lane.id, fromReplOffset - 1)
    stream.barriers.cutBack(fromReplOffset)
    for (const other of lanes) other.held.clamp(lane.id, fromReplOffset - 1)
    const next = Math.min(point.next, fromReplOffset)
    lane.startAt({ ...point, next, owns: undefined, held: isBehind ? point.held : [] })
    await sink.save()
    if (keys.size > 0) this.#begin(stream, keys)
    const names = [...keys]
      .slice(0, NAMED_KEYS)
      .map(([, name]) => printable(Buffer.from(name, 'latin1')))
    if (writes > 0) session.event({ event: 'writes-lost', ...lost, writes, keys: keys.size, names })
  }

  /** An earlier run had not put it right. */
  #goOn(stream: ShardStream): void {
    const { repair } = stream.lane.spool.state
    if (repair !== undefined) this.#begin(stream, KeySet.of(repair.keys))
  }

  #begin({ lane, server }: ShardStream, keys: KeySet): void {
    const { table, options } = this.#options.session
    const { spool } = lane
    lane.repair = new SlotRepairs(keys, { source: server, signal: options.signal, spool, table })
  }

  /** Each part of it can be done twice. What another shard has by now is that one's. */
  async #putRight(lane: ShardLane, repairs: SlotRepairs): Promise<void> {
    const { sink, owners, lanes, session } = this.#options
    const index = lanes.indexOf(lane)
    const decoder = new CommandDecoder({ lines: 'none' })
    for (const repair of repairs.take(lane.at)) {
      for (const { db, args } of repair.commands()) {
        if (owners[keySlot(Buffer.from(args[1]!))] !== index) continue
        const bytes = encodeCommand(...args)
        decoder.feed(bytes)
        if (decoder.next() === RESP.COMMAND) sink.apply(lane, decoder, db, lane.at)
        decoder.next()
        await sink.drain()
      }
    }
    sink.endUnit(lane, 0, lane.at)
    if (!repairs.isDone) return
    session.event({ event: 'repaired', keys: repairs.keyCount, replOffset: lane.at - 1 })
    lane.repair = undefined
    await sink.flush()
    lane.spool.setRepair(undefined)
  }
}

function notKnown(
  { replid, fromReplOffset, toReplOffset }: LostStream,
  why: string,
): ProtocolError {
  return new ProtocolError(
    'ERR_FULL_RESYNC_NEEDED',
    `a failover lost offsets ${fromReplOffset} to ${toReplOffset} of ${replid}, which were applied, and ` +
      `cannot be put right: ${why}`,
    {
      hint: '`emptyTarget` begins anew; `finishReplay()` keeps what is there',
      details: { replOffset: fromReplOffset },
    },
  )
}
