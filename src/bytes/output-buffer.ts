/**
 * Output bytes collected in one reused buffer and handed to a sink when it is full.
 *
 * Writers make room for a whole piece with `room`, then store bytes at `pos` themselves: nothing
 * is allocated per piece. What stands behind `hold` is kept back, so that a writer can go back
 * and fill in a length that it knows only later; the buffer grows for that, and only for that.
 * The sink is called synchronously; the bytes it gets are valid during the call, or its own if it
 * gives a buffer of the same size to go on in.
 */
import { Buffer } from 'node:buffer'

export type FlushBytes = (bytes: Buffer) => void

const DEFAULT_CAPACITY_BYTES = 1 << 18
/** Shorter pieces are copied by a loop: a call of `set` costs more than 40 stores. */
const LOOP_COPY_MAX_BYTES = 40
/** `set` of a whole array needs no view to be made, and pays earlier. */
const CONSTANT_LOOP_MAX_BYTES = 24
const DIGIT_0 = 48
const MINUS = 45
const NOTHING_HELD = -1

export class OutputBuffer {
  /** Changes when the buffer grows: read it again behind every `room`. */
  bytes: Buffer
  /** Where the next byte goes. */
  pos = 0
  /** Bytes handed to the sink so far. */
  flushedBytes = 0
  /** Sees all bytes on their way to the sink, in order: for a checksum of them. */
  onFlush: FlushBytes | undefined = undefined
  #holdFrom = NOTHING_HELD
  #ownBytes: Buffer
  readonly #sink: FlushBytes

  /** @param bytes what to collect in, e.g. memory of a kernel; or how many bytes */
  constructor(sink: FlushBytes, bytes: Buffer | number = DEFAULT_CAPACITY_BYTES) {
    this.#sink = sink
    this.#ownBytes = typeof bytes === 'number' ? Buffer.allocUnsafeSlow(bytes) : bytes
    this.bytes = this.#ownBytes
  }

  /** Bytes written so far, flushed or not. */
  get totalBytes(): number {
    return this.flushedBytes + this.pos
  }

  /** Makes sure that `byteCount` bytes can be stored at `pos`. */
  room(byteCount: number): void {
    if (this.bytes.length - this.pos < byteCount) this.#makeRoom(byteCount)
  }

  /** From here on bytes stay in the buffer, until `release`. */
  hold(): void {
    this.#holdFrom = this.pos
  }

  /** Where the held bytes begin; moves with every `room`. */
  get heldAt(): number {
    return this.#holdFrom
  }

  get heldBytes(): number {
    return this.#holdFrom === NOTHING_HELD ? 0 : this.pos - this.#holdFrom
  }

  release(): void {
    this.#holdFrom = NOTHING_HELD
  }

