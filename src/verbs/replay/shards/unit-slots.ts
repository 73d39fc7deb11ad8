/** Which slots the unit at hand is about. */
import { isArg, KeyPositions, type CommandTable } from '../../../resp/command-table.js'
import type { CommandDecoder } from '../../../resp/decoder.js'
import { keySlot } from '../../../topology/key-slot.js'
import { UNIT, type UnitReader } from './unit-reader.js'

export class UnitSlots {
  /** The unit that was looked at last is a transaction that deletes everything. */
  hasFlush = false
  readonly #table: CommandTable
  readonly #keys = new KeyPositions()
  readonly #slots = new Set<number>()

  constructor(table: CommandTable) {
    this.#table = table
  }

  /** Valid until the next call. */
  of(reader: UnitReader): ReadonlySet<number> {
    this.hasFlush = false
    this.#slots.clear()
    if (reader.kind === UNIT.COMMAND) this.#add(reader.command)
    else {
      reader.each((command) => {
        if (isFlush(command)) this.hasFlush = true
        else this.#add(command)
      })
    }
    return this.#slots
  }

  /** Of a cluster's command: all of its keys are in one. -1: it has none. */
  first(command: CommandDecoder): number {
    return this.#find(command) === 0 ? -1 : this.#slotOf(command, 0)
  }

  #add(command: CommandDecoder): void {
    const count = this.#find(command)
    for (let k = 0; k < count; k += 1) this.#slots.add(this.#slotOf(command, k))
  }

  #find(command: CommandDecoder): number {
    const info = this.#table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    return this.#keys.find(info, command)
  }

  #slotOf(command: CommandDecoder, k: number): number {
    const i = this.#keys.positions[k]!
    return keySlot(command.bytes, command.args[2 * i], command.args[2 * i + 1])
  }
}

export function isFlush(command: CommandDecoder): boolean {
  return isArg(command, 0, 'FLUSHALL') || isArg(command, 0, 'FLUSHDB')
}

/** A server sends such by itself, for what is left of a slot that it does not own. */
export function isDeletion(command: CommandDecoder): boolean {
  return ['DEL', 'UNLINK', 'HDEL'].some((name) => isArg(command, 0, name))
}
