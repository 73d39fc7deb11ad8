/**
 * The streams of all shards of a cluster as one, in an order in which they can be applied to one key space.
 * Each is read as it comes. What orders them is the barrier: where keys of a slot arrive in B, what B says
 * of that slot waits until A, which had it, is applied up to where it was then. Other slots go on.
 *
 *   classic     RESTORE-ASKING waits for A's DEL of the key
 *   Redis 8.4+  what came with the task is A's own writes a second time: skipped until it is completed,
 *               and what follows waits for A
 *   Valkey 9+   A's clean-up cannot be told from its clients' deletes. So what A had of the slots is
 *               deleted at the barrier, and what came with the job applied in its place; what A says of
 *               them behind that does not count
 *
 * A key that is new in B while its slot comes key by key has no sign. So where B writes to a slot that is
 * not its own yet, or of which others may have a part, that is an arrival, too.
 *
 * What waits stays in the spool, and is read again once it may be applied.
 */
import { isArg, type CommandTable } from '../../../resp/command-table.js'
import type { SlotRanges } from '../../../topology/cluster-nodes.js'
import { SLOT_COUNT } from '../../../topology/cluster-nodes.js'
import type { SlotSign } from '../../../topology/slot-signs.js'
import type { Needs } from './barriers.js'
import type { MergeSink } from './sinks/merge-sink.js'
import { OPEN, type ShardLane } from './shard-lane.js'
import { asRanges, slotsIn } from './shard-point.js'
import { ShardRelease } from './shard-release.js'
import type { Hold, HoldKind } from './slot-holds.js'
import { OpenSlots } from './open-slots.js'
import { isPast, SlotOrder, type SettledOwner } from './slot-order.js'
import { UNIT, type UnitReader } from './unit-reader.js'
import { isDeletion, isFlush, UnitSlots } from './unit-slots.js'

/** So much of one shard is read before the next has its turn. */
const TURN_BYTES = 128 << 10

export interface MergeOptions {
  sink: MergeSink
  table: CommandTable
  /** By slot, whose it is at first. */
  owners: Int16Array
  lanes: ShardLane[]
  /** What the cluster says of them now. Left out: of a source that is no cluster. */
  settledOwner?: SettledOwner
}

export class ShardMerge {
  readonly lanes: ShardLane[]
  /** Slots that came key by key. */
  readonly openSlots: OpenSlots
  /** By slot: the number of the shard whose writes were applied last. */
  readonly owners: Int16Array
  readonly #sink: MergeSink
  readonly #order: SlotOrder
  readonly #unitSlots: UnitSlots
  readonly #release: ShardRelease
  #work: (() => Promise<void>) | undefined

