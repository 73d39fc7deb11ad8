/**
 * RESP commands into one growing buffer.
 *
 * `begin(argc)`, then that many arguments; many commands may follow each other. `bytes` holds
 * them up to `length`; the buffer is reused after `reset`, so copy or write it out before that.
 * Nothing is allocated per command once the buffer has its size.
 */
import { Buffer } from 'node:buffer'

const CR = 13
const LF = 10
const DOLLAR = 36
const STAR = 42
const DIGIT_0 = 48

const FIRST_BYTES = 65_536
const KEPT_BYTES = 4 << 20
const SLACK_BYTES = 4096

export class CommandEncoder {
  bytes: Buffer
  length = 0

  constructor(initialBytes = FIRST_BYTES) {
    this.bytes = Buffer.allocUnsafe(Math.max(initialBytes, 64))
  }

  /** What one huge command has taken is given back. */
  reset(): void {
    this.length = 0
    if (this.bytes.length > KEPT_BYTES) this.bytes = Buffer.allocUnsafe(FIRST_BYTES)
  }

  /** What has been encoded; shares the buffer. */
  view(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.bytes.length) return
    const { length } = this.bytes
    // Doubling what is huge would hold it three times; what follows one huge command is small.
    const grown = length < KEPT_BYTES ? 2 * length : length + (length >> 2)
    const next = Buffer.allocUnsafe(Math.max(needed + SLACK_BYTES, grown))
    this.bytes.copy(next, 0, 0, this.length)
    this.bytes = next
  }

  /** Starts a command of `argc` arguments, the name included. */
  begin(argc: number): this {
    this.#header(STAR, argc)
    return this
  }

  /** An argument: bytes[start] to bytes[end-1]. */
  bulk(bytes: Uint8Array, start = 0, end = bytes.length): this {
    const size = end - start
    this.reserve(size + 16)
    this.#header(DOLLAR, size)
    const out = this.bytes
    let at = this.length
    if (size <= 24) {
      for (let i = start; i < end; i++) out[at++] = bytes[i]!
    } else {
      out.set(bytes.subarray(start, end), at)
      at += size
    }
    out[at] = CR
    out[at + 1] = LF
    this.length = at + 2
    return this
  }

  /** An argument of ASCII text (names, options). */
  ascii(text: string): this {
    const size = text.length
    this.reserve(size + 16)
    this.#header(DOLLAR, size)
    const out = this.bytes
    let at = this.length
    for (let i = 0; i < size; i++) out[at++] = text.charCodeAt(i)
    out[at] = CR
    out[at + 1] = LF
    this.length = at + 2
    return this
  }

  /** An argument that is the decimal form of an integer. */
  integer(value: number | bigint): this {
    return this.ascii(value.toString())
  }

  /** Bytes that are RESP already. */
  raw(bytes: Uint8Array, start = 0, end = bytes.length): this {
    this.reserve(end - start)
    this.bytes.set(bytes.subarray(start, end), this.length)
    this.length += end - start
    return this
  }

  /** A whole command of ASCII arguments. */
  command(...args: readonly string[]): this {
    this.begin(args.length)
    for (const arg of args) this.ascii(arg)
    return this
  }

  #header(kind: number, value: number): void {
    this.reserve(16)
    const out = this.bytes
    let at = this.length
    out[at++] = kind
    if (value < 10) {
      out[at++] = DIGIT_0 + value
    } else {
      let digits = 1
      for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits += 1
      let rest = value
      for (let i = at + digits - 1; i >= at; i--) {
        const tenth = Math.floor(rest / 10)
        out[i] = DIGIT_0 + rest - 10 * tenth
        rest = tenth
      }
      at += digits
    }
    out[at] = CR
    out[at + 1] = LF
    this.length = at + 2
  }
}

/** One command as bytes of its own; for handshakes and tests, not for hot paths. */
export function encodeCommand(...args: readonly (string | Uint8Array)[]): Buffer {
  const encoder = new CommandEncoder(256)
  encoder.begin(args.length)
  for (const arg of args) encoder.bulk(typeof arg === 'string' ? Buffer.from(arg) : arg)
  return Buffer.from(encoder.view())
}
