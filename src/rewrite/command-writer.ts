/**
 * Commands as RESP frames, written into an output buffer without a single allocation.
 *
 * A command whose number of arguments is known begins with a ready-made head; one that takes as
 * many elements as come (`open` … `close`) is held in the buffer until its count is known. The
 * caller closes it in time: `isFull` says when.
 */
import { Buffer } from 'node:buffer'
import type { Slice } from '../rdb/visitor.js'
import { digitCount, writeDecimal, type OutputBuffer } from '../bytes/output-buffer.js'

const STAR = 42
const DOLLAR = 36
const CR = 13
const LF = 10

/** A variadic command is closed when it has so many arguments or so many bytes. */
export const BATCH_ARGS = 512
export const BATCH_BYTES = 1 << 16
const COPY_LOOP_MAX_BYTES = 40
/** Two digits of length. */
const SHORT_PAIR_MAX_BYTES = 99

/** The bytes of a command's name, as the first bulk of a variadic command. */
export function bulkOf(text: string): Uint8Array {
  return Buffer.from(`$${Buffer.byteLength(text)}\r\n${text}\r\n`, 'latin1')
}

/** The head of a command of `argc` arguments, of which the first ones are these. */
export function headOf(argc: number, ...first: readonly string[]): Uint8Array {
  const bulks = first.map((each) => `$${each.length}\r\n${each}\r\n`)
  return Buffer.from(`*${argc}\r\n${bulks.join('')}`, 'latin1')
}

export class CommandWriter {
  /** Whole commands written so far: replies to expect. */
  commands = 0
  /** The db that the connection behind `out` has selected; -1: not known. */
  selectedDb = -1
  readonly out: OutputBuffer
  /** Arguments of the open command so far, its name included. */
  openArgs = 0
  #openName: Uint8Array | undefined
  /** Digits left free for the count; the last command's count is the best guess. */
  #digitsReserved = 1

  constructor(out: OutputBuffer) {
    this.out = out
  }

  /** Begins a command of a known number of arguments; the rest of them must follow. */
  begin(head: Uint8Array): void {
    this.out.write(head)
    this.commands += 1
  }

  /** Begins a command of `argc` arguments, its name included. */
  beginCounted(argc: number, name: Uint8Array): void {
    const { out } = this
    out.room(24)
    out.bytes[out.pos] = STAR
    const at = writeDecimal(out.bytes, out.pos + 1, argc)
    out.bytes[at] = CR
    out.bytes[at + 1] = LF
    out.pos = at + 2
    out.write(name)
    this.commands += 1
  }

  /** True while a variadic command waits for more. */
  get isOpen(): boolean {
    return this.#openName !== undefined
  }

  /** True when the open command should be closed before the next element. */
  get isFull(): boolean {
    return this.openArgs >= BATCH_ARGS || this.out.heldBytes >= BATCH_BYTES
  }

  /** Begins a command whose arguments are counted as they come. */
  open(name: Uint8Array): void {
    const { out } = this
    out.hold()
    out.room(24)
    out.pos += this.#digitsReserved + 3
    out.write(name)
    this.#openName = name
    this.openArgs = 1
  }

