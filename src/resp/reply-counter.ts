/**
 * Counts a server's replies without building them.
 *
 * A pipeline that has sent n commands wants to know how many were answered and what the errors
 * said; the rest is thrown away. `push` a chunk and ask `replies`. Nested arrays (EXEC) count
 * as one reply; an error inside one is reported with the number of the reply it stands in and
 * its place in it. RESP2 and RESP3 are read; a reply may be cut at any byte.
 */

export interface ReplyCounterOptions {
  /**
   * An error reply. `reply` counts from 0 over the life of the counter; `element` is the place
   * in a top-level array, or -1. The text (without `-` and CR LF) is valid during the call.
   */
  onError: (reply: number, element: number, text: Uint8Array) => void
  /** A simple string other than OK (such as QUEUED), where the caller wants to see them. */
  onSimple?: (reply: number, element: number, text: Uint8Array) => void
  /** An integer reply at top level, where the caller wants to see them. */
  onInteger?: (reply: number, value: number) => void
}

const CR = 13
const LF = 10
/** Error texts are kept up to this size. */
const MAX_LINE_BYTES = 65_536

export class ReplyCounter {
  /** Whole replies so far. */
  replies = 0
  /** The first byte that begins no reply, or -1. Nothing is counted behind it. */
  badByte = -1

  readonly #options: ReplyCounterOptions
  /** The line being read, where a chunk ended inside it. */
  #line = new Uint8Array(256)
  #lineLength = 0
  /** Bytes of a bulk string (with its CR LF) still to come. */
  #skipBytes = 0
  /** Elements still to come, outermost first; empty at top level. */
  readonly #pending: number[] = []
  #topLength = 0

  constructor(options: ReplyCounterOptions) {
    this.#options = options
  }

  /** Nothing is unfinished. */
  get atBoundary(): boolean {
    return this.#lineLength === 0 && this.#skipBytes === 0 && this.#pending.length === 0
  }

  push(chunk: Uint8Array, start = 0, end = chunk.length): void {
    let at = start
    while (at < end && this.badByte < 0) {
      if (this.#skipBytes > 0) {
        const take = Math.min(this.#skipBytes, end - at)
        at += take
        this.#skipBytes -= take
        if (this.#skipBytes === 0) this.#finish()
        continue
      }
      // The common case whole in the chunk: +OK.
      if (
        this.#lineLength === 0 &&
        end - at >= 5 &&
        chunk[at] === 0x2b &&
        chunk[at + 1] === 0x4f &&
        chunk[at + 2] === 0x4b &&
        chunk[at + 3] === CR &&
        chunk[at + 4] === LF
      ) {
        at += 5
        this.#finish()
        continue
      }
      let lineEnd = at
      while (lineEnd < end && chunk[lineEnd] !== LF) lineEnd += 1
      if (lineEnd === end) {
        this.#keep(chunk, at, end)
        return
      }
      if (this.#lineLength > 0) {
        this.#keep(chunk, at, lineEnd)
        const length = this.#lineLength
        this.#lineLength = 0
        this.#readLine(this.#line, 0, length)
      } else {
        this.#readLine(chunk, at, lineEnd)
      }
      at = lineEnd + 1
    }
  }

  #keep(chunk: Uint8Array, from: number, end: number): void {
    const size = Math.min(end - from, MAX_LINE_BYTES - this.#lineLength)
    if (this.#lineLength + size > this.#line.length) {
      const next = new Uint8Array(Math.max(2 * this.#line.length, this.#lineLength + size))
      next.set(this.#line.subarray(0, this.#lineLength))
      this.#line = next
    }
    this.#line.set(chunk.subarray(from, from + size), this.#lineLength)
    this.#lineLength += size
  }

  /** A line without its LF. */
  #readLine(bytes: Uint8Array, from: number, lineEnd: number): void {
    const end = lineEnd > from && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd
    const first = bytes[from]
    switch (first) {
      case 0x2b: // +
        if (this.#options.onSimple !== undefined && !isOk(bytes, from + 1, end)) {
          this.#options.onSimple(this.replies, this.#element(), bytes.subarray(from + 1, end))
        }
        this.#finish()
        return
      case 0x2d: // -
        this.#options.onError(this.replies, this.#element(), bytes.subarray(from + 1, end))
        this.#finish()
        return
      case 0x3a: // :
        if (this.#pending.length === 0)
          this.#options.onInteger?.(this.replies, decimal(bytes, from + 1, end))
        this.#finish()
        return
      case 0x5f: // _ null
      case 0x23: // # boolean
      case 0x2c: // , double
      case 0x28: // ( big number
        this.#finish()
        return
      case 0x24: // $
      case 0x3d: // = verbatim string
      case 0x21: {
        // ! blob error
        const length = decimal(bytes, from + 1, end)
        if (length < 0) this.#finish()
        else this.#skipBytes = length + 2
        return
      }
      case 0x2a: // *
      case 0x7e: // ~ set
      case 0x3e: // > push
        this.#open(decimal(bytes, from + 1, end))
        return
      case 0x25: // % map
        this.#open(2 * decimal(bytes, from + 1, end))
        return
      default:
        this.badByte = first ?? 0
    }
  }

  #open(count: number): void {
    if (count <= 0) {
      this.#finish()
      return
    }
    if (this.#pending.length === 0) this.#topLength = count
    this.#pending.push(count)
  }

  /** A value is whole; so may be the arrays around it. */
  #finish(): void {
    const pending = this.#pending
    while (pending.length > 0) {
      const left = pending[pending.length - 1]! - 1
      if (left > 0) {
        pending[pending.length - 1] = left
        return
      }
      pending.pop()
    }
    this.replies += 1
  }

  #element(): number {
    return this.#pending.length === 0 ? -1 : this.#topLength - this.#pending[0]!
  }
}

function isOk(bytes: Uint8Array, from: number, end: number): boolean {
  return end - from === 2 && bytes[from] === 0x4f && bytes[from + 1] === 0x4b
}

function decimal(bytes: Uint8Array, from: number, end: number): number {
  let value = 0
  const negative = bytes[from] === 0x2d
  for (let i = negative ? from + 1 : from; i < end; i++) {
    const digit = bytes[i]! - 48
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
  }
  return negative ? -value : value
}
