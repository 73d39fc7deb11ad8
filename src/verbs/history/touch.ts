/** Does a command of the stream touch a key, whatever its name? By the one table of commands. */
import type { CommandPlace } from '../../formats/command-format.js'
import { CommandTable, isArg, KeyPositions, type CommandInfo } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { keySlot } from '../../topology/key-slot.js'

export class TouchLook {
  readonly #table = new CommandTable()
  readonly #positions = new KeyPositions()
  /** Offset of the MULTI that is open. */
  transaction: number | undefined

  /** Also follows MULTI and EXEC: to be asked of each command. */
  infoOf(command: CommandDecoder, place: Readonly<CommandPlace>): CommandInfo {
    const info = this.#table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    if (info.name === 'MULTI') this.transaction = place.replOffset
    else if (info.name === 'EXEC') this.transaction = undefined
    return info
  }

  /** Of the key in this database. */
  touches(info: CommandInfo, command: CommandDecoder, dbnum: number, wanted: KeyName): boolean {
    const { db, key } = wanted
    switch (info.name) {
      case 'FLUSHALL':
        return true
      case 'FLUSHDB':
        return dbnum === db || dbnum < 0
      case 'SWAPDB':
        return numberAt(command, 1) === db || numberAt(command, 2) === db
      case 'TRIMSLOTS':
        return hasSlot(command, 3, keySlot(key))
      case 'CLUSTER':
        return isArg(command, 1, 'FLUSHSLOT') && hasSlot(command, 2, keySlot(key))
      case 'MOVE':
        return (dbnum === db || numberAt(command, 2) === db) && isKey(command, 1, key)
      case 'COPY':
        // What is read is not touched.
        return targetDbOf(command, dbnum) === db && isKey(command, 2, key)
      default:
        if (!info.isWrite || (dbnum >= 0 && dbnum !== db)) return false
        return this.keysOf(info, command).some((at) => isKey(command, at, key))
    }
  }

  /** Of all its keys, read or written: which arguments. */
  keysOf(info: CommandInfo, command: CommandDecoder): number[] {
    const count = this.#positions.find(info, command)
    return Array.from(this.#positions.positions.subarray(0, count))
  }
}

export interface KeyName {
  readonly db: number
  readonly key: Buffer
}

/** Databases that it names besides the one it is run in. */
export function dbsNamedBy(name: string, command: CommandDecoder): number[] {
  if (name === 'SWAPDB') return [numberAt(command, 1), numberAt(command, 2)]
  if (name === 'MOVE') return [numberAt(command, 2)]
  return name === 'COPY' ? [targetDbOf(command, 0)] : []
}

function isKey(command: CommandDecoder, at: number, key: Buffer): boolean {
  return at < command.argc && command.arg(at).equals(key)
}

function numberAt(command: CommandDecoder, at: number): number {
  return at < command.argc ? Number(command.arg(at).toString('latin1')) : Number.NaN
}

function targetDbOf(command: CommandDecoder, dbnum: number): number {
  for (let at = 3; at + 1 < command.argc; at += 1) {
    if (isArg(command, at, 'DB')) return numberAt(command, at + 1)
  }
  return dbnum
}

/** TRIMSLOTS RANGES n first last …; CLUSTER FLUSHSLOT slot. */
function hasSlot(command: CommandDecoder, from: number, slot: number): boolean {
  if (from === 2) return numberAt(command, 2) === slot
  for (let at = from; at + 1 < command.argc; at += 2) {
    if (slot >= numberAt(command, at) && slot <= numberAt(command, at + 1)) return true
  }
  return false
}