  /** Ends the open command, if there is one. */
  close(): void {
    if (this.#openName === undefined) return
    const { out } = this
    const digits = digitCount(this.openArgs)
    const shift = digits - this.#digitsReserved
    if (shift !== 0) {
      out.room(8)
      const body = out.heldAt + this.#digitsReserved + 3
      out.bytes.copyWithin(body + shift, body, out.pos)
      out.pos += shift
      this.#digitsReserved = digits
    }
    const at = out.heldAt
    out.bytes[at] = STAR
    writeDecimal(out.bytes, at + 1, this.openArgs)
    out.bytes[at + 1 + digits] = CR
    out.bytes[at + 2 + digits] = LF
    out.release()
    this.#openName = undefined
    this.commands += 1
  }

  /** Takes the open command back. */
  cancel(): void {
    this.out.drop()
    this.#openName = undefined
  }

  /** One argument. */
  bulk(source: Uint8Array, start: number, end: number): void {
    const { out } = this
    const length = end - start
    this.openArgs += 1
    if (length > COPY_LOOP_MAX_BYTES) {
      this.#longBulk(source, start, end)
      return
    }
    out.room(COPY_LOOP_MAX_BYTES + 8)
    const { bytes } = out
    let at = out.pos
    bytes[at] = DOLLAR
    if (length < 10) {
      bytes[at + 1] = 48 + length
      at += 2
    } else {
      const tens = (length / 10) | 0
      bytes[at + 1] = 48 + tens
      bytes[at + 2] = 48 + length - 10 * tens
      at += 3
    }
    bytes[at] = CR
    bytes[at + 1] = LF
    at += 2
    for (let from = start; from < end; from += 1) bytes[at++] = source[from]!
    bytes[at] = CR
    bytes[at + 1] = LF
    out.pos = at + 2
  }

  /** A head and two arguments in one go: what most keys of most files are. */
  beginWithTwo(head: Uint8Array, first: Slice, second: Slice): void {
    const firstBytes = first.end - first.start
    const secondBytes = second.end - second.start
    if (firstBytes > SHORT_PAIR_MAX_BYTES || secondBytes > SHORT_PAIR_MAX_BYTES) {
      this.begin(head)
      this.bulk(first.bytes, first.start, first.end)
      this.bulk(second.bytes, second.start, second.end)
      return
    }
    const { out } = this
    const headBytes = head.length
    out.room(headBytes + 2 * (SHORT_PAIR_MAX_BYTES + 8))
    const { bytes } = out
    let at = out.pos
    for (let from = 0; from < headBytes; from += 1) bytes[at++] = head[from]!
    at = writeShortBulk(bytes, at, first.bytes, first.start, firstBytes)
    out.pos = writeShortBulk(bytes, at, second.bytes, second.start, secondBytes)
    this.commands += 1
  }

  /** An argument that is ready as a bulk (`bulkOf`). */
  constant(bulk: Uint8Array): void {
    this.openArgs += 1
    this.out.write(bulk)
  }

  /** An argument that is the decimal form of an integer, |value| < 2^53. */
  decimal(value: number): void {
    const { out } = this
    this.openArgs += 1
    out.room(40)
    const { bytes } = out
    const digits = value < 0 ? 1 + digitCount(-value) : digitCount(value)
    let at = out.pos
    bytes[at] = DOLLAR
    at = writeDecimal(bytes, at + 1, digits)
    bytes[at] = CR
    bytes[at + 1] = LF
    at = writeDecimal(bytes, at + 2, value)
    bytes[at] = CR
    bytes[at + 1] = LF
    out.pos = at + 2
  }

  /** An argument of ASCII text: for what is rare. */
  text(value: string): void {
    const bytes = Buffer.from(value, 'latin1')
    this.bulk(bytes, 0, bytes.length)
  }

  /** The head of a bulk of so many bytes; they and `bulkEnd` must follow. */
  bulkStart(byteCount: number): void {
    const { out } = this
    this.openArgs += 1
    out.room(24)
    out.bytes[out.pos] = DOLLAR
    const at = writeDecimal(out.bytes, out.pos + 1, byteCount)
    out.bytes[at] = CR
    out.bytes[at + 1] = LF
    out.pos = at + 2
  }

  bulkEnd(): void {
    const { out } = this
    out.room(2)
    out.bytes[out.pos] = CR
    out.bytes[out.pos + 1] = LF
    out.pos += 2
  }

  #longBulk(source: Uint8Array, start: number, end: number): void {
    this.openArgs -= 1
    this.bulkStart(end - start)
    this.out.write(source, start, end)
    this.bulkEnd()
  }
}

/** At most 99 bytes, into room that is there; returns where it ends. */
function writeShortBulk(
  bytes: Uint8Array,
  position: number,
  source: Uint8Array,
  start: number,
  length: number,
): number {
  let at = position
  bytes[at] = DOLLAR
  if (length < 10) {
    bytes[at + 1] = 48 + length
    at += 2
  } else {
    const tens = (length / 10) | 0
    bytes[at + 1] = 48 + tens
    bytes[at + 2] = 48 + length - 10 * tens
    at += 3
  }
  bytes[at] = CR
  bytes[at + 1] = LF
  at += 2
  const end = start + length
  for (let from = start; from < end; from += 1) bytes[at++] = source[from]!
  bytes[at] = CR
  bytes[at + 1] = LF
  return at + 2
}
