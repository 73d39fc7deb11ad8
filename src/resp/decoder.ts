/**
 * RESP commands out of a byte stream, as offsets.
 *
 * A command is an array of bulk strings: what a master sends its replicas, what an append-only
 * file holds, what a client sends. `feed` a chunk, then call `next` until it says MORE. Each
 * command is described by positions in `args` (start and end of every argument in `bytes`), in
 * fields that the next call overwrites: nothing is allocated per command. Positions are valid
 * until the next call of `next` or `feed`.
 *
 * The decoder stops at any byte and goes on with the next chunk; a command that lies in two
 * chunks is joined in a buffer of its own. It never throws on bad bytes: `next` says BAD, and
 * `problem` and `problemAt` say what and where; what kind of error that is, the caller knows.
 */

/** What `next` found. */
export const RESP = {
  /** All bytes are used up (or held back): feed more. */
  MORE: 0,
  /** A whole command. */
  COMMAND: 1,
  /** A lone line feed between commands; counts one byte. */
  NEWLINE: 2,
  /** A line that is no command: an annotation (`#…`), with `lines: 'any'` an inline request, with
   * `oldMasters` an answer. */
  LINE: 3,
  /** A part of a command too large to hold (only with `pieceBytes`). */
  PIECE: 4,
  /** Bytes that are no command. The decoder stays where it is. */
  BAD: 5,
} as const

export type RespStatus = (typeof RESP)[keyof typeof RESP]

export interface DecoderOptions {
  /** Lines between commands: refused (default), `#` annotations only, or any (inline requests). */
  lines?: 'none' | 'annotations' | 'any'
  /** Also take what masters up to 2.6 put between the commands of a stream: `select 3` and `PING`
   * without RESP framing come as COMMANDs, and answers to what the replica sent (`+PONG`,
   * `-ERR …`), which count in offsets and mean nothing, as LINEs. */
  oldMasters?: boolean
  /** More arguments than this are an error. Default 2^30. */
  maxArgc?: number
  /** A single argument above this is an error. Default 2^30 bytes (servers: 512 MB). */
  maxBulkBytes?: number
  /** A command that must be held (it spans chunks) above this is an error. Default 2^31-2^20. */
  maxCommandBytes?: number
  /** Commands that are not whole in a chunk and larger than this come as PIECEs. Default: never. */
  pieceBytes?: number
  /** Names (see `nameTable`) whose commands are held whole whatever their size. */
  holdWhole?: Uint8Array
}

const CR = 13
const LF = 10
const HASH = 35
const DOLLAR = 36
const STAR = 42
const DIGIT_0 = 48
/** Digits of the largest count or length that is looked at. */
const MAX_DIGITS = 10
/** Servers refuse an inline request or annotation of 64 KB and of 1 KB. */
const MAX_LINE_BYTES = 65_536
/** First bytes of `select`, `PING`, `+PONG` and `-ERR`, the letters in both cases. */
const OLD_MASTER_BEGINS = [0x73, 0x53, 0x70, 0x50, 0x2b, 0x2d]
const MAX_OLD_LINE_BYTES = 512
/** How much is joined to a held command whose next length is not known yet. */
const JOIN_STEP_BYTES = 512
/** When so much of a command has come, room is made for all that it says it has, at once: by doubling
 * it would be there three times. */
const TRUSTED_BYTES = 8 << 20
/** What a huge command has taken is given back. */
const KEPT_BYTES = 4 << 20

/** A table over (length, first letter) of names: cheap to ask, exact only after a comparison. */
export function nameTable(names: readonly string[]): Uint8Array {
  const table = new Uint8Array(1024)
  for (const name of names) {
    if (name.length > 31 || name.length === 0) throw new RangeError(`name of ${name.length} bytes`)
    table[(name.length << 5) | (name.charCodeAt(0) & 31)] = 1
  }
  return table
}