  /** Forgets the held bytes as if they had never been written. */
  drop(): void {
    if (this.#holdFrom !== NOTHING_HELD) this.pos = this.#holdFrom
    this.#holdFrom = NOTHING_HELD
  }

  /** Hands everything that is not held to the sink. */
  flush(): void {
    const end = this.#holdFrom === NOTHING_HELD ? this.pos : this.#holdFrom
    if (end > 0) {
      const before = this.bytes
      const going = before.subarray(0, end)
      this.onFlush?.(going)
      this.#sink(going)
      this.flushedBytes += end
      if (this.bytes !== before) {
        if (end < this.pos) this.bytes.set(before.subarray(end, this.pos))
      } else if (end < this.pos) {
        this.bytes.copyWithin(0, end, this.pos)
      }
      this.pos -= end
      if (this.#holdFrom !== NOTHING_HELD) this.#holdFrom = 0
    }
    // One huge piece must not keep its memory for the rest of the run.
    if (this.pos === 0) this.bytes = this.#ownBytes
  }

  /** For the sink: what it was given stays as it is, the next bytes go here. */
  goOnIn(bytes: Buffer): void {
    this.bytes = bytes
    this.#ownBytes = bytes
  }

  /** Any number of bytes; long ones pass through in pieces, unless something is held. */
  write(source: Uint8Array, start = 0, end = source.length): void {
    const length = end - start
    if (length <= LOOP_COPY_MAX_BYTES) {
      if (this.bytes.length - this.pos < length) this.#makeRoom(length)
      const { bytes } = this
      let at = this.pos
      for (let from = start; from < end; from += 1) bytes[at++] = source[from]!
      this.pos = at
      return
    }
    if (this.bytes.length - this.pos >= length) {
      this.bytes.set(source.subarray(start, end), this.pos)
      this.pos += length
      return
    }
    this.#writeLong(source, start, end)
  }

  /** The whole of a short constant. */
  constant(source: Uint8Array): void {
    const { length } = source
    if (this.bytes.length - this.pos < length) this.#makeRoom(length)
    const { bytes } = this
    let at = this.pos
    if (length > CONSTANT_LOOP_MAX_BYTES) {
      bytes.set(source, at)
      this.pos = at + length
      return
    }
    for (let from = 0; from < length; from += 1) bytes[at++] = source[from]!
    this.pos = at
  }

  byte(value: number): void {
    if (this.bytes.length === this.pos) this.#makeRoom(1)
    this.bytes[this.pos++] = value
  }

  /** An integer in decimal, up to 2^53. */
  decimal(value: number): void {
    if (this.bytes.length - this.pos < 20) this.#makeRoom(20)
    this.pos = writeDecimal(this.bytes, this.pos, value)
  }

  #writeLong(source: Uint8Array, start: number, end: number): void {
    if (this.#holdFrom !== NOTHING_HELD) {
      this.#makeRoom(end - start)
      this.bytes.set(source.subarray(start, end), this.pos)
      this.pos += end - start
      return
    }
    let from = start
    while (from < end) {
      if (this.pos === this.bytes.length) this.flush()
      const until = Math.min(end, from + this.bytes.length - this.pos)
      this.bytes.set(source.subarray(from, until), this.pos)
      this.pos += until - from
      from = until
    }
  }

  #makeRoom(byteCount: number): void {
    this.flush()
    const needed = this.pos + byteCount
    if (needed <= this.bytes.length) return
    const next = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(2 * this.bytes.length, 1 << 30)))
    next.set(this.bytes.subarray(0, this.pos))
    this.bytes = next
  }
}

/** Writes an integer (|value| < 2^53) in decimal at `at`; returns where it ends. */
export function writeDecimal(bytes: Uint8Array, at: number, value: number): number {
  if (value < 0) {
    bytes[at] = MINUS
    return writeDecimal(bytes, at + 1, -value)
  }
  if (value < 10) {
    bytes[at] = DIGIT_0 + value
    return at + 1
  }
  if (value < 100) {
    const tens = (value / 10) | 0
    bytes[at] = DIGIT_0 + tens
    bytes[at + 1] = DIGIT_0 + value - 10 * tens
    return at + 2
  }
  if (value >= 1e9) {
    // Two halves, so that the loop below stays within 32-bit integers.
    const high = Math.floor(value / 1e9)
    const end = writeDecimal(bytes, at, high)
    return writeDigits(bytes, end, value - high * 1e9, 9)
  }
  return writeDigits(bytes, at, value, digitCount(value))
}

function writeDigits(bytes: Uint8Array, at: number, value: number, digits: number): number {
  let rest = value | 0
  for (let to = at + digits - 1; to >= at; to -= 1) {
    const tenth = (rest / 10) | 0
    bytes[to] = DIGIT_0 + rest - 10 * tenth
    rest = tenth
  }
  return at + digits
}

/** Digits of an integer between 0 and 2^53. */
export function digitCount(value: number): number {
  if (value < 1e5) {
    if (value < 10) return 1
    if (value < 100) return 2
    if (value < 1e3) return 3
    return value < 1e4 ? 4 : 5
  }
  let digits = 6
  for (let limit = 1e6; value >= limit; limit *= 10) digits += 1
  return digits
}
