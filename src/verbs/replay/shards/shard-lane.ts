/** One shard of a source while its stream is played: what of it was read, what waits, what is not its own. */
import { SLOT_COUNT } from '../../../topology/cluster-nodes.js'
import { SlotSigns } from '../../../topology/slot-signs.js'
import type { StreamSpool } from '../live/stream-spool.js'
import type { Barriers, Mark } from './barriers.js'
import { firstWanted, rangesBy, rangesOfSet, type ShardPoint } from './shard-point.js'
import { SlotHolds, type Hold } from './slot-holds.js'
import type { SlotRepairs } from './slot-repairs.js'
import { UnitReader } from './unit-reader.js'

const READ_BYTES = 256 << 10
/** For what had to wait: little, and seldom. */
const AGAIN_BYTES = 64 << 10

/** A slot that came key by key, of which others may still have some: what the shard writes there waits each
 * time, or, where that is over, once more. */
export const OPEN = { NO: 0, YES: 1, ONCE_MORE: 2 } as const

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
  readonly held = new SlotHolds()
  /** By slot, 1: where the reader is, another shard has it. What this one still deletes there does not
   * count; where it writes, the slot has arrived. */
  readonly gone = new Uint8Array(SLOT_COUNT)
  /** By slot, OPEN. */
  readonly open = new Uint8Array(SLOT_COUNT)
  /** From the byte behind these places on the slots are one shard's alone. */
  readonly marks: Mark[] = []
  /** These are being applied by `again`. */
  readonly released = new Map<number, Hold>()
  /** So far `again` has come; what it does first counts for nothing. */
  releasedTo = -1
  /** Keys of which a failover lost writes, until they are put right. */
  repair: SlotRepairs | undefined
  /** Its stream has ended for good: the shard is no more. */
  isOver = false
  /** What begins in front of it may have been applied: by slot, and by what has no key. */
  doneUntil = -1
  readonly done = new Float64Array(SLOT_COUNT)
  doneKeyless = -1
  /** The unit at hand is not done yet, though it was read. */
  isAtWork = false

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
    this.released.clear()
    this.isAtWork = false
    this.signs = new SlotSigns()
    fill(this.gone, point.gone)
    fill(this.open, point.open ?? [])
    this.marks.splice(0, Infinity, ...(this.barriers?.marks ?? []))
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

  /** What a checkpoint says of it now, without what all shards together know. */
  point(): Omit<ShardPoint, 'owns'> {
    const { reader, held, released } = this
    const waiting = new Map<number, number>()
    let first = this.at
    let { db } = this.isAtWork ? { db: reader.unitDb } : reader
    const gone = Uint8Array.from(this.gone)
    for (const [slot, hold] of held.entries()) {
      waiting.set(slot, hold.from)
      gone[slot] = hold.wasGone ? 1 : 0
      if (hold.from < first) ({ from: first, db } = hold)
    }
    for (const [slot, { from, scanFrom, wasGone, db: dbThere }] of released) {
      // What was not begun is begun anew, with all that tells of it.
      const isBegun = this.releasedTo > scanFrom
      gone[slot] = !isBegun && wasGone ? 1 : 0
      const wanted = Math.min(isBegun ? this.releasedTo : from, waiting.get(slot) ?? Infinity)
      waiting.set(slot, wanted)
      if (wanted >= first) continue
      first = wanted
      db = isBegun ? this.again.db : dbThere
    }
    if (this.at < this.doneUntil) this.#addUndone(waiting)
    return {
      replid: this.spool.state.replid,
      next: Math.max(this.at, this.doneUntil),
      db,
      held: rangesBy(waiting.keys(), (slot) => waiting.get(slot)!),
      gone: rangesOfSet(gone),
      open: rangesOfSet(this.open.map((each) => (each === OPEN.NO ? 0 : 1))),
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
    return this.isAtWork ? this.reader.start : this.reader.position
  }
}

function fill(set: Uint8Array, ranges: readonly (readonly [number, number])[]): void {
  set.fill(0)
  for (const [first, last] of ranges) set.fill(1, first, last + 1)
}
