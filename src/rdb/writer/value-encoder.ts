/**
 * Values from their elements, in the plain form of their kind: an ElementVisitor that writes what
 * the reader's types/collections.ts reads. How many elements come is told in front where the file
 * says it (`count`); of packed values, which are small, it is known at their end only, so they are
 * held back and their count is put in front then.
 */
import { Buffer } from 'node:buffer'
import { LOSS } from '../../servers/loss.js'
import { TYPE } from '../numbers.js'
import { KIND, type ElementVisitor, type KeyHeader, type Kind, type Slice } from '../visitor.js'
import { StreamEncoder } from './stream-encoder.js'

/** What is kept free for a count: 0x80 and 32 bits, a form that readers take for any number. */
const COUNT_BYTES = 5
/** The count is not known yet; it stands there. */
const [UNKNOWN, WRITTEN] = [-1, -2]
/** In front of times of fields, which then are told from 1 on. */
const FIRST_TIME = 1
/** Scores of type 3 that have no text. */
const [POSITIVE_INFINITY_SCORE, NEGATIVE_INFINITY_SCORE] = [254, 255]

export class ValueEncoder extends StreamEncoder implements ElementVisitor {
  /** Where it will stand, from where bytes are held; or one of those below. */
  #countAt: number = UNKNOWN
  #elements = 0
  #type = 0
  #isStream = false

  /** Type byte and key are written. `isChanged`: of a stream no nodes are copied. */
  beginValue(header: KeyHeader, typeByte: number, isChanged = false): void {
    this.#type = typeByte
    this.#elements = 0
    this.#countAt = UNKNOWN
    this.#isStream = header.kind === KIND.STREAM
    if (this.#isStream) {
      this.beginStream(header.typeByte, typeByte, isChanged)
      return
    }
    if (typeByte === TYPE.HASH_METADATA) this.to.i64(FIRST_TIME)
  }

  /** How many come is known. Not called: it is found at the end. */
  count(elements: number): void {
    if (this.#isStream) {
      this.consumers(elements)
      return
    }
    this.to.length(elements)
    this.#countAt = WRITTEN
  }

  endValue(kind: Kind): void {
    if (this.#countAt >= 0) {
      const { out } = this.to
      const at = out.heldAt + this.#countAt
      out.bytes[at] = 0x80
      out.bytes.writeUInt32BE(this.#elements, at + 1)
      out.release()
    } else if (this.#countAt === UNKNOWN && kind !== KIND.STRING && kind !== KIND.STREAM) {
      this.to.length(0)
    }
  }

  stringValue(value: Slice): void {
    this.to.slice(value)
  }

  stringBegin(totalBytes: number): void {
    this.to.length(totalBytes)
  }

  stringPart(part: Slice): void {
    this.to.out.write(part.bytes, part.start, part.end)
  }

  stringEnd(): void {
    // All of it stands there.
  }

  listElement(element: Slice): void {
    this.#next()
    this.to.slice(element)
  }

  setMember(member: Slice): void {
    this.#next()
    this.to.slice(member)
  }

  zsetMember(member: Slice, score: number, scoreText: Slice): void {
    this.#next()
    this.to.slice(member)
    if (this.#type === TYPE.ZSET_2) this.to.double(score)
    else this.#scoreText(score, scoreText)
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.#next()
    const { to } = this
    // A time of 0 would say that there is none.
    if (this.#type === TYPE.HASH_METADATA) to.length(Math.max(0, expireAtMs))
    to.slice(field)
    to.slice(value)
    if (this.#type === TYPE.VALKEY_HASH_2) to.i64(expireAtMs)
    if (expireAtMs >= 0 && this.#type === TYPE.HASH) this.lose(LOSS.FIELD_EXPIRY)
  }

  // Those that no other form holds are copied as they are, or lost as a whole.
  moduleSigned(): void {}
  moduleUnsigned(): void {}
  moduleFloat(): void {}
  moduleDouble(): void {}
  moduleString(): void {}
  arrayMeta(): void {}
  arrayElement(): void {}
  gcra(): void {}

  #next(): void {
    this.#elements += 1
    if (this.#countAt !== UNKNOWN) return
    const { out } = this.to
    // The key itself may be held already, by who may take it back.
    if (out.heldAt < 0) out.hold()
    out.room(COUNT_BYTES)
    this.#countAt = out.pos - out.heldAt
    out.pos += COUNT_BYTES
  }

  #scoreText(score: number, text: Slice): void {
    const { out } = this.to
    if (score === Number.POSITIVE_INFINITY) out.byte(POSITIVE_INFINITY_SCORE)
    else if (score === Number.NEGATIVE_INFINITY) out.byte(NEGATIVE_INFINITY_SCORE)
    else {
      const isTold = text.end > text.start
      // A negative zero has no text of its own in JavaScript.
      const own = isTold ? undefined : Buffer.from(Object.is(score, -0) ? '-0' : String(score))
      const bytes = own ?? text.bytes.subarray(text.start, text.end)
      out.byte(bytes.length)
      out.write(bytes)
    }
  }
}
