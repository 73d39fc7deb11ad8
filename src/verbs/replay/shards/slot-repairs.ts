/** Keys that are put right from a shard of a cluster: a transaction is of one slot there, so each slot by
 * itself. */
import { Buffer } from 'node:buffer'
import type { CommandDecoder } from '../../../resp/decoder.js'
import { keySlot } from '../../../topology/key-slot.js'
import { KeySet } from '../live/lost-keys.js'
import { Repair, type RepairOptions } from '../live/repair.js'

export class SlotRepairs {
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
      if (!(await each.prepare(nextReplOffset, dbnum))) return false
    }
    return true
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
    for (const each of due) this.#repairs.splice(this.#repairs.indexOf(each), 1)
    return due
  }
}
