/** Keys that are put right from a shard of a cluster: a transaction is of one slot there, so each slot by
 * itself. */
import { Buffer } from 'node:buffer'
import type { CommandDecoder } from '../../../resp/decoder.js'
import { keySlot } from '../../../topology/key-slot.js'
import { KeySet } from '../live/lost-keys.js'
import { Repair, type RepairOptions } from '../live/repair.js'

const PASSING = /\b(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN)\b/
/** So long a slot may be nobody's of whom we ask. */
const REFUSED_MS = 20_000

export class SlotRepairs {
  /** That were taken. */
  keyCount = 0
  #refusedSinceMs: number | undefined
  /** Those that are not done. */
  readonly #repairs: Repair[]

  constructor(keys: KeySet, options: RepairOptions) {
    const slots = new Map<number, KeySet>()
    for (const [db, name] of keys) {
      const slot = keySlot(Buffer.from(name, 'latin1'))
      const set = slots.get(slot) ?? new KeySet()
      slots.set(slot, set)
      set.add(db, name)
    }
    const keep = (): void => {
      const all = new KeySet()
      for (const each of this.#repairs) for (const [db, name] of each.keys) all.add(db, name)
      const { spool } = options
      spool.setRepair({ ...spool.state.repair!, keys: all.kept })
    }
    this.#repairs = [...slots.values()].map((set) => new Repair(set, { ...options, keep }))
  }

  get isReady(): boolean {
    return this.#repairs.every(({ isReady }) => isReady)
  }

  get isDone(): boolean {
    return this.#repairs.length === 0
  }

  /** To be asked before anything is applied from `nextReplOffset` on; false: not yet, ask again. */
  async prepare(nextReplOffset: number, dbnum: number): Promise<boolean> {
    for (const each of this.#repairs) {
      try {
        if (!(await each.prepare(nextReplOffset, dbnum))) return false
      } catch (error) {
        if (!this.#passes(error)) throw error
        return false
      }
    }
    return true
  }

  /** Who was asked does not lead the shard now, or not yet. */
  #passes(error: unknown): boolean {
    if (!(error instanceof Error) || !PASSING.test(error.message)) return false
    const nowMs = performance.now()
    this.#refusedSinceMs ??= nowMs
    return nowMs - this.#refusedSinceMs < REFUSED_MS
  }

  isDue(nextReplOffset: number): boolean {
    return this.#repairs.some((each) => each.isDue(nextReplOffset))
  }

  leavesOut(command: CommandDecoder, db: number): boolean {
    return this.#repairs.some((each) => each.leavesOut(command, db))
  }

  /** What is to be done there; it is done then. */
  take(nextReplOffset: number): readonly Repair[] {
    const due = this.#repairs.filter((each) => each.isDue(nextReplOffset))
    for (const each of due) {
      this.#repairs.splice(this.#repairs.indexOf(each), 1)
      this.keyCount += each.keys.size
    }
    return due
  }
}