  constructor({ sink, table, owners, lanes, settledOwner = () => undefined }: MergeOptions) {
    this.#sink = sink
    this.#unitSlots = new UnitSlots(table)
    this.owners = owners
    this.lanes = lanes
    this.#order = new SlotOrder(lanes, owners, settledOwner)
    this.openSlots = new OpenSlots(lanes, settledOwner)
    this.#release = new ShardRelease({
      ...{ lanes, owners, sink, order: this.#order },
      unitSlots: this.#unitSlots,
      deliver: (...unit) => this.#deliver(...unit),
    })
  }

  /** Where nothing moves: these slots are its own, and no others. */
  own(id: string, slots: SlotRanges): void {
    const index = this.lanes.findIndex((each) => each.id === id)
    const lane = this.lanes[index]
    if (lane === undefined) return
    lane.gone.fill(1)
    for (const slot of slotsIn(slots)) {
      this.owners[slot] = index
      for (const each of this.lanes) {
        each.gone[slot] = each === lane ? 0 : 1
        each.open[slot] = OPEN.NO
      }
    }
  }

  /** All shards are read up to there. Those that are not played do not count. */
  isRead(needs: Needs): boolean {
    return this.lanes.every((lane) => isPast(lane) || lane.at > (needs[lane.id] ?? -1))
  }

  /** A shard that comes, with its state of these slots, of when the others were there. */
  join(joining: ShardLane, slots: SlotRanges, needs: Needs): void {
    for (const lane of this.lanes) {
      for (const slot of slotsIn(slots)) lane.held.dropThrough(slot, needs[lane.id] ?? -1)
    }
    this.lanes.push(joining)
    this.own(joining.id, slots)
  }

  /** Plays what there is for a while. True: something was done. */
  async turn(): Promise<boolean> {
    let hasMoved = false
    for (const lane of this.lanes) {
      const before = lane.reader.position
      await this.#read(lane)
      if (lane.reader.position !== before) hasMoved = true
      const ready = this.#ready(lane)
      if (ready.length === 0) continue
      hasMoved = true
      await this.#release.run(lane, ready)
    }
    if (hasMoved || !this.hasHeld || this.#sink.isFull) return hasMoved
    for (const [lane, slot] of this.#order.turns()) {
      hasMoved = true
      await this.#release.run(lane, [slot])
    }
    return hasMoved
  }

  get hasHeld(): boolean {
    return this.lanes.some((lane) => lane.held.size > 0)
  }

  async #read(lane: ShardLane): Promise<void> {
    const { reader } = lane
    const until = reader.position + TURN_BYTES
    while (reader.position < until && !this.#sink.isFull && !isPaused(lane)) {
      if (reader.next() === UNIT.NONE) break
      if (lane.marks.length > 0) this.openSlots.pass(lane, reader.start)
      this.#unit(lane)
      const work = this.#work
      if (work === undefined) continue
      this.#work = undefined
      lane.isAtWork = true
      await work()
      lane.isAtWork = false
    }
    await this.#sink.drain()
  }

  #unit(lane: ShardLane): void {
    const { reader } = lane
    const { command } = reader
    if (reader.kind === UNIT.COMMAND) {
      if (isFlush(command)) {
        this.#flushed(lane)
        return
      }
      const sign = lane.barriers === undefined ? undefined : lane.signs.read(command)
      if (sign !== undefined) {
        this.#sign(lane, sign)
        if (sign.kind !== 'key') return
      }
    }
    if (lane.barriers === undefined) this.#deliver(lane, reader)
    else this.#ordered(lane)
  }

  #ordered(lane: ShardLane): void {
    const { reader } = lane
    const slots = this.#unitSlots.of(reader)
    this.#arrivedUnsaid(lane, slots)
    let hold: Hold | undefined
    if (lane.held.size > 0) for (const slot of slots) hold ??= lane.held.last(slot)
    if (hold === undefined) {
      if (this.#unitSlots.hasFlush) this.#work = async () => await this.#flushInside(lane)
      else this.#deliver(lane, reader)
      return
    }
    // It waits whole, and what follows on its other slots with it.
    const { start: from, unitDb: db } = reader
    for (const slot of slots) {
      if (lane.held.has(slot) || lane.isDone(slot, from)) continue
      const arrival = hold.arrival < 0 ? from : hold.arrival
      const { fromNode } = hold
      lane.held.append(slot, { from, db, how: 'key', arrival, fromNode, wasGone: false })
    }
  }

  /** Writes to slots of which nothing said that they came. */
  #arrivedUnsaid(lane: ShardLane, slots: ReadonlySet<number>): void {
    for (const slot of slots) {
      if (lane.gone[slot] === 0 && lane.open[slot] === OPEN.NO) continue
      const last = lane.held.last(slot)
      // Atomically: it is all here, or nothing yet.
      if (last?.how === 'task' || last?.how === 'job') continue
      if (lane.isDone(slot, lane.reader.start)) continue
      if (lane.gone[slot] === 1 && last === undefined && this.#onlyDeletes(lane.reader, slot)) {
        continue
      }
      this.#arrived(lane, slot)
    }
  }

  /** What is left of a slot in a shard that does not own it is deleted there, and was never the slot's. */
  #onlyDeletes(reader: UnitReader, slot: number): boolean {
    let isSo = true
    reader.each((command) => {
      if (isDeletion(command) || this.#unitSlots.first(command) !== slot) return
      isSo = false
    })
    return isSo
  }

  #sign(lane: ShardLane, sign: SlotSign): void {
    const { reader } = lane
    const { start: at, unitDb: db } = reader
    const isJob = isArg(reader.command, 2, 'ESTABLISH') || isArg(reader.command, 2, 'FINISH')
    const how = isJob ? 'job' : 'task'
    const { held } = lane
    const slots = slotsIn(sign.slots).filter((slot) => !lane.isDone(slot, at))
    switch (sign.kind) {
      case 'deleted':
        // Of Redis' tasks: the new owner has them, or nobody lost them.
        if (isArg(reader.command, 0, 'TRIMSLOTS')) return
        // What waits is deleted when its turn comes.
        this.#deleteLater(
          lane,
          slots.filter((slot) => !held.has(slot) && lane.gone[slot] === 0),
        )
        return
      case 'coming':
        for (const slot of slots) {
          const last = held.last(slot)
          if (last !== undefined && last.arrival < 0) last.scanFrom = last.windowFrom = at
          else {
            const wasGone = lane.gone[slot] === 1
            held.append(slot, { from: at, db, how, arrival: -1, fromNode: sign.from, wasGone })
          }
        }
        return
      case 'failed':
        for (const slot of slots) held.fail(slot, at)
        return
      case 'slots':
        for (const slot of slots) this.#arrivedWhole(lane, slot, how, sign.from)
        return
      case 'key':
        for (const slot of slots) {
          lane.open[slot] = OPEN.NO
          this.#arrived(lane, slot)
        }
    }
  }

  #arrived(lane: ShardLane, slot: number): void {
    const { start: at, unitDb: db } = lane.reader
    const wasGone = lane.gone[slot] === 1
    const last = lane.held.last(slot)
    const barriers = lane.barriers!
    this.#mayBeOpen(lane, slot)
    const isSame =
      last?.how === 'key' && barriers.groupAt(last.arrival) === barriers.groupAt(at) && !wasGone
    if (!isSame) {
      lane.held.append(slot, { from: at, db, how: 'key', arrival: at, wasGone })
      return
    }
    last.arrival = at
    last.needs = undefined
  }

  #mayBeOpen(lane: ShardLane, slot: number): void {
    lane.open[slot] = lane.open[slot] === OPEN.ONCE_MORE ? OPEN.NO : OPEN.YES
    lane.gone[slot] = 0
    this.openSlots.noteMoved(slot)
  }

  #arrivedWhole(lane: ShardLane, slot: number, how: HoldKind, fromNode: string): void {
    const { start: at, unitDb: db } = lane.reader
    const wasGone = lane.gone[slot] === 1
    lane.gone[slot] = 0
    lane.open[slot] = OPEN.NO
    const last = lane.held.last(slot)
    if (last === undefined || last.arrival >= 0) {
      lane.held.append(slot, { from: at, db, how, arrival: at, fromNode, wasGone })
      return
    }
    last.arrival = at
    if (how === 'task') last.scanFrom = at
    last.fromNode = fromNode
  }

  /** FLUSHALL of a shard is of its own slots. */
  #flushed(lane: ShardLane): void {
    const { reader } = lane
    const { command } = reader
    if (lane.barriers === undefined) {
      if (lane.isDone(-1, reader.start)) return
      this.#work = async () => await this.#sink.flushAll(lane, command, reader.db)
      return
    }
    this.#deleteLater(
      lane,
      this.#ownSlots(lane),
      isArg(command, 0, 'FLUSHDB') ? reader.db : undefined,
    )
  }

  #ownSlots(lane: ShardLane): number[] {
    const index = this.lanes.indexOf(lane)
    const own: number[] = []
    for (let slot = 0; slot < SLOT_COUNT; slot += 1) {
      if (this.owners[slot] !== index || lane.gone[slot] === 1 || lane.held.has(slot)) continue
      if (!lane.isDone(slot, lane.reader.start)) own.push(slot)
    }
    return own
  }

  #deleteLater(lane: ShardLane, slots: readonly number[], db?: number): void {
    if (slots.length === 0) return
    const at = lane.reader.start
    this.#work = async () =>
      await this.#sink.deleteSlots(asRanges(slots), { lane, at: () => at, db })
  }

  /** A transaction with FLUSHALL in it: nothing is left of what stands in front of that. */
  async #flushInside(lane: ShardLane): Promise<void> {
    const { start } = lane.reader
    await this.#sink.deleteSlots(asRanges(this.#ownSlots(lane)), { lane, at: () => start })
    this.#deliver(lane, lane.reader)
  }

  /** The unit at hand, without what was applied before or does not count. `only`: of these slots. */
  #deliver(lane: ShardLane, reader: UnitReader, only?: ReadonlySet<number>): void {
    const { start } = reader
    let skipped = 0
    if (this.#unitSlots.hasFlush && reader.kind === UNIT.TRANSACTION) {
      let index = 0
      reader.each((command) => {
        index += 1
        if (isFlush(command)) skipped = index
      })
    }
    reader.each((command, db) => {
      skipped -= 1
      if (skipped >= 0) return
      const slot = this.#unitSlots.first(command)
      if (slot < 0 && only !== undefined) return
      if (lane.isDone(slot, start)) return
      if (only === undefined && slot >= 0 && lane.gone[slot] === 1) {
        this.#sink.note('commands of slots that another shard has')
        return
      }
      if (only !== undefined && !only.has(slot)) return
      if (lane.repair?.leavesOut(command, db) === true) return
      this.#sink.apply(lane, command, db, reader.end)
    })
    this.#sink.endUnit(lane, reader.end - start, reader.end)
  }

  #ready(lane: ShardLane): number[] {
    const ready: number[] = []
    if (lane.held.size === 0 || this.#sink.isFull) return ready
    for (const [slot, hold] of lane.held.entries()) {
      if (this.#order.mayGo(lane, slot, hold)) ready.push(slot)
    }
    return ready
  }
}

/** Keys of it are being put right. */
function isPaused({ repair, at }: ShardLane): boolean {
  return repair !== undefined && (!repair.isReady || repair.isDue(at))
}
