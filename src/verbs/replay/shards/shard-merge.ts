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
 * What waits stays in the spool, and is read again once it may be applied.
 */
import { isArg, KeyPositions, type CommandTable } from '../../../resp/command-table.js'
import type { CommandDecoder } from '../../../resp/decoder.js'
import type { SlotRanges } from '../../../topology/cluster-nodes.js'
import { SLOT_COUNT } from '../../../topology/cluster-nodes.js'
import { keySlot } from '../../../topology/key-slot.js'
import type { SlotSign } from '../../../topology/slot-signs.js'
import type { Hold, ShardLane } from './shard-lane.js'
import { rangesBy } from './shard-point.js'
import { UNIT, type UnitReader } from './unit-reader.js'

/** So much of one shard is read before the next has its turn. */
const TURN_BYTES = 128 << 10

export interface MergeSink {
  /** One command of the unit at hand. */
  apply(lane: ShardLane, command: CommandDecoder, db: number): void
  /** The unit is whole; `end` is the first byte behind it. */
  endUnit(lane: ShardLane, bytes: number, end: number): void
  readonly isFull: boolean
  drain(): Promise<void> | undefined
  /** Deletes the keys of these slots, behind all that was applied, and keeps how far all are. */
  deleteSlots(slots: SlotRanges): Promise<void>
  /** Deletes everything: of a source that is no cluster. */
  flushAll(lane: ShardLane, command: CommandDecoder, db: number): Promise<void>
  /** Keeps how far all are. */
  save(): Promise<void>
  note(what: string): void
}

export interface MergeOptions {
  sink: MergeSink
  table: CommandTable
  /** By slot, whose it is at first. */
  owners: Int16Array
  lanes: ShardLane[]
}

export class ShardMerge {
  readonly lanes: ShardLane[]
  readonly #sink: MergeSink
  readonly #table: CommandTable
  /** By slot: the number of the shard whose writes were applied last. */
  readonly #owners: Int16Array
  readonly #keys = new KeyPositions()
  readonly #slots = new Set<number>()
  #work: (() => Promise<void>) | undefined

  constructor({ sink, table, owners, lanes }: MergeOptions) {
    this.#sink = sink
    this.#table = table
    this.#owners = owners
    this.lanes = lanes
  }

  /** Where nothing moves: whose these slots are. */
  own(id: string, slots: SlotRanges): void {
    const index = this.lanes.findIndex((lane) => lane.id === id)
    for (const [first, last] of slots) this.#owners.fill(index, first, last + 1)
  }

  /** Plays what there is for a while. True: something was done. */
  async turn(): Promise<boolean> {
    let hasMoved = false
    for (const lane of this.lanes) {
      const before = lane.reader.position
      await this.#read(lane)
      if (lane.reader.position !== before) hasMoved = true
      if (await this.#release(lane)) hasMoved = true
    }
    return hasMoved
  }

  get hasHeld(): boolean {
    return this.lanes.some((lane) => lane.held.size > 0 || lane.isStuck)
  }

  async #read(lane: ShardLane): Promise<void> {
    const { reader } = lane
    const until = reader.position + TURN_BYTES
    while (reader.position < until && !this.#sink.isFull) {
      if (!lane.isStuck && reader.next() === UNIT.NONE) return
      lane.isStuck = this.#unit(lane)
      if (lane.isStuck) return
      const work = this.#work
      if (work === undefined) continue
      this.#work = undefined
      await work()
    }
    await this.#sink.drain()
  }

  /** True: it must wait, and with it all behind it. */
  #unit(lane: ShardLane): boolean {
    const { reader } = lane
    if (lane.barriers === undefined) {
      this.#plain(lane)
      return false
    }
    if (reader.kind === UNIT.COMMAND) {
      const sign = lane.signs.read(reader.command)
      if (sign !== undefined && !this.#sign(lane, sign)) return true
      if (isArg(reader.command, 0, 'FLUSHALL') || isArg(reader.command, 0, 'FLUSHDB')) {
        return this.#flush(lane)
      }
      if (sign !== undefined && sign.kind !== 'key') return false
    }
    const slots = this.#slotsOf(reader)
    const isHeld = [...slots].some((slot) => lane.held.has(slot))
    if (!isHeld) {
      this.#deliver(lane, reader, undefined)
      return false
    }
    // It waits whole, and what follows on its other slots with it.
    let hold: Hold | undefined
    for (const slot of slots) hold ??= lane.held.get(slot)
    for (const slot of slots) {
      if (lane.held.has(slot) || lane.isDone(slot, reader.start)) continue
      lane.held.set(slot, { ...hold!, from: reader.start, scanFrom: reader.start, db: reader.db })
    }
    return false
  }

