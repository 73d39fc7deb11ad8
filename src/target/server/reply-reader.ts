/**
 * Replies as values: for the few commands of a replay that want an answer (CLIENT ID, the
 * checkpoint, LLEN, …). Pipelines count replies instead and never come here.
 */
import { Buffer } from 'node:buffer'

/** RESP2. Integers are numbers (exact up to 2^53), errors are objects and not thrown. */
export type Reply = number | null | Buffer | ReplyError | readonly Reply[]

export class ReplyError {
  /** The line without `-`, such as `WRONGTYPE Operation against…`. */
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** First word: `WRONGTYPE`, `ERR`, `OOM`. */
  get kind(): string {
    return errorKind(this.text)
  }
}

export function errorKind(text: string): string {
  const space = text.indexOf(' ')
  return space < 0 ? text : text.slice(0, space)
}

export function replyText(reply: Reply): string {
  if (reply instanceof ReplyError) return reply.text
  if (Buffer.isBuffer(reply)) return reply.toString('utf8')
  return typeof reply === 'number' ? String(reply) : ''
}

const INCOMPLETE = Symbol('incomplete')

/** Collects bytes until whole replies stand in them. */
export class ReplyReader {
  #bytes = Buffer.alloc(0)
  #at = 0

  push(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), chunk])
    this.#at = 0
  }

  /** The next whole reply, or undefined. */
  next(): Reply | undefined {
    const from = this.#at
    const reply = this.#read()
    if (reply !== INCOMPLETE) return reply
    this.#at = from
    return undefined
  }

  get isEmpty(): boolean {
    return this.#at === this.#bytes.length
  }

  #read(): Reply | typeof INCOMPLETE {
    const end = this.#bytes.indexOf('\r\n', this.#at, 'latin1')
    if (end < 0) return INCOMPLETE
    const first = this.#bytes[this.#at]!
    const line = this.#bytes.toString('latin1', this.#at + 1, end)
    this.#at = end + 2
    switch (first) {
      case 0x2b: // +
        return Buffer.from(line, 'latin1')
      case 0x2d: // -
        return new ReplyError(Buffer.from(line, 'latin1').toString('utf8'))
      case 0x3a: // :
        return Number(line)
      case 0x24: {
        const length = Number(line)
        if (length < 0) return null
        if (this.#bytes.length - this.#at < length + 2) return INCOMPLETE
        const value = Buffer.from(this.#bytes.subarray(this.#at, this.#at + length))
        this.#at += length + 2
        return value
      }
      case 0x2a: {
        const count = Number(line)
        if (count < 0) return null
        const items: Reply[] = []
        for (let i = 0; i < count; i += 1) {
          const item = this.#read()
          if (item === INCOMPLETE) return INCOMPLETE
          items.push(item)
        }
        return items
      }
      default:
        return new ReplyError(`not a reply: ${String.fromCharCode(first)}${line}`)
    }
  }
}
