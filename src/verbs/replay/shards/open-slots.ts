/**
 * Slots that come key by key: while one does, two shards write to it, and nothing in their streams says
 * when that is over. The cluster says it: where a slot stood still from one look to the next, and all were
 * asked in between how far they are, it was one shard's alone at these places of their streams.
 */
import type { Needs } from './barriers.js'
import { OPEN, type ShardLane } from './shard-lane.js'
import type { SettledOwner } from './slot-order.js'

interface Look {
  readonly seenMs: number
  /** By slot: whose it is, as far as it stands still. */
  readonly owners: ReadonlyMap<number, string>
  needs: Needs | undefined
}

export class OpenSlots {
  readonly #lanes: readonly ShardLane[]
  readonly #settledOwner: SettledOwner
  /** They moved, or were written to by two. */
  readonly #moved = new Set<number>()
  #last: Look | undefined

  constructor(lanes: readonly ShardLane[], settledOwner: SettledOwner) {
    this.#lanes = lanes
    this.#settledOwner = settledOwner
  }

  noteMoved(slot: number): void {
    this.#moved.add(slot)
  }

  /** Those that earlier runs left so. */
  noteLeft(): void {
    for (const { open } of this.#lanes) {
      for (const [slot, each] of open.entries()) if (each !== OPEN.NO) this.#moved.add(slot)
    }
  }

  /** To be called now and then. `ask`: how far all of them are now. */
  look(ask: () => Promise<Needs>): void {
    if (this.#moved.size === 0) return
    const last = this.#last
    if (last !== undefined && last.needs === undefined) return
    const now = this.#see(last?.seenMs ?? 0)
    if (now === undefined) return
    if (last?.needs !== undefined) this.#compare(last.owners, last.needs, now)
    this.#last = now
    ask().then(
      (needs) => (now.needs = needs),
      // All is over, or they are asked again.
      () => (this.#last = undefined),
    )
  }

  /** The lane has come to places where slots stood still. */
  pass(lane: ShardLane, replOffset: number): void {
    while (lane.marks.length > 0 && lane.marks[0]!.replOffset < replOffset) {
      const { owner, slots, replOffset: at } = lane.marks.shift()!
      for (const slot of slots) {
        if (lane.isDone(slot, at)) continue
        if (owner !== lane.id) {
          lane.gone[slot] = 1
          lane.open[slot] = OPEN.NO
        } else if (lane.open[slot] !== OPEN.NO) lane.open[slot] = OPEN.ONCE_MORE
      }
    }
  }

  /** Undefined: the cluster was not looked at again. */
  #see(seenMs: number): Look | undefined {
    let latestMs = seenMs
    const owners = new Map<number, string>()
    for (const slot of this.#moved) {
      const settled = this.#settledOwner(slot)
      if (settled === undefined) continue
      owners.set(slot, settled.shard)
      latestMs = Math.max(latestMs, settled.seenMs)
    }
    return latestMs === seenMs ? undefined : { seenMs: latestMs, owners, needs: undefined }
  }

  #compare(before: ReadonlyMap<number, string>, needs: Needs, now: Look): void {
    const still = new Map<string, number[]>()
    for (const [slot, owner] of before) {
      if (now.owners.get(slot) !== owner) continue
      this.#moved.delete(slot)
      const slots = still.get(owner)
      if (slots === undefined) still.set(owner, [slot])
      else slots.push(slot)
    }
    for (const [owner, slots] of still) {
      for (const lane of this.#lanes) {
        const replOffset = needs[lane.id]
        if (replOffset === undefined) continue
        const mark = { replOffset, owner, slots }
        lane.marks.push(mark)
        lane.barriers!.noteMark(mark)
      }
    }
  }
}
