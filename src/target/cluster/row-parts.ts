/**
 * Rows of keys as a kernel writes them, one command each, parted by whose slots they are. The commands are
 * SET and RESTORE (rewrite/restore-lane.ts), and a SELECT perhaps in front.
 */
import type { OutputBuffer } from '../../bytes/output-buffer.js'
import { RESTORE_TYPES } from '../../kernels/abi.js'
import { keySlot } from '../../topology/key-slot.js'

const LF = 10
const DIGIT_0 = 48
/** `*N`, `$L`, each with its line end: of names with one digit of length. */
const NAME_AT = 8
const LENGTH_AT = 5
const SET_LENGTH = DIGIT_0 + 3
const RESTORE_LENGTH = DIGIT_0 + 7

/** What of a row is one node's. */
export interface RowPart {
  readonly out: OutputBuffer
  keys: number
  readonly keysByType: Uint32Array
}

export class RowParts {
  readonly #parts: readonly RowPart[]
  /** By slot: number of the node, -1: nobody's. */
  readonly #owners: Int16Array
  #at = 0
  /** Of the argument at hand. */
  #length = 0

  constructor(outs: readonly OutputBuffer[], owners: Int16Array) {
    this.#owners = owners
    this.#parts = outs.map((out) => ({ out, keys: 0, keysByType: new Uint32Array(RESTORE_TYPES) }))
  }

  /** `isTaken`: by number of the node. `begin` is called for each node in front of its first key. */
  divide(
    bytes: Uint8Array,
    end: number,
    isTaken: (node: number) => boolean,
    begin: (node: number) => void,
  ): readonly RowPart[] {
    for (const part of this.#parts) {
      part.keys = 0
      part.keysByType.fill(0)
    }
    for (let at = 0; at < end;) {
      const nameLength = bytes[at + LENGTH_AT]!
      const isSet = nameLength === SET_LENGTH
      this.#at = at + NAME_AT + (nameLength - DIGIT_0) + 2
      this.#argument(bytes)
      const keyAt = this.#at
      const slot = keySlot(bytes, keyAt, keyAt + this.#length)
      this.#at += this.#length + 2
      let type = 0
      for (let left = bytes[at + 1]! - DIGIT_0 - 2, i = 2; left > 0; left -= 1, i += 1) {
        this.#argument(bytes)
        if (i === 3 && !isSet) type = bytes[this.#at]!
        this.#at += this.#length + 2
      }
      const node = this.#owners[slot]!
      if ((isSet || nameLength === RESTORE_LENGTH) && node >= 0 && isTaken(node)) {
        const part = this.#parts[node]!
        if (part.keys === 0) begin(node)
        part.keys += 1
        part.keysByType[type] = part.keysByType[type]! + 1
        copy(bytes, at, this.#at, part.out)
      }
      at = this.#at
    }
    return this.#parts
  }

  /** Reads `$123` and its line end. */
  #argument(bytes: Uint8Array): void {
    let at = this.#at + 1
    let length = 0
    for (let byte = bytes[at]!; byte >= DIGIT_0; byte = bytes[at]!) {
      length = length * 10 + byte - DIGIT_0
      at += 1
    }
    this.#length = length
    this.#at = at + (bytes[at] === LF ? 1 : 2)
  }
}

/** By a loop: most are short. */
function copy(bytes: Uint8Array, start: number, end: number, out: OutputBuffer): void {
  const length = end - start
  if (length > MOST_BY_LOOP) {
    out.write(bytes, start, end)
    return
  }
  out.room(length)
  const to = out.bytes
  let at = out.pos
  for (let from = start; from < end; from += 1) to[at++] = bytes[from]!
  out.pos = at
}

const MOST_BY_LOOP = 256
