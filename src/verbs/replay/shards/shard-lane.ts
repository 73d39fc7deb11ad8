/** One shard of a source while its stream is played: what of it was read, what waits, what has gone. */
import { SLOT_COUNT } from '../../../topology/cluster-nodes.js'
import { SlotSigns } from '../../../topology/slot-signs.js'
import type { StreamSpool } from '../live/stream-spool.js'
import type { Barriers } from './barriers.js'
import { firstWanted, rangesBy, type ShardPoint } from './shard-point.js'
import { UnitReader } from './unit-reader.js'

const READ_BYTES = 256 << 10
/** For what had to wait: little, and seldom. */
const AGAIN_BYTES = 64 << 10

/** Why commands on a slot are not applied yet. */
export interface Hold {
  /** They begin here. */
  readonly from: number
  /** They are applied from here on, once they may; what is in front of it is another's story. */
  scanFrom: number
  readonly db: number
  /** `key`: keys came by MIGRATE. `task`, `job`: all at once, as Redis and as Valkey do it. */
  how: 'key' | 'task' | 'job'
  /** Where the last of it arrived; -1: it is still coming. */
  arrival: number
  /** The node that had it; empty: not known. */
  fromNode: string
}

export interface LaneOptions {
  id: string
  spool: StreamSpool
  barriers: Barriers | undefined
  members: readonly string[]
}

export class ShardLane {
  readonly id: string
  readonly spool: StreamSpool
  /** Undefined: of a source that is no cluster. */
  readonly barriers: Barriers | undefined
  readonly reader: UnitReader
  readonly again: UnitReader
  members: readonly string[]
  signs = new SlotSigns()
  /** By slot. */
  readonly held = new Map<number, Hold>()
  readonly gone = new Uint8Array(SLOT_COUNT)
  /** These are being applied by `again`, up to where it is. */
  released: ReadonlySet<number> | undefined
  /** Its stream has ended for good: the shard is no more. */
  isOver = false
  /** What begins in front of it may have been applied: by slot, and by what has no key. */
  doneUntil = -1
  readonly done = new Float64Array(SLOT_COUNT)
  doneKeyless = -1
  /** The unit at hand must wait for what is held. */
  isStuck = false

  constructor({ id, spool, barriers, members }: LaneOptions) {
    this.id = id
    this.spool = spool
    this.barriers = barriers
    this.members = members
    this.reader = new UnitReader(spool, READ_BYTES)
    this.again = new UnitReader(spool, AGAIN_BYTES)
  }

  /** Goes on where an earlier run was. `appliedOf`: of a slot, the next byte that is not applied, where
   * it is known by itself; `from`: read from here on, if that is earlier. */
  startAt(
    point: ShardPoint,
    options: { appliedOf?: (slot: number) => number | undefined; from?: number } = {},
  ): void {
    const { appliedOf = () => undefined, from = Infinity } = options
    this.held.clear()
    this.gone.fill(0)
    this.released = undefined
    this.isStuck = false
    this.signs = new SlotSigns()
    for (const [first, last] of point.gone) this.gone.fill(1, first, last + 1)
    this.done.fill(point.next)
    for (const [first, last, at] of point.held) this.done.fill(at, first, last + 1)
    let start = Math.min(from, firstWanted(point))
    let doneUntil = point.next
    for (let slot = 0; slot < SLOT_COUNT; slot += 1) {
      const applied = appliedOf(slot)
      if (applied === undefined) continue
      this.done[slot] = applied
      start = Math.min(start, Math.max(applied, from === Infinity ? applied : from))
      doneUntil = Math.max(doneUntil, applied)
    }
    this.doneUntil = doneUntil
    this.doneKeyless = point.next
    this.reader.startAt(start, point.db)
  }

  isDone(slot: number, start: number): boolean {
    return start < this.doneUntil && start < (slot < 0 ? this.doneKeyless : this.done[slot]!)
  }

  /** What a checkpoint says of it now. */
  point(): ShardPoint {
    const { reader, held, gone, released, again } = this
    const waiting = new Map<number, number>()
    for (const [slot, hold] of held) waiting.set(slot, hold.from)
    for (const slot of released ?? []) waiting.set(slot, again.position)
    if (this.at < this.doneUntil) this.#addUndone(waiting)
    const away: number[] = []
    for (let slot = 0; slot < SLOT_COUNT; slot += 1) if (gone[slot] === 1) away.push(slot)
    return {
      replid: this.spool.state.replid,
      next: Math.max(this.at, this.doneUntil),
      db: reader.db,
      held: rangesBy(waiting.keys(), (slot) => waiting.get(slot)!),
      gone: rangesBy(away, () => 0).map(([first, last]) => [first, last] as const),
      members: this.members,
    }
  }

  /** While what an earlier run left open is caught up with. */
  #addUndone(waiting: Map<number, number>): void {
    const position = this.at
    for (let slot = 0; slot < SLOT_COUNT; slot += 1) {
      const from = Math.max(position, this.done[slot]!)
      if (from < this.doneUntil && !waiting.has(slot)) waiting.set(slot, from)
    }
  }

  /** Of the first byte that was not looked at. */
  get at(): number {
    return this.isStuck ? this.reader.start : this.reader.position
  }
}
