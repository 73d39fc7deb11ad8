/**
 * The elements of a list, set, sorted set or hash as the inside of its JSON value: as they come, or
 * (in base64) collected and put in order first. The shapes are those of json-keys.ts.
 */
import { Buffer } from 'node:buffer'
import type { OutputBuffer } from '../bytes/output-buffer.js'
import { writeScore } from '../rdb/values/score-text.js'
import { KIND, type Kind, type Slice } from '../rdb/visitor.js'
import type { JsonStrings } from './json-strings.js'
import { SortedElements } from './sorted-elements.js'

const OBJECT_END = 0x7d
const ARRAY_START = 0x5b
const ARRAY_END = 0x5d
const COMMA = 0x2c
const COLON = 0x3a
const QUOTE = 0x22

const FIELD_VALUE = Buffer.from('{"value":')
const FIELD_EXPIRE_AT = Buffer.from(',"expireAt":')
const SCORE_MAX_BYTES = 40

export class JsonElements {
  /** Values too big to be put in order; written in the order of the file. */
  unorderedValues = 0
  /** None of the value at hand has been written. */
  isFirst = true
  readonly #out: OutputBuffer
  readonly #strings: JsonStrings
  readonly #base64: boolean
  readonly #sorted = new SortedElements()
  readonly #first = { bytes: Buffer.alloc(0), start: 0, end: 0 }
  readonly #second = { bytes: Buffer.alloc(0), start: 0, end: 0 }
  #kind: Kind = KIND.LIST
  /** The elements at hand are collected, to be put in order. */
  #sorting = false

  constructor(out: OutputBuffer, strings: JsonStrings, base64: boolean) {
    this.#out = out
    this.#strings = strings
    this.#base64 = base64
  }

  begin(kind: Kind): void {
    this.#kind = kind
    this.isFirst = true
    this.#sorting = this.#base64 && (kind === KIND.SET || kind === KIND.ZSET || kind === KIND.HASH)
    if (this.#sorting) this.#sorted.clear()
  }

  end(): void {
    if (this.#sorting) this.#writeSorted()
  }

  /** An element that is written at once, in any case. */
  plain(element: Slice): void {
    this.separate()
    this.#strings.write(element.bytes, element.start, element.end)
  }

  setMember(member: Slice): void {
    if (this.#sorting && this.#collect(member, undefined, 0)) return
    this.plain(member)
  }

  zsetMember(member: Slice, score: number, scoreText: Slice): void {
    if (this.#sorting && this.#collect(member, scoreText, score)) return
    this.#writeMember(member, score, scoreText)
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    if (this.#sorting && this.#collect(field, value, expireAtMs)) return
    this.#writeField(field, value, expireAtMs)
  }

  /** A comma, but before the first. */
  separate(): void {
    if (this.isFirst) this.isFirst = false
    else this.#out.byte(COMMA)
  }

  /** False where there is no room: everything collected has then been written as it came. */
  #collect(first: Slice, second: Slice | undefined, number: number): boolean {
    if (this.#sorted.add(first, second, number)) return true
    this.#sorting = false
    this.unorderedValues += 1
    for (let index = 0; index < this.#sorted.length; index += 1) this.#writeCollected(index)
    return false
  }

  #writeSorted(): void {
    for (const index of this.#sorted.order(this.#kind === KIND.ZSET)) this.#writeCollected(index)
  }

  #writeCollected(index: number): void {
    const sorted = this.#sorted
    const first = this.#first
    const second = this.#second
    first.bytes = sorted.bytes
    first.start = sorted.firstStart(index)
    first.end = sorted.firstEnd(index)
    second.bytes = sorted.bytes
    second.start = first.end
    second.end = sorted.secondEnd(index)
    if (this.#kind === KIND.ZSET) this.#writeMember(first, sorted.number(index), second)
    else if (this.#kind === KIND.HASH) this.#writeField(first, second, sorted.number(index))
    else this.plain(first)
  }

  #writeMember(member: Slice, score: number, scoreText: Slice): void {
    const out = this.#out
    this.separate()
    if (this.#base64) out.byte(ARRAY_START)
    this.#strings.write(member.bytes, member.start, member.end)
    out.byte(this.#base64 ? COMMA : COLON)
    // JSON has no infinity.
    const quoted = this.#base64 || !Number.isFinite(score)
    if (quoted) out.byte(QUOTE)
    if (scoreText.end > scoreText.start && quoted) {
      out.write(scoreText.bytes, scoreText.start, scoreText.end)
    } else {
      this.#writeScore(score)
    }
    if (quoted) out.byte(QUOTE)
    if (this.#base64) out.byte(ARRAY_END)
  }

  #writeScore(score: number): void {
    const out = this.#out
    if (Number.isSafeInteger(score) && !Object.is(score, -0)) {
      out.decimal(score)
      return
    }
    out.room(SCORE_MAX_BYTES)
    out.pos += writeScore(out.bytes, out.pos, score)
  }

  #writeField(field: Slice, value: Slice, expireAtMs: number): void {
    const out = this.#out
    this.separate()
    if (this.#base64) out.byte(ARRAY_START)
    this.#strings.write(field.bytes, field.start, field.end)
    out.byte(this.#base64 ? COMMA : COLON)
    if (expireAtMs === -1) {
      this.#strings.write(value.bytes, value.start, value.end)
    } else {
      if (!this.#base64) out.constant(FIELD_VALUE)
      this.#strings.write(value.bytes, value.start, value.end)
      if (this.#base64) out.byte(COMMA)
      else out.constant(FIELD_EXPIRE_AT)
      out.decimal(expireAtMs)
      if (!this.#base64) out.byte(OBJECT_END)
    }
    if (this.#base64) out.byte(ARRAY_END)
  }
}
