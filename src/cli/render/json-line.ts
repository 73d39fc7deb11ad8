/**
 * One line of JSON that comes in pieces: kept open at its end so that more can be said behind its
 * last member, and closed where it broke off, so that it is JSON all the same.
 */
import { Buffer } from 'node:buffer'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING: ReadonlyMap<number, string> = new Map([
  [0x7b, '}'],
  [0x5b, ']'],
])
const CLOSING = new Set([0x7d, 0x5d])
const COLON = 0x3a
const COMMA = 0x2c
/** `}` and the line feed. */
const LINE_END_BYTES = 2

export class JsonLine {
  #pending = Buffer.alloc(0)
  readonly #write: (text: string) => void
  readonly #first: string
  readonly #open: string[] = []
  #inString = false
  #escaped = false
  #last = 0
  #isBegun = false

  /** @param members written first, as `"name":value,` */
  constructor(write: (text: string) => void, members: string) {
    this.#write = write
    this.#first = members
  }

  /** Some bytes of the line; cut anywhere. */
  push(bytes: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, bytes])
    if (!this.#isBegun) {
      this.#isBegun = true
      this.#pass(1)
      this.#write(this.#first)
    }
    this.#pass(this.#pending.length - LINE_END_BYTES)
  }

  /** The line is whole: `members` of `object` behind its own. */
  end(object: object): void {
    this.#write(`,${JSON.stringify(object).slice(1)}\n`)
  }

  /** The line broke off: what is open is closed, and `object` says so. */
  breakOff(object: object): void {
    this.#pass(this.#pending.length)
    if (!this.#isBegun) this.#write(`{${this.#first}`)
    let text = ''
    // An escape that was cut is none.
    if (this.#inString) text += this.#escaped ? '\\"' : '"'
    else if (this.#last === COLON || (this.#last === COMMA && this.#open.at(-1) === ']'))
      text = 'null'
    text += this.#open.slice(1).reverse().join('')
    const members = JSON.stringify(object).slice(1)
    this.#write(`${text}${this.#isBegun ? ',' : ''}${members}\n`)
  }

  #pass(count: number): void {
    if (count <= 0) return
    const bytes = this.#pending.subarray(0, this.#wholeCharacters(count))
    for (const byte of bytes) this.#note(byte)
    this.#write(bytes.toString())
    this.#pending = this.#pending.subarray(bytes.length)
  }

  /** A piece may end within a character of several bytes; the rest of it comes with the next. */
  #wholeCharacters(count: number): number {
    let end = count
    while (end > 0 && end < this.#pending.length && (this.#pending[end]! & 0xc0) === 0x80) end -= 1
    return end
  }

  #note(byte: number): void {
    if (this.#escaped) {
      this.#escaped = false
    } else if (this.#inString) {
      if (byte === BACKSLASH) this.#escaped = true
      else if (byte === QUOTE) this.#inString = false
    } else if (byte === QUOTE) {
      this.#inString = true
    } else if (OPENING.has(byte)) {
      this.#open.push(OPENING.get(byte)!)
    } else if (CLOSING.has(byte)) {
      this.#open.pop()
    }
    this.#last = byte
  }
}
