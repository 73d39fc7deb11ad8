/**
 * Lets only keys through whose serialised value has at least so many bytes. How big a value is
 * shows at its end, so its raw bytes are held until it is big enough, and then go on as elements:
 * never more is held than the limit. A visitor in front of another one.
 */
import { Buffer } from 'node:buffer'
import { forwardElements, forwardFile } from '../rdb/forward.js'
import {
  DEPTH,
  type Depth,
  type KeyHeader,
  type RdbVisitor,
  type ValueStats,
} from '../rdb/visitor.js'
import { RawValueParser } from '../rdb/raw-value-parser.js'

export class SizeGate implements RdbVisitor {
  keysTooSmall = 0
  readonly #inner: RdbVisitor
  readonly #minSizeBytes: number
  #held: Buffer = Buffer.alloc(1 << 16)
  #heldBytes = 0
  #largestBlobBytes = 0
  #header: KeyHeader | undefined
  #depth: Depth = DEPTH.SKIP
  #open = false
  #parser: RawValueParser | undefined
  /** The inner visitor as one that is asked nothing about the key. */
  readonly #elements: RdbVisitor

  readonly #onTooSmall: ((header: KeyHeader) => void) | undefined

  constructor(inner: RdbVisitor, minSizeBytes: number, onTooSmall?: (header: KeyHeader) => void) {
    this.#inner = inner
    this.#onTooSmall = onTooSmall
    this.#minSizeBytes = minSizeBytes
    this.#elements = {
      key: () => DEPTH.ELEMENTS,
      get rawWithElements() {
        return inner.rawWithElements === true
      },
      rawValue: (bytes, start, end) => inner.rawValue?.(bytes, start, end),
      ...forwardElements(inner),
    }
    // Elements of values that pass unseen, and all that stands between keys.
    Object.assign(this, forwardElements(inner), forwardFile(inner))
  }

  key(header: KeyHeader): Depth {
    this.#header = header
    this.#heldBytes = 0
    this.#largestBlobBytes = 0
    // Values that refer to other records of their file cannot be read on their own: they pass.
    this.#open = !header.type.restorable
    if (this.#open) return this.#inner.key(header)
    return DEPTH.RAW
  }

  rawValue(bytes: Buffer, start: number, end: number): void {
    if (this.#open) {
      this.#pass(bytes, start, end)
      return
    }
    this.#hold(bytes, start, end)
    if (this.#heldBytes < this.#minSizeBytes) return
    this.#open = true
    this.#depth = this.#inner.key(this.#header!)
    if (this.#largestBlobBytes > 0) this.#inner.packed?.(this.#largestBlobBytes, -1)
    if (this.#depth === DEPTH.ELEMENTS) {
      this.#parser = new RawValueParser(this.#header!, this.#elements)
    }
    this.#pass(this.#held, 0, this.#heldBytes)
  }

  /** Of a value that is held back, the largest is told when it passes. */
  packed(blobBytes: number, entries: number): void {
    if (this.#open) this.#inner.packed?.(blobBytes, entries)
    else this.#largestBlobBytes = Math.max(this.#largestBlobBytes, blobBytes)
  }

  keyEnd(header: KeyHeader, stats: ValueStats): void {
    if (!this.#open) {
      this.keysTooSmall += 1
      this.#onTooSmall?.(header)
      return
    }
    this.#parser?.end()
    this.#parser = undefined
    this.#inner.keyEnd?.(header, stats)
  }

  #pass(bytes: Buffer, start: number, end: number): void {
    if (this.#parser !== undefined) this.#parser.push(bytes.subarray(start, end))
    else if (this.#depth === DEPTH.RAW) this.#inner.rawValue?.(bytes, start, end)
  }

  #hold(bytes: Buffer, start: number, end: number): void {
    const needed = this.#heldBytes + end - start
    if (needed > this.#held.length) {
      const next = Buffer.allocUnsafe(2 * needed)
      this.#held.copy(next, 0, 0, this.#heldBytes)
      this.#held = next
    }
    bytes.copy(this.#held, this.#heldBytes, start, end)
    this.#heldBytes = needed
  }
}
