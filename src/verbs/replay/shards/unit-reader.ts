/**
 * The stream of one shard out of its spool, unit by unit: a command, or a whole transaction. What stands
 * between MULTI and EXEC is of no use before EXEC is here, and is then told as one. SELECT is followed,
 * and not told.
 */
import { Buffer } from 'node:buffer'
import { ProtocolError } from '../../../errors.js'
import { integerArg } from '../../../resp/command-args.js'
import { isArg } from '../../../resp/command-table.js'
import { CommandDecoder, RESP } from '../../../resp/decoder.js'
import { CommandEncoder } from '../../../resp/encoder.js'
import type { StreamSpool } from '../live/stream-spool.js'

export const UNIT = {
  /** No more of it yet. */
  NONE: 0,
  COMMAND: 1,
  TRANSACTION: 2,
} as const
export type Unit = (typeof UNIT)[keyof typeof UNIT]

export class UnitReader {
  /** Of the first byte that belongs to no unit told yet. */
  position = -1
  /** The db behind what was told. */
  db = 0
  /** Of the unit at hand: its first byte, and the first byte behind it. */
  start = -1
  end = -1
  kind: Unit = UNIT.NONE
  /** The db in front of it. */
  unitDb = 0
  readonly command = new CommandDecoder({ oldMasters: true })
  readonly #spool: StreamSpool
  readonly #buffer: Buffer
  readonly #inner = new CommandEncoder(1 << 12)
  readonly #again = new CommandDecoder({ lines: 'none' })
  #isOpen = false
  #unitStart = -1
  #at = -1
  #readTo = -1
  #origin = 0

  constructor(spool: StreamSpool, bufferBytes: number) {
    this.#spool = spool
    this.#buffer = Buffer.allocUnsafeSlow(bufferBytes)
  }

  startAt(replOffset: number, db: number): void {
    this.position = this.#at = this.#readTo = replOffset
    this.db = db
    this.kind = UNIT.NONE
    this.#isOpen = false
    this.command.reset()
    this.#origin = replOffset - this.command.consumedBytes
  }

  /** The next whole unit of what was received; its bytes are valid until the next call. */
  next(): Unit {
    const { command } = this
    for (;;) {
      const status = command.next()
      if (status === RESP.MORE) {
        const count = this.#spool.read(this.#readTo, this.#buffer)
        if (count === 0) return (this.kind = UNIT.NONE)
        command.feed(this.#buffer, 0, count)
        this.#readTo += count
        continue
      }
      if (status === RESP.BAD) throw noCommand(this.#at, command.problem)
      const start = this.#at
      this.#at = this.#origin + command.consumedBytes
      if (status !== RESP.COMMAND) {
        if (!this.#isOpen) this.position = this.#at
        continue
      }
      if (this.#take(start)) return this.kind
    }
  }

  /** Each command of the unit at hand, with its db. */
  each(tell: (command: CommandDecoder, db: number) => void): void {
    if (this.kind === UNIT.COMMAND) {
      tell(this.command, this.db)
      return
    }
    const again = this.#again
    this.db = this.unitDb
    again.reset()
    again.feed(this.#inner.bytes, 0, this.#inner.length)
    while (again.next() === RESP.COMMAND) {
      if (isArg(again, 0, 'SELECT')) this.db = dbOf(again)
      else tell(again, this.db)
    }
  }

  /** True: a unit is whole. */
  #take(start: number): boolean {
    const { command } = this
    if (this.#isOpen) {
      if (!isArg(command, 0, 'EXEC')) {
        this.#inner.raw(command.bytes, command.start, command.end)
        return false
      }
      this.#isOpen = false
      return this.#told(UNIT.TRANSACTION, this.#unitStart)
    }
    if (isArg(command, 0, 'MULTI')) {
      this.#isOpen = true
      this.#unitStart = start
      this.#inner.reset()
      return false
    }
    if (isArg(command, 0, 'SELECT')) {
      this.db = dbOf(command)
      this.position = this.#at
      return false
    }
    return this.#told(UNIT.COMMAND, start)
  }

  #told(kind: Unit, start: number): true {
    this.kind = kind
    this.unitDb = this.db
    this.start = start
    this.end = this.position = this.#at
    return true
  }
}

function dbOf(command: CommandDecoder): number {
  return command.argc > 1 ? integerArg(command, 1) : 0
}

function noCommand(replOffset: number, problem: string): ProtocolError {
  return new ProtocolError(
    'ERR_SOURCE_STREAM',
    `the stream holds bytes that are no command at offset ${replOffset}: ${problem}`,
  )
}
