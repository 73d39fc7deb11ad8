/**
 * 96 bits that stand for a key's db and name: three hashes of 32 bits, each with a multiplier and a
 * start of its own that are drawn anew for each run, so that nobody can make two names that meet.
 * Of 200 million keys two have the same by chance once in ten trillion runs.
 */

export { HASH_SECRET_WORDS } from '../../kernels/abi.js'

export class KeyHash {
  /** For each hash its start, then for each its multiplier. */
  readonly secret: Uint32Array
  /** With a sign: V8 keeps such numbers in place. */
  h0 = 0
  h1 = 0
  h2 = 0
  readonly #start0: number
  readonly #start1: number
  readonly #start2: number
  readonly #by0: number
  readonly #by1: number
  readonly #by2: number
  /** Of the bytes that came last: a word in one load. */
  #view: DataView = new DataView(new ArrayBuffer(0))
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(secret: Uint32Array) {
    const [start0 = 0, start1 = 0, start2 = 0, by0 = 0, by1 = 0, by2 = 0] = secret
    this.#start0 = start0
    this.#start1 = start1
    this.#start2 = start2
    // Odd: no bit of the hash is lost on the way.
    this.#by0 = by0 | 1
    this.#by1 = by1 | 1
    this.#by2 = by2 | 1
    this.secret = Uint32Array.of(start0, start1, start2, this.#by0, this.#by1, this.#by2)
  }

  /** Hashes bytes[start, end), and writes them as words to `into` from `at` on, the last one filled
   * up with zeros. */
  copy(
    db: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    into: Uint32Array,
    at: number,
  ): void {
    const by0 = this.#by0
    const by1 = this.#by1
    const by2 = this.#by2
    const length = end - start
    let h0 = Math.imul(this.#start0 ^ length, by0)
    let h1 = Math.imul(this.#start1 ^ length, by1)
    let h2 = Math.imul(this.#start2 ^ length, by2)
    h0 = Math.imul(h0 ^ (h0 >>> 15) ^ db, by0)
    h1 = Math.imul(h1 ^ (h1 >>> 14) ^ db, by1)
    h2 = Math.imul(h2 ^ (h2 >>> 16) ^ db, by2)
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    const view = this.#view
    const first = start
    const words = length >> 2
    for (let index = 0; index < words; index += 1) {
      const word = view.getInt32(first + (index << 2), true)
      into[at + index] = word
      h0 = Math.imul(h0 ^ (h0 >>> 15) ^ word, by0)
      h1 = Math.imul(h1 ^ (h1 >>> 14) ^ word, by1)
      h2 = Math.imul(h2 ^ (h2 >>> 16) ^ word, by2)
    }
    const from = start + (words << 2)
    if (from < end) {
      let word = bytes[from]!
      if (from + 1 < end) word |= bytes[from + 1]! << 8
      if (from + 2 < end) word |= bytes[from + 2]! << 16
      into[at + words] = word
      h0 = Math.imul(h0 ^ (h0 >>> 15) ^ word, by0)
      h1 = Math.imul(h1 ^ (h1 >>> 14) ^ word, by1)
      h2 = Math.imul(h2 ^ (h2 >>> 16) ^ word, by2)
    }
    // The upper bits know of all words by now, the lower ones get to know.
    h0 = Math.imul(h0 ^ (h0 >>> 16), by1)
    h1 = Math.imul(h1 ^ (h1 >>> 16), by2)
    h2 = Math.imul(h2 ^ (h2 >>> 16), by0)
    this.h0 = h0 ^ (h0 >>> 15)
    this.h1 = h1 ^ (h1 >>> 15)
    this.h2 = h2 ^ (h2 >>> 15)
  }
}
