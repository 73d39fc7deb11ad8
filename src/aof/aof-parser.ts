/**
 * Reads the RESP part of an append-only file: commands, annotations, transactions.
 *
 * `push` chunks in order, then call `end`. Each command is reported once it is whole, with the
 * byte offset it begins at, the database selected, the time of the last `#TS:` line, and whether
 * it stands in a transaction. An RDB preamble is the caller's: parse it with the RDB parser and
 * begin here behind its checksum (`byteOffset`).
 *
 * Stricter than servers are: CR LF is demanded and lengths are exact. Wrong bytes throw AofError
 * (corrupt, with the offset); bytes that stop are told by `end`, since a last part may stop.
 * Source: redis 7.2 src/aof.c loadSingleAppendOnlyFile, src/redis-check-aof.c.
 */
import { Buffer } from 'node:buffer'
import { AofError } from '../errors.js'
import { isArg } from '../resp/command-table.js'
import { CommandDecoder, RESP } from '../resp/decoder.js'

/** Where the parser stands; one object, reused for every event. */
export interface AofPosition {
  /** First byte of the command or annotation in the file. */
  byteOffset: number
  /** The byte behind it. */
  endByteOffset: number
  /** Database that the command works on (SELECT itself: the one before). */
  dbnum: number
  /** Inside MULTI … EXEC; true for EXEC, false for MULTI itself. */
  inTransaction: boolean
  /** Unix seconds of the last `#TS:` line of this or an earlier part, or -1. */
  unixSeconds: number
}

export interface AofVisitor {
  /** A whole command, SELECT, MULTI and EXEC included. Arguments are valid during the call. */
  command(command: CommandDecoder, at: AofPosition): void
  /** A `#TS:` line, after `at.unixSeconds` was set. */
  timestamp?(unixSeconds: number, at: AofPosition): void
  /** Any other `#` line, without its line end. */
  annotation?(line: Buffer, at: AofPosition): void
  /** Behind every item that a file may end with: not inside a transaction. `at.dbnum` is the
   * database that the next command works on. */
  boundary?(at: AofPosition): void
}

export interface AofParserOptions {
  /** Name for errors. */
  file?: string
  /** Offset of the first byte pushed; behind an RDB preamble not 0. */
  byteOffset?: number
  /** Carried over from the part before; parts of their own begin in database 0. */
  unixSeconds?: number
}

export interface AofEnd {
  /** False: the bytes stop inside a command or a transaction. */
  complete: boolean
  /** Offset up to which a server would keep the file. */
  validByteOffset: number
  /** Offset at which the bytes stop. */
  endByteOffset: number
  /** Commands reported. */
  commands: number
  /** What was being read where the bytes stop. */
  reading: 'command' | 'transaction' | undefined
}

/** Servers read annotations into a buffer of this size. */
const MAX_ANNOTATION_BYTES = 1022

export class AofParser {
  readonly position: AofPosition
  /** Set from a callback to stop before the next item; `push` then returns. */
  stopped = false
  commands = 0
  /** Behind the last item outside a transaction. */
  validByteOffset: number

  readonly #decoder: CommandDecoder
  readonly #visitor: AofVisitor
  readonly #file: string | undefined
  readonly #base: number
  #transactionByteOffset = -1
  #fedBytes = 0

  constructor(visitor: AofVisitor, options: AofParserOptions = {}) {
    this.#visitor = visitor
    this.#file = options.file
    this.#base = options.byteOffset ?? 0
    this.validByteOffset = this.#base
    this.#decoder = new CommandDecoder({ lines: 'annotations' })
    this.position = {
      byteOffset: this.#base,
      endByteOffset: this.#base,
      dbnum: 0,
      inTransaction: false,
      unixSeconds: options.unixSeconds ?? -1,
    }
  }

  /** Stops the parser; for callbacks that have seen enough (a time, an offset). */
  stop(): void {
    this.stopped = true
  }