  /** Of a source that is no cluster. */
  #plain(lane: ShardLane): void {
    const { reader } = lane
    const { command } = reader
    const isFlush = isArg(command, 0, 'FLUSHALL') || isArg(command, 0, 'FLUSHDB')
    if (reader.kind === UNIT.COMMAND && isFlush) {
      if (lane.isDone(-1, reader.start)) return
      this.#work = async () => await this.#sink.flushAll(lane, command, reader.db)
      return
    }
    this.#deliver(lane, reader, undefined)
  }

  /** False: it must wait. */
  #sign(lane: ShardLane, sign: SlotSign): boolean {
    const { reader } = lane
    const at = reader.start
    const isTask = !isArg(reader.command, 2, 'ESTABLISH') && !isArg(reader.command, 2, 'FINISH')
    const slots = slotsIn(sign.slots).filter((slot) => !lane.isDone(slot, at))
    switch (sign.kind) {
      case 'deleted':
        // Of Redis' tasks: the new owner has them, or nobody lost them.
        if (isArg(reader.command, 0, 'TRIMSLOTS')) return true
        if (slots.some((slot) => lane.held.has(slot))) return false
        this.#deleteLater(slots.filter((slot) => lane.gone[slot] === 0))
        return true
      case 'coming':
        if (slots.some((slot) => isWaiting(lane.held.get(slot)))) return false
        for (const slot of slots) {
          const how = isTask ? 'task' : 'job'
          const hold = { from: at, scanFrom: at, db: reader.db, how, arrival: -1 } as const
          lane.held.set(slot, { ...hold, fromNode: sign.from })
        }
        return true
      case 'failed':
        for (const slot of slots) if (!isWaiting(lane.held.get(slot))) lane.held.delete(slot)
        return true
      case 'slots':
      case 'key':
        for (const slot of slots) this.#arrived(lane, slot, sign, isTask)
        return true
    }
  }

  #arrived(lane: ShardLane, slot: number, sign: SlotSign, isTask: boolean): void {
    const { reader } = lane
    const at = reader.start
    const hold = lane.held.get(slot)
    if (hold !== undefined) {
      hold.arrival = at
      if (sign.kind === 'slots' && isTask) hold.scanFrom = at
      return
    }
    const how = sign.kind === 'key' ? 'key' : isTask ? 'task' : 'job'
    const fromNode = sign.kind === 'slots' ? sign.from : ''
    lane.held.set(slot, { from: at, scanFrom: at, db: reader.db, how, arrival: at, fromNode })
  }

  /** FLUSHALL of a shard is of its own slots. */
  #flush(lane: ShardLane): boolean {
    const index = this.lanes.indexOf(lane)
    const own: number[] = []
    for (let slot = 0; slot < SLOT_COUNT; slot += 1) {
      if (this.#owners[slot] !== index || lane.gone[slot] === 1) continue
      if (lane.isDone(slot, lane.reader.start)) continue
      if (lane.held.has(slot)) return true
      own.push(slot)
    }
    this.#deleteLater(own)
    return false
  }

  #deleteLater(slots: readonly number[]): void {
    if (slots.length === 0) return
    this.#work = async () => await this.#sink.deleteSlots(asRanges(slots))
  }

  /** The unit at hand, without what was applied before or does not count. `only`: of these slots. */
  #deliver(lane: ShardLane, reader: UnitReader, only: ReadonlySet<number> | undefined): void {
    const { start } = reader
    reader.each((command, db) => {
      const slot = this.#firstSlot(command)
      if (slot < 0 && only !== undefined) return
      if (lane.isDone(slot, start)) return
      if (slot >= 0 && lane.gone[slot] === 1) {
        this.#sink.note('commands of slots that another shard has')
        return
      }
      if (only !== undefined && !only.has(slot)) return
      this.#sink.apply(lane, command, db)
    })
    this.#sink.endUnit(lane, reader.end - start, reader.end)
  }

  /** Applies what waited and may go on. */
  async #release(lane: ShardLane): Promise<boolean> {
    if (lane.held.size === 0 || this.#sink.isFull) return false
    const ready: number[] = []
    for (const [slot, hold] of lane.held) if (this.#mayGo(lane, slot, hold)) ready.push(slot)
    if (ready.length === 0) return false
    const holds = new Map(ready.map((slot) => [slot, lane.held.get(slot)!]))
    await this.#takeOver(lane, holds)
    const { again } = lane
    const first = [...holds.values()].reduce((a, b) => (b.scanFrom < a.scanFrom ? b : a))
    again.startAt(first.scanFrom, first.db)
    const released = new Set(ready)
    lane.released = released
    for (const slot of ready) lane.held.delete(slot)
    while (again.position < lane.at && again.next() !== UNIT.NONE) {
      if (again.start >= lane.at) break
      this.#again(lane, released, holds)
      const drained = this.#sink.drain()
      if (drained !== undefined) await drained
    }
    lane.released = undefined
    return true
  }

  /** A unit that was passed over, for those of its slots that may go on. */
  #again(lane: ShardLane, released: Set<number>, holds: ReadonlyMap<number, Hold>): void {
    const { again } = lane
    const slots = this.#slotsOf(again)
    if (slots.size === 0) return
    const isIn = [...slots].some((slot) => released.has(slot))
    if (!isIn) return
    const other = [...slots].find((slot) => lane.held.has(slot))
    if (other !== undefined) {
      // It was held with one that still waits.
      const hold = lane.held.get(other)!
      for (const slot of slots) {
        if (!released.delete(slot)) continue
        lane.held.set(slot, { ...hold, from: again.start, scanFrom: again.start, db: again.db })
      }
      return
    }
    const only = new Set<number>()
    for (const slot of slots) {
      const hold = holds.get(slot)
      if (released.has(slot) && hold !== undefined && again.start >= hold.scanFrom) only.add(slot)
    }
    if (only.size > 0) this.#deliver(lane, again, only)
  }

  /** Slots that came all at once are this shard's alone from here on. */
  async #takeOver(lane: ShardLane, holds: ReadonlyMap<number, Hold>): Promise<void> {
    const index = this.lanes.indexOf(lane)
    const replaced: number[] = []
    let wasGone = false
    for (const [slot, { how }] of holds) {
      this.#owners[slot] = index
      if (lane.gone[slot] === 1) wasGone = true
      lane.gone[slot] = 0
      if (how !== 'job') continue
      replaced.push(slot)
      for (const other of this.lanes) if (other !== lane) other.gone[slot] = 1
    }
    if (replaced.length > 0) await this.#sink.deleteSlots(asRanges(replaced))
    else if (wasGone) await this.#sink.save()
  }

  /** Those that had the slot are applied up to where they were when it had arrived. */
  #mayGo(lane: ShardLane, slot: number, { arrival, fromNode }: Hold): boolean {
    if (arrival < 0) return false
    const needs = lane.barriers!.needsAt(arrival)
    if (needs === undefined) return false
    const named = this.lanes.find((each) => each.members.includes(fromNode))
    const others = named === undefined || named === lane ? this.lanes : [named]
    return others.every(
      (other) => other === lane || this.#isThere(other, slot, needs[other.id] ?? -1),
    )
  }

  #isThere(lane: ShardLane, slot: number, replOffset: number): boolean {
    const hold = lane.held.get(slot)
    if (hold !== undefined && hold.from <= replOffset) {
      // It waits for the slot to come back: all that it wrote before is applied.
      return this.#owners[slot] === this.lanes.indexOf(lane)
    }
    if (lane.at > replOffset) return true
    return lane.isOver && lane.at >= lane.spool.nextReplOffset
  }

  #slotsOf(reader: UnitReader): ReadonlySet<number> {
    const slots = this.#slots
    slots.clear()
    if (reader.kind === UNIT.COMMAND) this.#addSlots(reader.command, slots)
    else reader.each((command) => this.#addSlots(command, slots))
    return slots
  }

  #addSlots(command: CommandDecoder, slots: Set<number>): void {
    const info = this.#table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    const count = this.#keys.find(info, command)
    for (let k = 0; k < count; k += 1) {
      const i = this.#keys.positions[k]!
      slots.add(keySlot(command.bytes, command.args[2 * i], command.args[2 * i + 1]))
    }
  }

  /** Of a cluster's command: all of its keys are in one. -1: it has none. */
  #firstSlot(command: CommandDecoder): number {
    const info = this.#table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    if (this.#keys.find(info, command) === 0) return -1
    const i = this.#keys.positions[0]!
    return keySlot(command.bytes, command.args[2 * i], command.args[2 * i + 1])
  }
}

function isWaiting(hold: Hold | undefined): boolean {
  return hold !== undefined && hold.arrival >= 0
}

function slotsIn(ranges: SlotRanges): number[] {
  return ranges.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  )
}

function asRanges(slots: readonly number[]): SlotRanges {
  return rangesBy(slots, () => 0).map(([first, last]) => [first, last] as const)
}
