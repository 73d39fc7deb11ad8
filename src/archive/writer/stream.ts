/**
 * Stream bytes into an increment: what can be stored as it came goes through in long runs, the
 * few commands that change the state or cannot be loaded back are looked at one by one.
 */
import type { Sidecar } from '../sidecar.js'
import {
  LOADABLE,
  makeLoadable,
  REWRITABLE_NAMES,
  REWRITABLE_NAMES_RELATIVE,
  SPECIAL_NAMES,
  SPECIAL_NAMES_RELATIVE,
} from '../../aof/loadable.js'
import { selectedDb } from '../../aof/aof-parser.js'
import { ProtocolError } from '../../errors.js'
import { isArg } from '../../resp/command-table.js'
import { CommandDecoder, RESP } from '../../resp/decoder.js'
import { CommandEncoder, encodeCommand } from '../../resp/encoder.js'
import { RreplayUnwrapper } from '../../resp/rreplay.js'
import { SlotSigns, type SlotSign } from '../../topology/slot-signs.js'
import { formatTrim } from '../marks.js'
import type { PartWriter } from './part.js'

/** A command that is not whole in a chunk is held up to this size, else written in pieces. */
const PIECE_BYTES = 1 << 20

export type OnSlots = (sign: SlotSign, replOffset: number, unixMs: number) => void

export class StreamTranslator {
  /** Commands stored. */
  commands = 0
  /** The master has asked for an acknowledgement; whoever answers sets it back. */
  getAckSeen = false

  readonly #sidecar: Pick<Sidecar, 'relativeTimes' | 'unixSeconds' | 'highestDbnum' | 'dropped'>
  readonly #onDropped: (command: string, replOffset: number) => void
  readonly #out = new CommandEncoder(4096)
  readonly #companion = new CommandEncoder(256)
  readonly #unwrapper = new RreplayUnwrapper()
  readonly #signs = new SlotSigns()
  readonly #onSlots: OnSlots | undefined
  #decoder = new CommandDecoder()
  #special: Uint8Array = SPECIAL_NAMES

  /**
   * @param sidecar what it tells decides, and is kept up to date
   * @param onDropped a command with an effect cannot be kept; `replOffset` is its last byte's
   * @param onSlots what the stream tells of slots that come and go
   */
  constructor(
    sidecar: Pick<Sidecar, 'relativeTimes' | 'unixSeconds' | 'highestDbnum' | 'dropped'>,
    onDropped: (command: string, replOffset: number) => void,
    onSlots?: OnSlots,
  ) {
    this.#sidecar = sidecar
    this.#onDropped = onDropped
    this.#onSlots = onSlots
    this.reset()
  }