  push(chunk: Uint8Array, start = 0, end = chunk.length): void {
    if (this.stopped) return
    const decoder = this.#decoder
    const position = this.position
    this.#fedBytes += end - start
    decoder.feed(chunk, start, end)
    while (!this.stopped) {
      const status = decoder.next()
      if (status === RESP.MORE) return
      if (status !== RESP.COMMAND && status !== RESP.LINE) this.#refuse(status === RESP.NEWLINE)
      position.endByteOffset = this.#base + decoder.consumedBytes
      position.byteOffset = position.endByteOffset - (decoder.end - decoder.start)
      if (status === RESP.COMMAND) this.#command()
      else this.#line()
      if (this.#transactionByteOffset < 0) {
        this.validByteOffset = position.endByteOffset
        this.#visitor.boundary?.(position)
      }
    }
  }

  /** All bytes have been pushed: is the end a good one? */
  end(): AofEnd {
    const inCommand = !this.#decoder.atBoundary && !this.stopped
    const inTransaction = this.#transactionByteOffset >= 0
    return {
      complete: !inCommand && !inTransaction,
      validByteOffset: this.validByteOffset,
      endByteOffset: this.#base + this.#fedBytes,
      commands: this.commands,
      reading: inCommand ? 'command' : inTransaction ? 'transaction' : undefined,
    }
  }

  #command(): void {
    const decoder = this.#decoder
    const position = this.position
    this.commands += 1
    const length = decoder.args[1]! - decoder.args[0]!
    const initial = decoder.bytes[decoder.args[0]!]! & 0xdf
    // M, E, S: the three names that change the parser's state.
    if (length === 5 && initial === 0x4d && isArg(decoder, 0, 'MULTI')) {
      if (this.#transactionByteOffset >= 0) this.#corrupt('MULTI inside a transaction')
      this.#visitor.command(decoder, position)
      this.#transactionByteOffset = position.byteOffset
      position.inTransaction = true
      return
    }
    if (length === 4 && initial === 0x45 && isArg(decoder, 0, 'EXEC')) {
      if (this.#transactionByteOffset < 0) this.#corrupt('EXEC without MULTI')
      this.#visitor.command(decoder, position)
      this.#transactionByteOffset = -1
      position.inTransaction = false
      return
    }
    if (length === 6 && initial === 0x53 && isArg(decoder, 0, 'SELECT')) {
      const dbnum = selectedDb(decoder)
      if (dbnum < 0) this.#corrupt('SELECT of no database')
      this.#visitor.command(decoder, position)
      position.dbnum = dbnum
      return
    }
    this.#visitor.command(decoder, position)
  }

  #line(): void {
    const { bytes, start, end } = this.#decoder
    const view = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
    const textEnd = view.length - (view[view.length - 2] === 13 ? 2 : 1)
    if (textEnd > MAX_ANNOTATION_BYTES) this.#corrupt('annotation too long')
    const text = view.subarray(0, textEnd)
    if (text.length > 4 && text.toString('latin1', 0, 4) === '#TS:') {
      const seconds = text.toString('latin1', 4)
      if (!/^\d{1,15}$/.test(seconds) || view[textEnd] !== 13) this.#corrupt('bad #TS: annotation')
      this.position.unixSeconds = Number(seconds)
      this.#visitor.timestamp?.(this.position.unixSeconds, this.position)
    } else {
      this.#visitor.annotation?.(text, this.position)
    }
  }

  #refuse(isNewline: boolean): never {
    const decoder = this.#decoder
    throw new AofError(
      'ERR_AOF_CORRUPT',
      {
        file: this.#file,
        byteOffset: this.#base + (isNewline ? decoder.consumedBytes - 1 : decoder.problemAt),
        reading: 'command',
      },
      isNewline ? 'a lone line feed between commands' : decoder.problem,
    )
  }

  #corrupt(message: string): never {
    throw new AofError(
      'ERR_AOF_CORRUPT',
      { file: this.#file, byteOffset: this.position.byteOffset },
      message,
    )
  }
}

/** The database number of a SELECT, or -1. */
export function selectedDb(command: CommandDecoder): number {
  if (command.argc !== 2) return -1
  const start = command.args[2]!
  const end = command.args[3]!
  if (end === start || end - start > 9) return -1
  let dbnum = 0
  for (let i = start; i < end; i++) {
    const digit = command.bytes[i]! - 48
    if (digit < 0 || digit > 9) return -1
    dbnum = 10 * dbnum + digit
  }
  return dbnum
}
