/**
 * Where each command of a batch goes in a cluster: to the slot of its keys, or, where it has none or keys
 * in several slots, by a way of its own. What is exact in parts is parted by slot; what is not waits for all
 * that stands before it (whole-command.ts).
 */
import { Buffer } from 'node:buffer'
import { InternalError } from '../../errors.js'
import { copyArg, integerArg } from '../../resp/command-args.js'
import { KeyPositions, type CommandInfo, type CommandTable } from '../../resp/command-table.js'
import { CommandDecoder, RESP } from '../../resp/decoder.js'
import { keySlot } from '../../topology/key-slot.js'
import type { Ledger } from '../ledger.js'
import { StreamBatch } from '../stream/stream-batch.js'

/** A command that goes alone, when all in front of it is in the target. */
export interface WholeCommand {
  readonly kind: 'all' | 'slots'
  readonly name: string
  readonly args: readonly Buffer[]
  /** Which of them are keys. */
  readonly keys: readonly number[]
  readonly replOffset: number
}

/** A stretch of commands, each of one slot; `slots` by frame. */
export interface RoutedBatch {
  readonly batch: StreamBatch
  readonly slots: Int32Array
}

type IsApplied = (slot: number, replOffset: number, stream: number) => boolean

export type Routed = RoutedBatch | WholeCommand

/** What a frame is, in place of a slot. */
const ALONE = -1
const PARTED = -2
const APPLIED = -3

/** Parts by slot come to the same. Of those with values the key and what is behind it. */
const PARTABLE = new Map([
  ['DEL', 1],
  ['UNLINK', 1],
  ['TOUCH', 1],
  ['PFCOUNT', 1],
  ['MSET', 2],
  // What came held on the source.
  ['MSETNX', 2],
])

export class FrameRouter {
  /** Commands parted by slot, and transactions of several slots, that were not told yet. */
  #partedCommands = 0
  #partedTransactions = 0
  #hasWarned = false
  readonly #table: CommandTable
  readonly #isApplied: IsApplied
  readonly #keys = new KeyPositions()
  readonly #decoder = new CommandDecoder({ lines: 'none' })

  /** @param isApplied what an earlier run, or the one before a failover, has in the target */
  constructor(table: CommandTable, isApplied: IsApplied = () => false) {
    this.#table = table
    this.#isApplied = isApplied
  }

  /** In their order. A batch that needs no more stays what it is. */
  route(batch: StreamBatch): readonly Routed[] {
    const slots = new Int32Array(batch.frameCount)
    let isPlain = true
    this.#begin(batch)
    for (let frame = 0; frame < batch.frameCount; frame += 1) {
      const slot = this.#slotOf(this.#next())
      slots[frame] = slot
      if (slot < 0) isPlain = false
      else if (this.#isApplied(slot, batch.frameReplOffset[frame]!, batch.frameStream[frame]!))
        slots[frame] = APPLIED
    }
    this.#countParted(batch, slots)
    return isPlain ? [{ batch, slots }] : this.#parted(batch, slots)
  }

  /** What it came to since it was asked last. */
  tell(ledger: Ledger, onWarning: (message: string) => void): void {
    if (this.#partedCommands > 0) ledger.note('commands parted by slot', this.#partedCommands)
    if (this.#partedTransactions > 0) {
      const what = 'transactions over several slots, of each slot by itself'
      ledger.note(what, this.#partedTransactions)
      if (!this.#hasWarned) {
        onWarning(
          'a transaction of the source over several slots is one for each slot in the target',
        )
      }
      this.#hasWarned = true
    }
    this.#partedCommands = this.#partedTransactions = 0
  }

  #countParted({ transactions = [] }: StreamBatch, slots: Int32Array): void {
    for (let i = 0; i < transactions.length; i += 2) {
      const own = slots.subarray(transactions[i], transactions[i + 1])
      if (own.some((slot) => slot !== own[0] || slot === PARTED)) this.#partedTransactions += 1
    }
  }

  #begin(batch: StreamBatch): void {
    this.#decoder.reset()
    this.#decoder.feed(batch.out.bytes, batch.frameStart[0] ?? batch.out.length, batch.out.length)
  }

  #next(): CommandDecoder {
    if (this.#decoder.next() !== RESP.COMMAND) throw new InternalError('a frame is no command')
    return this.#decoder
  }

  #slotOf(command: CommandDecoder): number {
    const info = this.#info(command)
    // They are not keys, and the only arguments that could say where to.
    if (info.name === 'PUBLISH' || info.name === 'SPUBLISH') {
      return keySlot(command.bytes, command.args[2], command.args[3])
    }
    const count = this.#keys.find(info, command)
    if (count === 0) return ALONE
    const slot = this.#slotAt(command, 0)
    for (let k = 1; k < count; k += 1) {
      if (this.#slotAt(command, k) !== slot) return isPartable(info) ? PARTED : ALONE
    }
    return slot
  }

  #slotAt(command: CommandDecoder, k: number): number {
    const i = this.#keys.positions[k]!
    return keySlot(command.bytes, command.args[2 * i], command.args[2 * i + 1])
  }

