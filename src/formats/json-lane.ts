/**
 * Whole stretches of an RDB as JSON text, written by the kernel in whose memory they and the output
 * lie: lines of string keys, elements of collections, packed values. What it cannot write as
 * json-keys.ts would, it leaves: that is where these texts come from, and the order of the calls.
 */
import { Buffer } from 'node:buffer'
import {
  JSON_EXPANSION,
  JSON_HEADS,
  JSON_KEY_LENGTHS,
  JSON_LIMITS,
  JSON_PREFIX,
  JSON_SLOT_BYTES,
  JSON_SLOT_TEXT,
  JSON_SUFFIX,
  JSON_VALUE,
  MAX_STRING_BYTES,
} from '../kernels/abi.js'
import type { JsonText } from './json-text.js'
import { KERNEL_SLACK_BYTES, type ByteKernel } from '../kernels/kernel.js'
import type { OutputBuffer } from '../bytes/output-buffer.js'
import type { Elements, PackedFormat, Stretch } from '../rdb/lane/lane.js'

/** What surrounds the key and the value of a string in its line. */
export interface LineTexts {
  /** Up to the key, */
  prefix: Uint8Array
  /** from behind the value. */
  suffix: Uint8Array
  /** Between key and expiry, for int, embstr and raw, */
  heads: readonly Uint8Array[]
  /** in place of an expiry, and */
  none: Uint8Array
  /** between expiry and value. */
  value: Uint8Array
}

/** Room for the longest element or record that the kernel writes: two strings of 16 KB each. */
const LONGEST_BYTES = JSON_EXPANSION * 2 * MAX_STRING_BYTES + 512
const COMMA = 0x2c

export class JsonLane {
  readonly #out: OutputBuffer
  readonly #kernel: ByteKernel
  readonly #json: JsonText
  readonly #settings: number
  #inexactBefore: number

  /** @param kernel the one in whose memory the output buffer lies */
  constructor(out: OutputBuffer, kernel: ByteKernel, json: JsonText) {
    this.#out = out
    this.#kernel = kernel
    this.#json = json
    this.#settings = kernel.exports.jsonRecordSettings()
    this.#inexactBefore = kernel.exports.stretchInexact()
  }

  /** To be called before `records`, and when something has changed. */
  setTexts(texts: LineTexts): void {
    this.#text(JSON_PREFIX, texts.prefix)
    this.#text(JSON_SUFFIX, texts.suffix)
    this.#text(JSON_VALUE, texts.value)
    texts.heads.forEach((head, index) => {
      this.#text(JSON_HEADS + 2 * index, Buffer.concat([head, texts.none, texts.value]))
      this.#text(JSON_HEADS + 2 * index + 1, head)
    })
  }

  /** `limitOf`: the longest value that is `embstr`, by the length of the key. */
  setLimits(limitOf: (keyBytes: number, hasExpiry: boolean) => number): void {
    const { memory } = this.#kernel
    let at = this.#settings + JSON_LIMITS * JSON_SLOT_BYTES
    for (const hasExpiry of [false, true]) {
      for (let keyBytes = 0; keyBytes < JSON_KEY_LENGTHS; keyBytes += 1) {
        at = memory.writeInt32LE(limitOf(keyBytes, hasExpiry), at)
      }
    }
  }

  /** Returns how many keys were written, their strings as text or in base64. */
  records(stretch: Stretch, base64: boolean): number {
    const { exports, stagingAddress } = this.#kernel
    let taken = 0
    stretch.takenTo = stretch.start
    while (this.#makeRoom(stretch, LONGEST_BYTES)) {
      const { takenTo, end } = stretch
      const more = exports.jsonRecords(
        takenTo,
        end,
        this.#outAt,
        this.#outEnd,
        stagingAddress,
        base64 ? 1 : 0,
      )
      if (more === 0) break
      taken += more
      this.#took(stretch)
    }
    return taken
  }

  /**
   * Returns how many elements were written, with commas between them, and, with `comma`, one before
   * the first.
   */
  elements(stretch: Stretch, what: Elements, count: number, comma: boolean): number {
    const { exports, stagingAddress } = this.#kernel
    if (!this.#makeRoom(stretch, LONGEST_BYTES)) return 0
    const taken = exports.jsonElements(
      stretch.start,
      stretch.end,
      count,
      what,
      this.#outAt + (comma ? 1 : 0),
      this.#outEnd,
      stagingAddress,
    )
    if (taken === 0) return 0
    this.#separate(comma)
    this.#took(stretch)
    // The one behind the last.
    this.#out.pos -= 1
    stretch.stringBytes = exports.runStringBytes()
    stretch.largestBytes = exports.runLargest()
    stretch.compressed = exports.runCompressed() !== 0
    return taken
  }

  /** The same of a whole packed value. Returns the bytes written, -1: it is left to others. */
  packed(stretch: Stretch, format: PackedFormat, what: Elements, comma: boolean): number {
    const { exports } = this.#kernel
    const { start } = stretch
    const length = stretch.end - start
    if (!this.#makeRoom(stretch, JSON_EXPANSION * length + KERNEL_SLACK_BYTES + 1)) return -1
    const to = this.#outAt + (comma ? 1 : 0)
    const written =
      format === 'intset'
        ? exports.jsonIntset(start, length, to)
        : exports.jsonListpack(start, length, what, to)
    if (written > 0) {
      this.#separate(comma)
      this.#out.pos = to - this.#out.bytes.byteOffset + written - 1
    }
    this.#noteInexact()
    return written
  }

  #separate(comma: boolean): void {
    if (comma) this.#out.bytes[this.#out.pos] = COMMA
  }

  get #outAt(): number {
    return this.#out.bytes.byteOffset + this.#out.pos
  }

  get #outEnd(): number {
    return this.#out.bytes.byteOffset + this.#out.bytes.length
  }

  /** False where the kernel cannot read the one or write to the other. */
  #makeRoom(stretch: Stretch, byteCount: number): boolean {
    const out = this.#out
    const kernel = this.#kernel
    if (stretch.kernel !== kernel || byteCount > out.bytes.length) return false
    out.room(byteCount)
    return out.bytes.buffer === kernel.memory.buffer
  }

  #took(stretch: Stretch): void {
    const { exports } = this.#kernel
    stretch.takenTo = exports.runInputTo()
    this.#out.pos = exports.runOutputTo() - this.#out.bytes.byteOffset
    this.#noteInexact()
  }

  #noteInexact(): void {
    const inexact = this.#kernel.exports.stretchInexact()
    this.#json.inexactStrings += inexact - this.#inexactBefore
    this.#inexactBefore = inexact
  }

  #text(slot: number, bytes: Uint8Array): void {
    const { memory } = this.#kernel
    const at = this.#settings + slot * JSON_SLOT_BYTES
    memory.writeUInt32LE(bytes.length, at)
    memory.set(bytes, at + JSON_SLOT_TEXT)
  }
}