  /** For a stream that begins anew, perhaps from another kind of master. */
  reset(): void {
    const { relativeTimes } = this.#sidecar
    this.#special = relativeTimes ? SPECIAL_NAMES_RELATIVE : SPECIAL_NAMES
    this.#decoder = new CommandDecoder({
      pieceBytes: PIECE_BYTES,
      holdWhole: relativeTimes ? REWRITABLE_NAMES_RELATIVE : REWRITABLE_NAMES,
    })
  }

  /** Forgets an unfinished command. */
  forgetUnfinished(): void {
    this.#decoder.reset()
  }

  /** Bytes of an unfinished command that are held in memory. */
  get heldBytes(): number {
    return this.#decoder.heldBytes
  }

  get atBoundary(): boolean {
    return this.#decoder.atBoundary
  }

  /**
   * Takes stream bytes into the part, and starts writing them.
   *
   * @param nowMs when they were received, unix ms
   */
  take(part: PartWriter, bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    const decoder = this.#decoder
    const nowSeconds = Math.floor(nowMs / 1000)
    decoder.feed(bytes, start, end)
    for (;;) {
      const skipped = decoder.skip(this.#special)
      if (skipped > 0) {
        this.#stamp(part, nowSeconds)
        part.store(decoder.bytes, decoder.start, decoder.end)
        this.commands += skipped
      }
      const status = decoder.next()
      if (status === RESP.COMMAND) {
        this.#takeSpecial(part, decoder, nowMs, nowSeconds)
      } else if (status === RESP.MORE) {
        break
      } else if (status === RESP.PIECE) {
        this.#takePiece(part, decoder, nowSeconds)
      } else if (status === RESP.NEWLINE) {
        part.leaveOut(1)
      } else {
        throw desyncError(part.replOffset + 1, decoder.problem)
      }
    }
    if (part.atBoundary) part.noteBoundary()
    part.kick()
  }

  #takeSpecial(part: PartWriter, command: CommandDecoder, nowMs: number, nowSeconds: number): void {
    const streamBytes = command.end - command.start
    if (RreplayUnwrapper.wraps(command)) {
      this.#takeWrapped(part, command, nowMs, nowSeconds)
    } else {
      this.#takeCommand(part, command, streamBytes, nowMs, nowSeconds)
    }
    if (part.atBoundary) part.noteBoundary()
  }

  /** KeyDB's RREPLAY: what it wraps, behind a SELECT of its db, which that stream never has. */
  #takeWrapped(part: PartWriter, command: CommandDecoder, nowMs: number, nowSeconds: number): void {
    const inner = this.#unwrapper.unwrap(command)
    const { dbnum } = this.#unwrapper
    if (inner === undefined) throw unknownRreplay(part.replOffset + 1)
    if (dbnum >= 0 && dbnum !== part.dbnum && !isPlumbing(inner)) {
      this.#stamp(part, nowSeconds)
      const select = encodeCommand('SELECT', String(dbnum))
      part.storeInstead(select, 0, select.length, 0)
      this.#selected(part, dbnum)
    }
    this.#takeCommand(part, inner, command.end - command.start, nowMs, nowSeconds)
  }

  /** @param streamBytes what the command takes in the stream; more than it has where it was wrapped */
  #takeCommand(
    part: PartWriter,
    command: CommandDecoder,
    streamBytes: number,
    nowMs: number,
    nowSeconds: number,
  ): void {
    if (isArg(command, 0, 'SELECT')) {
      const dbnum = selectedDb(command)
      if (dbnum < 0) throw desyncError(part.replOffset + 1, 'SELECT of no database')
      this.#stamp(part, nowSeconds)
      storeAs(part, command, streamBytes)
      this.#selected(part, dbnum)
    } else if (isArg(command, 0, 'MULTI')) {
      if (part.inTransaction) throw desyncError(part.replOffset + 1, 'MULTI inside MULTI')
      this.#stamp(part, nowSeconds)
      part.beginTransaction()
      storeAs(part, command, streamBytes)
    } else if (isArg(command, 0, 'EXEC')) {
      if (!part.inTransaction) throw desyncError(part.replOffset + 1, 'EXEC without MULTI')
      storeAs(part, command, streamBytes)
      part.endTransaction()
    } else {
      this.#takeLoadable(part, command, streamBytes, nowMs, nowSeconds)
    }
  }

  #selected(part: PartWriter, dbnum: number): void {
    part.select(dbnum)
    const sidecar = this.#sidecar
    if (dbnum > sidecar.highestDbnum) sidecar.highestDbnum = dbnum
  }

  #takeLoadable(
    part: PartWriter,
    command: CommandDecoder,
    streamBytes: number,
    nowMs: number,
    nowSeconds: number,
  ): void {
    const out = this.#out
    const companion = this.#companion
    out.reset()
    companion.reset()
    const sign = this.#signs.read(command)
    switch (makeLoadable(command, out, companion, nowMs)) {
      case LOADABLE.AS_IS:
        this.#stamp(part, nowSeconds)
        storeAs(part, command, streamBytes)
        this.commands += 1
        break
      case LOADABLE.REWRITTEN:
        this.#stamp(part, nowSeconds)
        part.storeInstead(out.bytes, 0, out.length, streamBytes)
        if (companion.length > 0) part.storeInstead(companion.bytes, 0, companion.length, 0)
        this.commands += 1
        break
      case LOADABLE.NOTHING:
        part.leaveOut(streamBytes)
        if (isArg(command, 0, 'REPLCONF')) this.getAckSeen = true
        break
      case LOADABLE.DROPPED: {
        // For readers of ours, who can find out which keys these are.
        const deleted = part.atBoundary && sign?.kind === 'deleted' ? sign.slots : undefined
        if (deleted !== undefined) this.#stamp(part, nowSeconds)
        part.leaveOut(streamBytes)
        if (deleted !== undefined) part.writeMark(formatTrim(part.replOffset, deleted))
        this.#drop(nameOf(command), part.replOffset)
      }
    }
    if (sign !== undefined) this.#onSlots?.(sign, part.replOffset, nowMs)
  }

  #drop(name: string, replOffset: number): void {
    const { dropped } = this.#sidecar
    dropped[name] = (dropped[name] ?? 0) + 1
    this.#onDropped(name, replOffset)
  }

  #takePiece(part: PartWriter, decoder: CommandDecoder, nowSeconds: number): void {
    if (decoder.pieceFirst) {
      this.#stamp(part, nowSeconds)
      if (part.atBoundary) part.noteBoundary()
      part.inPiece = true
    }
    part.store(decoder.bytes, decoder.start, decoder.end)
    if (!decoder.pieceLast) return
    part.inPiece = false
    this.commands += 1
    if (part.atBoundary) part.noteBoundary()
  }

  /** Before the first command of each second, outside of transactions. Never goes back. */
  #stamp(part: PartWriter, nowSeconds: number): void {
    const sidecar = this.#sidecar
    if (nowSeconds <= sidecar.unixSeconds || !part.atBoundary) return
    sidecar.unixSeconds = nowSeconds
    part.writeMark(`#TS:${nowSeconds}\r\n`)
  }
}

/** Name of a command that is left out; of CLUSTER with what it is to do. */
function nameOf(command: CommandDecoder): string {
  const name = command.arg(0).toString('latin1').toUpperCase()
  if (name !== 'CLUSTER' || command.argc < 2) return name
  const verb = command.arg(1).toString('latin1').toUpperCase()
  return /^FLUSHSLOTS?$/.test(verb) ? `${name} ${verb}` : name
}

/** As it came where it came so, else in place of what wrapped it. */
function storeAs(part: PartWriter, command: CommandDecoder, streamBytes: number): void {
  const { bytes, start, end } = command
  if (end - start === streamBytes) part.store(bytes, start, end)
  else part.storeInstead(bytes, start, end, streamBytes)
}

/** These change no data, whatever db is told with them. */
function isPlumbing(command: CommandDecoder): boolean {
  return isArg(command, 0, 'PING') || isArg(command, 0, 'REPLCONF')
}

/** Stored as it is it would stop every server but KeyDB. */
function unknownRreplay(replOffset: number): ProtocolError {
  return new ProtocolError(
    'ERR_NOT_SUPPORTED',
    `the stream of this KeyDB wraps commands in a way that is not known, at offset ${replOffset}`,
    {
      hint: 'without `active-replica yes` its stream is one that any server understands',
      details: { replOffset },
    },
  )
}

/** The bytes are not what a master sends at a command's boundary. */
function desyncError(replOffset: number, problem: string): ProtocolError {
  return new ProtocolError(
    'ERR_STREAM_DESYNC',
    `the stream does not go on with a command at offset ${replOffset}: ${problem}`,
    { details: { replOffset } },
  )
}