export class CommandDecoder {
  /** Holds the current command, line or piece. */
  bytes: Uint8Array = new Uint8Array(0)
  /** First byte of the current item in `bytes`, and the byte behind it. */
  start = 0
  end = 0
  /** Number of arguments, the name included. */
  argc = 0
  /** Argument i is bytes[args[2i]] … bytes[args[2i+1]-1]. */
  args: Int32Array = new Int32Array(64)
  /** Bytes of all whole items (and pieces) given out so far. */
  consumedBytes = 0
  /** PIECE: it begins a command (then argument 0, the name, is in `args`); it ends one. */
  pieceFirst = false
  pieceLast = false
  /** BAD: what is wrong, and at which byte, counted as `consumedBytes` counts. */
  problem = ''
  problemAt = 0

  #chunk: Uint8Array = new Uint8Array(0)
  #position = 0
  #chunkEnd = 0
  /** Beginning of an unfinished item from earlier chunks. */
  #held: Uint8Array = new Uint8Array(0)
  #heldLength = 0
  /** Where the parsing of an unfinished command stands. */
  #partArgc = -1
  #partArg = 0
  #partAt = 0
  /** How many bytes behind `partAt` are wanted before it is worth trying again. */
  #wanted = 0
  /** A piece of the current command has been given out. */
  #streaming = false
  /** Bytes of the bulk string (with its CRLF) that a piece has broken off in. */
  #bulkLeft = 0
  readonly #annotations: boolean
  readonly #anyLines: boolean
  readonly #oldMasters: boolean
  readonly #maxArgc: number
  readonly #maxBulkBytes: number
  readonly #maxCommandBytes: number
  readonly #pieceBytes: number
  readonly #holdWhole: Uint8Array | undefined

  constructor(options: DecoderOptions = {}) {
    this.#annotations = options.lines === 'annotations' || options.lines === 'any'
    this.#anyLines = options.lines === 'any'
    this.#oldMasters = options.oldMasters === true
    this.#maxArgc = options.maxArgc ?? 2 ** 30
    this.#maxBulkBytes = options.maxBulkBytes ?? 2 ** 30
    this.#maxCommandBytes = options.maxCommandBytes ?? 2 ** 31 - 2 ** 20
    this.#pieceBytes = options.pieceBytes ?? Infinity
    this.#holdWhole = options.holdWhole
  }

