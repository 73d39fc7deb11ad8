/**
 * Slots that came key by key: until the cluster says that one has moved, and all shards are applied up to
 * where they were behind that, others may have a part of it. From then on it is one shard's alone.
 */
import type { Needs } from './barriers.js'
import type { ShardLane } from './shard-lane.js'
import type { SettledOwner } from './slot-order.js'

interface Closing {
  /** By slot, how often it had come when the cluster was looked at. */
  readonly slots: ReadonlyMap<number, number>
  needs: Needs | undefined
}

export class OpenSlots {
  readonly #lanes: readonly ShardLane[]
  readonly #owners: Int16Array
  readonly #settledOwner: SettledOwner
  readonly #arrivals = new Map<number, number>()
  #closing: Closing | undefined
  #lookedMs = 0

  constructor(lanes: readonly ShardLane[], owners: Int16Array, settledOwner: SettledOwner) {
    this.#lanes = lanes
    this.#owners = owners
    this.#settledOwner = settledOwner
  }

  /** Some of it has come to the lane, or all. */
  arrived(lane: ShardLane, slot: number, isOpen: boolean): void {
    this.#arrivals.set(slot, (this.#arrivals.get(slot) ?? 0) + 1)
    lane.setOpen(slot, isOpen)
  }

  /** True: something may have to be looked at. */
  get isAny(): boolean {
    return this.#lanes.some(({ openCount }) => openCount > 0)
  }

  /** To be called now and then. `ask`: how far all of them are now. */
  look(ask: () => Promise<Needs>): void {
    const closing = this.#closing
    if (closing === undefined) {
      const slots = this.#settled()
      if (slots.size === 0) return
      const begun: Closing = (this.#closing = { slots, needs: undefined })
      ask().then(
        (needs) => (begun.needs = needs),
        // All is over, or they are asked again.
        () => (this.#closing = undefined),
      )
      return
    }
    const { slots, needs } = closing
    if (needs === undefined) return
    const areThere = this.#lanes.every((lane) => lane.isOver || lane.at > (needs[lane.id] ?? -1))
    if (!areThere) return
    this.#closing = undefined
    for (const [slot, arrivals] of slots) {
      if (this.#arrivals.get(slot) === arrivals) this.#close(slot, needs)
    }
  }

  /** Those of which the cluster says, by a look that was not used yet, what we have of them. */
  #settled(): ReadonlyMap<number, number> {
    const slots = new Map<number, number>()
    let lookedMs = this.#lookedMs
    for (const lane of this.#lanes) {
      if (lane.openCount === 0) continue
      for (let slot = lane.open.indexOf(1); slot >= 0; slot = lane.open.indexOf(1, slot + 1)) {
        const settled = this.#settledOwner(slot)
        if (settled === undefined || settled.seenMs <= this.#lookedMs) continue
        lookedMs = settled.seenMs
        const owner = this.#lanes[this.#owners[slot]!]
        if (owner?.id === settled.shard) slots.set(slot, this.#arrivals.get(slot) ?? 0)
      }
    }
    this.#lookedMs = lookedMs
    return slots
  }

  #close(slot: number, needs: Needs): void {
    const owner = this.#lanes[this.#owners[slot]!]!
    // What waits there from before the question is not applied.
    const isApplied = this.#lanes.every((lane) => {
      const hold = lane.held.get(slot)
      return hold === undefined || (lane === owner && hold.from > (needs[lane.id] ?? Infinity))
    })
    if (!isApplied) return
    for (const lane of this.#lanes) {
      lane.setOpen(slot, false)
      if (lane !== owner) lane.gone[slot] = 1
    }
  }
}
