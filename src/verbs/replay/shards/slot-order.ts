/**
 * When what waits may be applied. The barrier: those that had the slot are applied up to where they were
 * when it had arrived, each of them also in what waits there for the same slot.
 *
 * An answer that was asked for late (we were away, the link lagged) says more than is needed. So some may
 * wait for one another: A lost the slot and had it back before it was asked. Then the names say whose turn
 * it is where slots come all at once; where they come key by key, each shard's part begins and ends with
 * nothing, and only the last one's must be the last.
 */
import { ProtocolError } from '../../../errors.js'
import type { Hold } from './slot-holds.js'
import { ownSince } from './slot-holds.js'
import type { ShardLane } from './shard-lane.js'

/** Who owns the slot by what the cluster says, if it is not on the move. */
export type SettledOwner = (slot: number) => { shard: string; seenMs: number } | undefined

export class SlotOrder {
  readonly #lanes: readonly ShardLane[]
  readonly #owners: Int16Array
  readonly #settledOwner: SettledOwner
  /** By slot: since when all of it waits. */
  readonly #stuckSinceMs = new Map<number, number>()

  constructor(lanes: readonly ShardLane[], owners: Int16Array, settledOwner: SettledOwner) {
    this.#lanes = lanes
    this.#owners = owners
    this.#settledOwner = settledOwner
  }

  mayGo(lane: ShardLane, slot: number, hold: Hold): boolean {
    if (hold.how === 'free') return true
    return this.#waitsFor(lane, slot, hold)?.length === 0
  }

  /** The shard that had the slot is no more, and not all that it wrote was received: what came of it must
   * do by itself. */
  isAlone(lane: ShardLane, slot: number, hold: Hold): boolean {
    const before = this.#named(hold) ?? this.#lanes[this.#owners[slot]!]
    if (before === undefined || before === lane || !isPast(before)) return false
    const needed = hold.needs?.[before.id]
    return needed === undefined || before.at <= needed
  }

  /** Where nothing else goes on: for whom the others wait, by slot. */
  turns(): readonly (readonly [lane: ShardLane, slot: number])[] {
    const slots = new Map<number, ShardLane[]>()
    for (const lane of this.#lanes) {
      for (const [slot, hold] of lane.held.entries()) {
        if (hold.arrival < 0) continue
        const waiting = slots.get(slot)
        if (waiting === undefined) slots.set(slot, [lane])
        else waiting.push(lane)
      }
    }
    for (const slot of this.#stuckSinceMs.keys()) {
      if (!slots.has(slot)) this.#stuckSinceMs.delete(slot)
    }
    return [...slots].flatMap(([slot, waiting]) => {
      const lane = waiting.length < 2 ? undefined : this.#turnOf(slot, waiting)
      return lane === undefined ? [] : [[lane, slot] as const]
    })
  }

  #turnOf(slot: number, waiting: readonly ShardLane[]): ShardLane | undefined {
    const isStuck = waiting.every((lane) => {
      const others = this.#waitsFor(lane, slot, lane.held.get(slot)!)
      return others !== undefined && others.length > 0
    })
    if (!isStuck) {
      this.#stuckSinceMs.delete(slot)
      return undefined
    }
    const isNamed = waiting.every((lane) => this.#named(lane.held.get(slot)!) !== undefined)
    if (isNamed) {
      const owner = this.#lanes[this.#owners[slot]!]
      const next = waiting.filter((lane) => this.#named(lane.held.get(slot)!) === owner)
      if (next.length === 1) return next[0]
    }
    if (waiting.some((lane) => lane.held.get(slot)!.how === 'task')) throw unknownOrder(slot)
    return this.#lastButOwner(slot, waiting)
  }

  /** Any but the one that has it now: that one is the last. */
  #lastButOwner(slot: number, waiting: readonly ShardLane[]): ShardLane | undefined {
    const nowMs = Date.now()
    const sinceMs = this.#stuckSinceMs.get(slot) ?? nowMs
    this.#stuckSinceMs.set(slot, sinceMs)
    const settled = this.#settledOwner(slot)
    if (settled === undefined || settled.seenMs <= sinceMs) return undefined
    return waiting.find((lane) => lane.id !== settled.shard)
  }

  /** Those in which something of the slot must be applied first and waits, too. Undefined: there is more
   * to come before that is known. */
  #waitsFor(lane: ShardLane, slot: number, hold: Hold): readonly ShardLane[] | undefined {
    if (hold.arrival < 0) return undefined
    hold.needs ??= lane.barriers!.needsAt(hold.arrival)
    const { needs } = hold
    if (needs === undefined) return undefined
    const named = this.#named(hold)
    const others = named === undefined || named === lane ? this.#lanes : [named]
    // One of them may have come so lately that it is not played yet.
    if (others === this.#lanes && this.#lacks(needs)) return undefined
    const found: ShardLane[] = []
    for (const other of others) {
      if (other === lane) continue
      const needed = needs[other.id] ?? -1
      const waits = ownSince(other.held.get(slot)) <= needed
      if (other.at <= needed && !isPast(other)) return undefined
      if (waits) found.push(other)
    }
    return found
  }

  #lacks(needs: Readonly<Record<string, number>>): boolean {
    return Object.keys(needs).some((id) => !this.#lanes.some((lane) => lane.id === id))
  }

  #named({ fromNode }: Hold): ShardLane | undefined {
    if (fromNode === '') return undefined
    return this.#lanes.find(({ members }) => members.includes(fromNode))
  }
}

/** Its stream is over, and read to its end. */
export function isPast({ isOver, at, spool }: ShardLane): boolean {
  return isOver && at >= spool.nextReplOffset
}

function unknownOrder(slot: number): ProtocolError {
  return new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    `the slot ${slot} moved several times while nobody looked: in which order is not known`,
    { hint: 'begin anew with `emptyTarget`' },
  )
}
