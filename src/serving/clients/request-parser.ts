/**
 * Requests of a client, cut out of its byte stream: RESP arrays of bulk strings, and inline
 * commands, which replicas up to 4.0 use for the whole handshake and the newest still use for
 * the `SYNC` fallback.
 *
 * Small on purpose: what a master is asked is short, so a request is whole in memory or refused.
 * Limits are checked before anything is kept.
 */
import { ProtocolError } from '../../errors.js'

export type Request = readonly Buffer[]

const MAX_REQUEST_BYTES = 64 * 1024
const MAX_ARGUMENTS = 1024
const CR = 0x0d
const LF = 0x0a
const STAR = 0x2a
const DOLLAR = 0x24

export class RequestParser {
  #pending: Buffer = Buffer.alloc(0)
  #byteOffset = 0

  /** Takes a copy of the bytes. Throws ProtocolError when a request grows beyond 64 KiB. */
  push(bytes: Uint8Array): void {
    const rest = this.#pending.subarray(this.#byteOffset)
    if (rest.length + bytes.length > MAX_REQUEST_BYTES * 2) throw tooLong()
    this.#pending = Buffer.concat([rest, bytes])
    this.#byteOffset = 0
  }

  /** Whether the next request, as far as it has begun, is a RESP array and not inline. */
  get isNextArray(): boolean {
    return this.#pending[this.#byteOffset] === STAR
  }

  /** The next request; `'newline'` for a lone line end (a replica's sign of life while it loads);
   * undefined when more bytes are needed. Throws ProtocolError on anything else. */
  next(): Request | 'newline' | undefined {
    const bytes = this.#pending
    const start = this.#byteOffset
    if (start >= bytes.length) return undefined
    if (bytes[start] === STAR) return this.#array()
    if (bytes[start] === LF) {
      this.#byteOffset = start + 1
      return 'newline'
    }
    const lineEnd = bytes.indexOf(LF, start)
    if (lineEnd < 0) {
      if (bytes.length - start > MAX_REQUEST_BYTES) throw tooLong()
      return undefined
    }
    this.#byteOffset = lineEnd + 1
    const end = lineEnd > start && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd
    const words = bytes.toString('latin1', start, end).split(/[ \t]+/)
    const request = words.filter((word) => word !== '').map((word) => Buffer.from(word, 'latin1'))
    return request.length === 0 ? 'newline' : request
  }

  #array(): Request | 'newline' | undefined {
    const bytes = this.#pending
    const count = this.#number(this.#byteOffset + 1)
    if (count === undefined) return this.#more()
    if (count.value < 0 || count.value > MAX_ARGUMENTS) {
      throw new ProtocolError('ERR_BAD_REQUEST', 'Protocol error: invalid multibulk length')
    }
    const request: Buffer[] = []
    let at = count.next
    for (let index = 0; index < count.value; index += 1) {
      if (at >= bytes.length) return this.#more()
      if (bytes[at] !== DOLLAR) {
        throw new ProtocolError('ERR_BAD_REQUEST', "Protocol error: expected '$'")
      }
      const length = this.#number(at + 1)
      if (length === undefined) return this.#more()
      if (length.value < 0 || length.value > MAX_REQUEST_BYTES) {
        throw new ProtocolError('ERR_BAD_REQUEST', 'Protocol error: invalid bulk length')
      }
      const end = length.next + length.value
      if (end + 2 > bytes.length) return this.#more()
      request.push(bytes.subarray(length.next, end))
      at = end + 2
    }
    this.#byteOffset = at
    return request.length === 0 ? 'newline' : request
  }

  /** A decimal up to its CRLF; undefined while the line is not whole. */
  #number(start: number): { value: number; next: number } | undefined {
    const bytes = this.#pending
    const lineEnd = bytes.indexOf(LF, start)
    if (lineEnd < 0) {
      if (bytes.length - start > 32) throw badNumber()
      return undefined
    }
    const text = bytes.toString('latin1', start, bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd)
    if (!/^-?\d{1,15}$/.test(text)) throw badNumber()
    return { value: Number(text), next: lineEnd + 1 }
  }

  /** The request is not whole yet. */
  #more(): Request | undefined {
    if (this.#pending.length - this.#byteOffset > MAX_REQUEST_BYTES) throw tooLong()
    return undefined
  }
}

function tooLong(): ProtocolError {
  return new ProtocolError('ERR_BAD_REQUEST', 'Protocol error: too big request')
}

function badNumber(): ProtocolError {
  return new ProtocolError('ERR_BAD_REQUEST', 'Protocol error: invalid length')
}