  #info(command: CommandDecoder): CommandInfo {
    return this.#table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
  }

  #parted(batch: StreamBatch, slots: Int32Array): readonly Routed[] {
    const routed: Routed[] = []
    let piece = new Piece()
    this.#begin(batch)
    for (let frame = 0; frame < batch.frameCount; frame += 1) {
      const command = this.#next()
      const slot = slots[frame]!
      if (slot === PARTED) {
        this.#partedCommands += 1
        this.#part(command, batch, frame, piece)
      } else if (slot === ALONE) {
        piece.moveTo(routed)
        piece = new Piece()
        routed.push(this.#alone(command, batch.frameReplOffset[frame]!))
      } else {
        piece.begin(batch, frame, slot)
        piece.batch.out.raw(batch.out.bytes, batch.frameStart[frame], batch.endOfFrame(frame))
      }
    }
    // What the last one stands for is known to the whole.
    piece.batch.nextReplOffset = batch.nextReplOffset
    piece.batch.sourceDb = batch.sourceDb
    routed.push(piece.made)
    return routed
  }

  #alone(command: CommandDecoder, replOffset: number): WholeCommand {
    const info = this.#info(command)
    const count = this.#keys.find(info, command)
    const args = Array.from({ length: command.argc }, (_, i) => Buffer.from(command.arg(i)))
    return {
      kind: count === 0 ? 'all' : 'slots',
      name: info.name,
      args,
      keys: [...this.#keys.positions.subarray(0, count)],
      replOffset,
    }
  }

  /** One command for each slot. */
  #part(command: CommandDecoder, batch: StreamBatch, frame: number, piece: Piece): void {
    const info = this.#info(command)
    const count = this.#keys.find(info, command)
    const bySlot = new Map<number, number[]>()
    for (let k = 0; k < count; k += 1) {
      const slot = this.#slotAt(command, k)
      const list = bySlot.get(slot)
      if (list === undefined) bySlot.set(slot, [this.#keys.positions[k]!])
      else list.push(this.#keys.positions[k]!)
    }
    const replOffset = batch.frameReplOffset[frame]!
    for (const [slot, positions] of bySlot) {
      const isApplied = this.#isApplied(slot, replOffset, batch.frameStream[frame]!)
      piece.begin(batch, frame, isApplied ? APPLIED : slot)
      const { out } = piece.batch
      if (info.name === 'MSETEX') {
        const optionsAt = 2 + 2 * integerArg(command, 1)
        out.begin(2 + 2 * positions.length + command.argc - optionsAt).ascii('MSETEX')
        out.integer(positions.length)
        for (const i of positions) for (let w = 0; w < 2; w += 1) copyArg(out, command, i + w)
        for (let i = optionsAt; i < command.argc; i += 1) copyArg(out, command, i)
        continue
      }
      const width = PARTABLE.get(info.name)!
      out.begin(1 + width * positions.length).ascii(width === 2 ? 'MSET' : info.name)
      for (const i of positions) for (let w = 0; w < width; w += 1) copyArg(out, command, i + w)
    }
  }
}

function isPartable({ name }: CommandInfo): boolean {
  return name === 'MSETEX' || PARTABLE.has(name)
}

/** A part of a batch, with what it counts for. */
class Piece {
  readonly batch = new StreamBatch()
  #slots = new Int32Array(64)
  #command = -2

  begin(from: StreamBatch, frame: number, slot: number): void {
    const { batch } = this
    const command = from.frameCommand[frame]!
    if (command !== this.#command) {
      this.#command = command
      if (command >= 0) batch.sourceCommands += 1
    }
    if (batch.frameCount === this.#slots.length) {
      const next = new Int32Array(2 * this.#slots.length)
      next.set(this.#slots)
      this.#slots = next
    }
    this.#slots[batch.frameCount] = slot
    batch.beginFrameOf(command, from.frameReplOffset[frame]!, from.frameStream[frame]!)
  }

  moveTo(routed: Routed[]): void {
    if (this.batch.frameCount > 0) routed.push(this.made)
  }

  get made(): RoutedBatch {
    return { batch: this.batch, slots: this.#slots.subarray(0, this.batch.frameCount) }
  }
}
