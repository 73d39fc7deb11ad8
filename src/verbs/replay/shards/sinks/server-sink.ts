/** One server as the target of several streams: each transaction says how far all of them are. */
import type { Buffer } from 'node:buffer'
import { KeyPositions } from '../../../../resp/command-table.js'
import type { CommandDecoder } from '../../../../resp/decoder.js'
import { deleteKeys } from '../../../../source/slot-keys.js'
import { slotSet } from '../../../../topology/key-slot.js'
import type { SlotRanges } from '../../../../topology/cluster-nodes.js'
import type { DeletedBy } from './merge-sink.js'
import { TargetSink } from './target-sink.js'

export class ServerSink extends TargetSink {
  readonly #keys = new KeyPositions()

  protected override stampOf(): number {
    return this.count
  }

  deleteKeysOf(command: CommandDecoder, db: number): void {
    const { table, selection, mapping, facts, streamWriter } = this.session
    const { bytes, args } = command
    const count = this.#keys.find(table.findOrAdd(bytes, args[0]!, args[1]!), command)
    const targetDb = mapping.db(db)
    if (!selection.db(db) || targetDb >= facts.databases) return
    const batch = streamWriter!.current
    for (let k = 0; k < count; k += 1) {
      const i = this.#keys.positions[k]!
      const [start, end] = [args[2 * i]!, args[2 * i + 1]!]
      if (!selection.name(bytes, start, end)) continue
      batch.select(targetDb)
      batch.beginFrame()
      batch.out
        .begin(2)
        .ascii('DEL')
        .bulk(mapping.key(bytes, start, end))
    }
  }

  async deleteSlots(slots: SlotRanges, by?: DeletedBy): Promise<void> {
    const { session } = this
    await this.flush()
    if (!session.isDry) {
      const gone = slotSet(slots)
      const { mapping, selection, options } = session
      const targetDb = by?.db === undefined ? undefined : mapping.db(by.db)
      const isGone = (key: Buffer, slot: number, dbnum: number): boolean =>
        gone[slot] === 1 &&
        (targetDb ?? dbnum) === dbnum &&
        selection.name(key, 0, key.length) &&
        !this.isOurs(key)
      await deleteKeys(options.target, isGone, options.signal)
    }
    await this.save()
  }
}
