/** Applies what waited in a shard's stream, once it may: reads it again out of the spool. */
import { ProtocolError } from '../../../errors.js'
import { isArg } from '../../../resp/command-table.js'
import { integerOf } from '../../../resp/command-args.js'
import { OPEN, type ShardLane } from './shard-lane.js'
import type { MergeSink } from './sinks/merge-sink.js'
import { asRanges } from './shard-point.js'
import type { Hold } from './slot-holds.js'
import type { SlotOrder } from './slot-order.js'
import { UNIT, type UnitReader } from './unit-reader.js'
import { isFlush, type UnitSlots } from './unit-slots.js'

export interface ReleaseOptions {
  lanes: readonly ShardLane[]
  owners: Int16Array
  sink: MergeSink
  order: SlotOrder
  unitSlots: UnitSlots
  /** The unit at hand, of these slots. */
  deliver: (lane: ShardLane, reader: UnitReader, only: ReadonlySet<number>) => void
}

export class ShardRelease {
  readonly #options: ReleaseOptions

  constructor(options: ReleaseOptions) {
    this.#options = options
  }

  /** What waits first in these slots, up to where they arrived once more. */
  async run(lane: ShardLane, ready: readonly number[]): Promise<void> {
    const { sink } = this.#options
    const holds = new Map(ready.map((slot) => [slot, lane.held.get(slot)!]))
    const { again, released } = lane
    lane.releasedTo = -1
    for (const [slot, hold] of holds) released.set(slot, hold)
    await this.#takeOver(lane, holds)
    const first = firstOf(holds)
    const until = Math.max(...[...holds.values()].map(({ next }) => next?.from ?? Infinity))
    again.startAt(first.scanFrom, first.db)
    for (const slot of ready) lane.held.shift(slot)
    while (again.position < Math.min(until, lane.at) && again.next() !== UNIT.NONE) {
      if (again.start >= lane.at) break
      await this.#unit(lane)
      lane.releasedTo = again.position
      const drained = sink.drain()
      if (drained !== undefined) await drained
    }
    released.clear()
  }

  /** A unit that was passed over, for those of its slots that may go on. */
  async #unit(lane: ShardLane): Promise<void> {
    const { unitSlots, deliver } = this.#options
    const { again, released } = lane
    const { start } = again
    const isIn = (slot: number): boolean => isWithin(released.get(slot), start)
    if (again.kind === UNIT.COMMAND && isFlush(again.command)) {
      const db = isArg(again.command, 0, 'FLUSHDB') ? again.db : undefined
      await this.#delete(lane, [...released.keys()].filter(isIn), db)
      return
    }
    if (isFlushSlot(again)) {
      await this.#delete(lane, [integerOf(again.command, 2) ?? -1].filter(isIn))
      return
    }
    const slots = unitSlots.of(again)
    if (unitSlots.hasFlush) await this.#delete(lane, [...released.keys()].filter(isIn))
    const only = new Set([...slots].filter(isIn))
    if (only.size === 0) return
    const other = [...slots].find((slot) => isWithin(lane.held.get(slot), start))
    if (other === undefined) {
      deliver(lane, again, only)
      return
    }
    // It waits with one that still waits.
    const { arrival, fromNode } = lane.held.get(other)!
    for (const slot of only) {
      released.delete(slot)
      const begin = { from: start, db: again.unitDb, how: 'key', arrival, fromNode } as const
      lane.held.unshift(slot, { ...begin, wasGone: false })
    }
  }

  async #delete(lane: ShardLane, slots: readonly number[], db?: number): Promise<void> {
    if (slots.length === 0) return
    const { start } = lane.again
    await this.#options.sink.deleteSlots(asRanges(slots), { lane, at: () => start, db })
  }

  /** They are this shard's from here on; what came all at once, or of one that is no more, its alone. */
  async #takeOver(lane: ShardLane, holds: ReadonlyMap<number, Hold>): Promise<void> {
    const { lanes, owners, sink, order } = this.#options
    const index = lanes.indexOf(lane)
    const named = new Map<number, Hold>()
    const replaced: number[] = []
    for (const [slot, hold] of holds) {
      if (hold.how === 'free') continue
      const isAlone = order.isAlone(lane, slot, hold)
      if (isAlone && hold.how === 'task') {
        if (hold.windowFrom < 0) throw lostShard(slot)
        hold.scanFrom = hold.windowFrom
      }
      if (hold.how === 'job' && !isAlone && sink.deleteKeysOf !== undefined) named.set(slot, hold)
      else if (hold.how === 'job' || isAlone) replaced.push(slot)
      owners[slot] = index
      if (hold.how === 'key') continue
      for (const other of lanes) {
        // Where it came back the reader is in a later part.
        if (other === lane || other.held.has(slot)) continue
        other.gone[slot] = 1
        other.open[slot] = OPEN.NO
      }
    }
    if (named.size > 0) await this.#deleteNamed(lane, named)
    if (replaced.length === 0) return
    const at = (slot: number): number => holds.get(slot)!.scanFrom
    await sink.deleteSlots(asRanges(replaced), { lane, at })
  }

  /** All keys that came with the slots: in the target is what the other shard had of them, and no more. */
  async #deleteNamed(lane: ShardLane, holds: ReadonlyMap<number, Hold>): Promise<void> {
    const { sink, unitSlots } = this.#options
    const { again } = lane
    const first = firstOf(holds)
    const until = Math.max(...[...holds.values()].map(({ arrival }) => arrival))
    again.startAt(first.scanFrom, first.db)
    while (again.position < until && again.next() !== UNIT.NONE) {
      again.each((command, db) => {
        const hold = holds.get(unitSlots.first(command))
        if (hold === undefined || again.start < hold.scanFrom || again.start >= hold.arrival) return
        sink.deleteKeysOf!(command, db)
      })
      const drained = sink.drain()
      if (drained !== undefined) await drained
    }
  }
}

function firstOf(holds: ReadonlyMap<number, Hold>): Hold {
  return [...holds.values()].reduce((a, b) => (b.scanFrom < a.scanFrom ? b : a))
}

function isWithin(hold: Hold | undefined, replOffset: number): boolean {
  if (hold === undefined || replOffset < hold.scanFrom) return false
  return replOffset < (hold.next?.from ?? Infinity)
}

function isFlushSlot({ kind, command }: UnitReader): boolean {
  if (kind !== UNIT.COMMAND || command.argc < 3) return false
  return isArg(command, 0, 'CLUSTER') && isArg(command, 1, 'FLUSHSLOT')
}

function lostShard(slot: number): ProtocolError {
  return new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    `the shard that had the slot ${slot} is gone, and not all that it had written was received`,
    { hint: 'begin anew with `emptyTarget`' },
  )
}