  /** Gives the next chunk. The one before must have been used up (`next` said MORE). */
  feed(chunk: Uint8Array, start = 0, end = chunk.length): void {
    if (this.#heldLength === 0 && this.#held.length > KEPT_BYTES) this.#held = new Uint8Array(0)
    this.#chunk = chunk
    this.#position = start
    this.#chunkEnd = end
  }

  /** Bytes of an unfinished item that are held back. */
  get heldBytes(): number {
    return this.#heldLength
  }

  /** Nothing is unfinished: the stream may end or be joined here. */
  get atBoundary(): boolean {
    return this.#heldLength === 0 && !this.#streaming && this.#position === this.#chunkEnd
  }

  /** Forgets everything unfinished; for a stream that begins anew. */
  reset(): void {
    this.#heldLength = 0
    this.#streaming = false
    this.#bulkLeft = 0
    this.#partArgc = -1
    this.#position = this.#chunkEnd = 0
  }

  /** Argument i as a Buffer that shares the bytes. */
  arg(i: number): Buffer {
    const from = this.args[2 * i]!
    return Buffer.from(
      this.bytes.buffer,
      this.bytes.byteOffset + from,
      this.args[2 * i + 1]! - from,
    )
  }

  next(): RespStatus {
    if (this.#heldLength > 0 || this.#streaming) return this.#resume()
    const from = this.#position
    if (from >= this.#chunkEnd) return RESP.MORE
    this.bytes = this.#chunk
    this.start = from
    const behind = this.#whole(this.#chunk, from, this.#chunkEnd)
    if (behind > 0) {
      this.end = behind
      this.#position = behind
      this.consumedBytes += behind - from
      return RESP.COMMAND
    }
    // Cut, wrong, or no command: the careful way says which.
    const status = this.#begin(this.#chunk, from, this.#chunkEnd)
    if (status === RESP.COMMAND) {
      this.#position = this.end
      this.consumedBytes += this.end - from
      return status
    }
    if (status === RESP.MORE) return this.#breakOff()
    if (status !== RESP.BAD) {
      this.#position = this.end
      this.consumedBytes += this.end - from
    }
    return status
  }

  /**
   * Passes over whole commands in the chunk whose names are not in the table, and stops before
   * the first that is, that is unfinished, or that is no command. They are bytes[start] to
   * bytes[end-1] and can be copied in one piece. Returns their number, 0 if `next` must decide.
   */
  skip(table: Uint8Array): number {
    if (this.#heldLength > 0 || this.#streaming) return 0
    const bytes = this.#chunk
    const end = this.#chunkEnd
    const from = this.#position
    let good = from
    let commands = 0
    scan: while (good < end) {
      let at = good
      if (bytes[at] !== STAR) break
      at += 1
      let argc = 0
      let digit: number
      for (;;) {
        if (at >= end) break scan
        digit = bytes[at++]! - DIGIT_0
        if (digit < 0 || digit > 9) break
        argc = argc * 10 + digit
      }
      if (digit !== CR - DIGIT_0 || at >= end || bytes[at] !== LF) break
      if (argc <= 0 || argc > this.#maxArgc) break
      at += 1
      for (let i = 0; i < argc; i++) {
        if (at + 1 >= end || bytes[at] !== DOLLAR) break scan
        let length = bytes[at + 1]! - DIGIT_0
        if (length < 0 || length > 9) break scan
        at += 2
        for (;;) {
          if (at >= end) break scan
          digit = bytes[at++]! - DIGIT_0
          if (digit < 0 || digit > 9) break
          length = length * 10 + digit
        }
        if (digit !== CR - DIGIT_0 || length > this.#maxBulkBytes) break scan
        // LF, the bytes, CR, LF.
        const behind = at + length + 1
        if (behind + 2 > end || bytes[at] !== LF) break scan
        if (i === 0 && length < 32 && table[(length << 5) | (bytes[at + 1]! & 31)] === 1) break scan
        if (bytes[behind] !== CR || bytes[behind + 1] !== LF) break scan
        at = behind + 2
      }
      good = at
      commands += 1
    }
    if (commands > 0) {
      this.bytes = bytes
      this.start = from
      this.end = good
      this.#position = good
      this.consumedBytes += good - from
    }
    return commands
  }

  /** The way of nearly every command: in one piece, and sound. Its end, or 0. */
  #whole(bytes: Uint8Array, from: number, end: number): number {
    const args = this.args
    if (from + 4 > end || bytes[from] !== STAR) return 0
    let at = from + 2
    let argc = bytes[from + 1]! - DIGIT_0
    if (argc < 1 || argc > 9) return 0
    let digit = bytes[at++]! - DIGIT_0
    while (digit >= 0 && digit <= 9) {
      if (at >= end) return 0
      argc = argc * 10 + digit
      digit = bytes[at++]! - DIGIT_0
    }
    if (digit !== CR - DIGIT_0 || bytes[at] !== LF || 2 * argc > args.length) return 0
    at += 1
    for (let i = 0; i < argc; i++) {
      if (at + 5 > end || bytes[at] !== DOLLAR) return 0
      let length = bytes[at + 1]! - DIGIT_0
      if (length < 0 || length > 9) return 0
      digit = bytes[at + 2]! - DIGIT_0
      at += 3
      while (digit >= 0 && digit <= 9) {
        if (at >= end) return 0
        length = length * 10 + digit
        digit = bytes[at++]! - DIGIT_0
      }
      const data = at + 1
      const behind = data + length
      if (behind + 2 > end || digit !== CR - DIGIT_0 || bytes[at] !== LF) return 0
      if (length > this.#maxBulkBytes) return 0
      if (bytes[behind] !== CR || bytes[behind + 1] !== LF) return 0
      args[2 * i] = data
      args[2 * i + 1] = behind
      at = behind + 2
    }
    if (argc > this.#maxArgc) return 0
    this.argc = argc
    return at
  }

  /** An item from its first byte. */
  #begin(bytes: Uint8Array, from: number, end: number): RespStatus {
    const first = bytes[from]!
    if (first !== STAR) return this.#line(bytes, from, end, first)
    let at = from + 1
    let argc = 0
    let digit: number
    for (;;) {
      if (at >= end) return at - from > MAX_DIGITS + 1 ? this.#badCount(from) : this.#short(from)
      digit = bytes[at++]! - DIGIT_0
      if (digit < 0 || digit > 9) break
      argc = argc * 10 + digit
    }
    if (
      digit !== CR - DIGIT_0 ||
      at - from > MAX_DIGITS + 2 ||
      argc === 0 ||
      argc > this.#maxArgc
    ) {
      return this.#badCount(from)
    }
    if (at >= end) return this.#short(from)
    if (bytes[at] !== LF) return this.#bad('no line feed behind the argument count', at)
    this.#partArgc = argc
    return this.#continueArgs(bytes, 0, argc, at + 1, end)
  }

  /** Arguments i … argc-1 from `at`. On MORE, `part…` and `wanted` say where to go on. */
  #continueArgs(
    bytes: Uint8Array,
    first: number,
    argc: number,
    from: number,
    end: number,
  ): RespStatus {
    let args = this.args
    let at = from
    for (let i = first; i < argc; i++) {
      const header = at
      if (at >= end) return this.#shortArg(i, header, 4)
      if (bytes[at] !== DOLLAR) return this.#bad("an argument does not begin with '$'", at)
      at += 1
      let length = 0
      let digit: number
      for (;;) {
        if (at >= end) {
          if (at - header > MAX_DIGITS + 1) return this.#bad('bad argument length', header)
          return this.#shortArg(i, header, at - header + 1)
        }
        digit = bytes[at++]! - DIGIT_0
        if (digit < 0 || digit > 9) break
        length = length * 10 + digit
      }
      if (digit !== CR - DIGIT_0 || at - header < 3 || length > this.#maxBulkBytes) {
        return this.#bad('bad argument length', header)
      }
      const data = at + 1
      const behind = data + length
      if (behind + 2 > end) {
        if (at < end && bytes[at] !== LF) {
          return this.#bad('no line feed behind an argument length', at)
        }
        return this.#shortArg(i, header, behind + 2 - header)
      }
      if (bytes[at] !== LF) return this.#bad('no line feed behind an argument length', at)
      if (bytes[behind] !== CR || bytes[behind + 1] !== LF) {
        return this.#bad('an argument is not followed by CR LF', behind)
      }
      if (2 * i + 1 >= args.length) args = this.#growArgs()
      args[2 * i] = data
      args[2 * i + 1] = behind
      at = behind + 2
    }
    this.argc = argc
    this.end = at
    return RESP.COMMAND
  }

  /** An item that is no array: a line feed, an annotation, an inline request. */
  #line(bytes: Uint8Array, from: number, end: number, first: number): RespStatus {
    if (first === LF) {
      this.end = from + 1
      return RESP.NEWLINE
    }
    if (this.#oldMasters && OLD_MASTER_BEGINS.includes(first))
      return this.#oldLine(bytes, from, end)
    if (!(first === HASH ? this.#annotations : this.#anyLines)) {
      return this.#bad(`a command begins with '*', not byte 0x${first.toString(16)}`, from)
    }
    const found = bytes.subarray(from, end).indexOf(LF)
    if ((found < 0 ? end - from : found) > MAX_LINE_BYTES) return this.#bad('line too long', from)
    if (found < 0) return this.#short(from)
    this.end = from + found + 1
    return RESP.LINE
  }

  /** With `oldMasters`: `select 3`, `PING`, or an answer. What is none of them is no command: the
   * begin of a value, say, where the bytes are read from a wrong offset. */
  #oldLine(bytes: Uint8Array, from: number, end: number): RespStatus {
    const limit = Math.min(end, from + MAX_OLD_LINE_BYTES)
    const found = bytes.subarray(from, limit).indexOf(LF)
    if (found < 0 && limit < end) return this.#bad('line too long', from)
    if (found < 0) return this.#short(from)
    const behind = from + found + 1
    const text = String.fromCharCode(...bytes.subarray(from, behind))
    if (/^(?:\+PONG|\+OK|-[A-Z]+ [^\r\n]*)\r?\n$/.test(text)) {
      this.end = behind
      return RESP.LINE
    }
    const word = /^(?:PING|SELECT(?= \d))/i.exec(text)?.[0].length ?? 0
    const rest = /^(?: (\d{1,9}))?\r?\n$/.exec(text.slice(word))
    if (word === 0 || rest === null) {
      return this.#bad(`a command begins with '*', not byte 0x${bytes[from]!.toString(16)}`, from)
    }
    const number = rest[1]?.length ?? 0
    const { args } = this
    args[0] = from
    args[1] = from + word
    args[2] = from + word + 1
    args[3] = from + word + 1 + number
    this.argc = number === 0 ? 1 : 2
    this.end = behind
    return RESP.COMMAND
  }

  /** The chunk ends inside an item that began in it: keep its beginning, or give out a piece. */
  #breakOff(): RespStatus {
    const from = this.#position
    const available = this.#chunkEnd - from
    if (this.#mayPiece(from, available)) return this.#piece(this.#chunk, from, this.#chunkEnd)
    return this.#hold(from, available)
  }

  #hold(from: number, length: number): RespStatus {
    this.#reserve(
      Math.min(this.#partAt - from + this.#wanted, 2 * length + JOIN_STEP_BYTES),
      length,
    )
    this.#held.set(this.#chunk.subarray(from, from + length), 0)
    this.#heldLength = length
    if (this.#partArgc >= 0 && !this.#streaming) {
      for (let i = 0; i < 2 * this.#partArg; i++) this.args[i] = this.args[i]! - from
    }
    this.#partAt -= from
    this.#position = this.#chunkEnd
    return RESP.MORE
  }

  /** Joins new bytes to what is held until the item is whole. */
  #resume(): RespStatus {
    if (this.#bulkLeft > 0) return this.#resumeBulk()
    while (this.#position < this.#chunkEnd || this.#heldLength === 0) {
      if (this.#heldLength === 0) {
        // Streaming, at the head of a further argument that begins in this chunk.
        if (this.#position >= this.#chunkEnd) return RESP.MORE
        return this.#resumeArgs()
      }
      const missing = Math.max(this.#partAt + this.#wanted - this.#heldLength, 1)
      const take = Math.min(
        this.#chunkEnd - this.#position,
        this.#wanted > JOIN_STEP_BYTES ? missing : Math.max(missing, JOIN_STEP_BYTES),
      )
      const before = this.#heldLength
      if (before + take > this.#maxCommandBytes) {
        return this.#bad(`a command is larger than ${this.#maxCommandBytes} bytes`, 0)
      }
      const claimed = before < TRUSTED_BYTES ? 0 : this.#partAt + this.#wanted
      this.#reserve(Math.max(before + take, claimed), before + take)
      this.#held.set(this.#chunk.subarray(this.#position, this.#position + take), before)
      this.#heldLength = before + take
      this.bytes = this.#held
      this.start = 0
      const status =
        this.#partArgc < 0
          ? this.#begin(this.#held, 0, this.#heldLength)
          : this.#continueArgs(
              this.#held,
              this.#partArg,
              this.#partArgc,
              this.#partAt,
              this.#heldLength,
            )
      if (status === RESP.BAD) {
        this.#heldLength = before
        return status
      }
      this.#position += take
      if (status === RESP.MORE) {
        if (this.#mayPiece(0, this.#heldLength)) {
          const piece = this.#piece(this.#held, 0, this.#heldLength)
          if (piece !== RESP.MORE) return piece
        }
        continue
      }
      // What was joined beyond the item's end came from this chunk: give it back.
      this.#position -= this.#heldLength - this.end
      this.#heldLength = 0
      this.consumedBytes += this.end
      if (this.#streaming) return this.#lastPiece()
      this.#partArgc = -1
      return status
    }
    return RESP.MORE
  }

  /** Streaming: further arguments straight from the chunk. */
  #resumeArgs(): RespStatus {
    const from = this.#position
    this.bytes = this.#chunk
    this.start = from
    const status = this.#continueArgs(
      this.#chunk,
      this.#partArg,
      this.#partArgc,
      from,
      this.#chunkEnd,
    )
    if (status === RESP.BAD) return status
    if (status === RESP.MORE) return this.#breakOff()
    this.#position = this.end
    this.consumedBytes += this.end - from
    return this.#lastPiece()
  }

  /** Streaming: the rest of a bulk string. */
  #resumeBulk(): RespStatus {
    const from = this.#position
    const take = Math.min(this.#chunkEnd - from, this.#bulkLeft)
    if (take === 0) return RESP.MORE
    // Its CR and LF may lie in two chunks.
    const crAt = from + this.#bulkLeft - 2
    if (
      (crAt >= from && crAt < from + take && this.#chunk[crAt] !== CR) ||
      (crAt + 1 < from + take && this.#chunk[crAt + 1] !== LF)
    ) {
      this.start = from
      return this.#bad('an argument is not followed by CR LF', from + this.#bulkLeft - 2)
    }
    this.#bulkLeft -= take
    this.bytes = this.#chunk
    this.start = from
    this.end = from + take
    this.#position = this.end
    this.consumedBytes += take
    this.pieceFirst = false
    if (this.#bulkLeft === 0) {
      this.#partArg += 1
      if (this.#partArg === this.#partArgc) return this.#lastPiece()
    }
    this.pieceLast = false
    return RESP.PIECE
  }

  #mayPiece(from: number, available: number): boolean {
    if (
      this.#partArgc < 0 ||
      Math.max(available, this.#partAt - from + this.#wanted) <= this.#pieceBytes
    ) {
      return false
    }
    if (this.#streaming) return true
    if (this.#partArg === 0) return false
    const length = this.args[1]! - this.args[0]!
    const hold = this.#holdWhole
    return (
      hold === undefined ||
      length > 31 ||
      hold[(length << 5) | (this.bytes[this.args[0]!]! & 31)] !== 1
    )
  }

  /** Gives out bytes[from] … bytes[end-1], in the middle of argument `partArg` or before it. */
  #piece(bytes: Uint8Array, from: number, end: number): RespStatus {
    const inBulk = bytes.subarray(this.#partAt, end).includes(LF)
    // A header that is cut is held, so that lengths are always read whole.
    const until = inBulk ? end : this.#partAt
    if (until === from) return bytes === this.#held ? RESP.MORE : this.#hold(from, end - from)
    const status = this.#givePiece(bytes, from, until)
    if (inBulk) {
      this.#bulkLeft = this.#partAt + this.#wanted - end
      if (bytes === this.#held) this.#heldLength = 0
      else this.#position = end
    } else if (bytes === this.#held) {
      // Everything in `held` from partAt on is a cut header, which came from this chunk or is held on.
      const rest = end - until
      // The piece lies in `held`: hand it over and hold the rest in a new buffer.
      const next = new Uint8Array(Math.max(JOIN_STEP_BYTES, rest))
      next.set(bytes.subarray(until, end))
      this.#held = next
      this.#heldLength = rest
      this.#partAt = 0
    } else {
      this.#position = until
      this.#partAt = 0
    }
    return status
  }

  #givePiece(bytes: Uint8Array, from: number, until: number): RespStatus {
    this.bytes = bytes
    this.start = from
    this.end = until
    this.argc = this.#partArgc
    this.pieceFirst = !this.#streaming
    this.pieceLast = false
    this.#streaming = true
    this.consumedBytes += until - from
    return RESP.PIECE
  }

  #lastPiece(): RespStatus {
    this.argc = this.#partArgc
    this.pieceFirst = false
    this.pieceLast = true
    this.#streaming = false
    this.#partArgc = -1
    return RESP.PIECE
  }

  #short(from: number): RespStatus {
    this.#partArgc = -1
    this.#partAt = from
    this.#partArg = 0
    this.#wanted = 0
    return RESP.MORE
  }

  #shortArg(i: number, header: number, wanted: number): RespStatus {
    this.#partArg = i
    this.#partAt = header
    this.#wanted = wanted
    return RESP.MORE
  }

  #bad(problem: string, at: number): RespStatus {
    this.problem = problem
    this.problemAt = this.consumedBytes + Math.max(at - this.start, 0)
    return RESP.BAD
  }

  #badCount(from: number): RespStatus {
    return this.#bad('bad argument count', from)
  }

  #reserve(capacity: number, atLeast: number): void {
    const want = Math.max(capacity, atLeast, JOIN_STEP_BYTES)
    if (this.#held.length >= atLeast) return
    const next = new Uint8Array(Math.max(want, Math.min(2 * this.#held.length, 2 ** 31 - 1)))
    next.set(this.#held.subarray(0, this.#heldLength))
    this.#held = next
  }

  #growArgs(): Int32Array {
    const next = new Int32Array(2 * this.args.length)
    next.set(this.args)
    this.args = next
    return next
  }
}
