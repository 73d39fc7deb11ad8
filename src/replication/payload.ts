/**
 * The snapshot on the wire, in both framings:
 *
 *   $<length>\r\n  <length bytes>                   the next byte is stream
 *   $EOF:<mark>\r\n  <bytes>  <mark, 40 bytes>      the end is where the mark stands
 *
 * A mark is no proof of the end: a master draws it once per process, so a value may hold the mark
 * of an earlier sync, and in two ways it can be cut by a read. It counts where the bytes before it
 * end as an RDB ends: opcode 255, and a CRC64 that comes out as zero over all of it. Where the
 * master wrote no checksum the consumer is asked, and where nobody knows, the mark counts when the
 * master stays silent behind it (before our first ACK a master sends nothing).
 *
 * The bytes are opaque but for that: magic at the front, opcode and checksum at the end.
 */
import { RdbError } from '../errors.js'
import { Crc64 } from '../kernels/crc64.js'
import { printable } from '../bytes/printable.js'
import type { LinkConsumer, SnapshotEndInfo } from './consumer.js'
import type { PayloadHeader } from './handshake.js'

export const MARK_BYTES = 40
/** Payload bytes are held in the read buffer until so many are there: larger blocks are checked
 * and written faster. */
const BLOCK_BYTES = 768 << 10
const MAGIC_BYTES = 9
/** Opcode 255 and the checksum. */
const FOOTER_BYTES = 9
const OPCODE_EOF = 255
/** The first RDB version with a checksum. */
const CHECKSUM_SINCE = 5

type PayloadConsumer = Pick<LinkConsumer, 'onSnapshotBytes' | 'isSnapshotWhole'>

type Verdict = 'ok' | 'absent' | 'unknown' | 'bad-checksum' | 'no-end'

export class PayloadReader {
  /** Set once the end is certain. */
  ended: SnapshotEndInfo | undefined
  /** Payload bytes handed over so far. */
  bytes = 0
  /** True while the last bytes received are the mark, but may yet prove to be data. */
  atMark = false
  readonly #header: PayloadHeader
  readonly #server: string
  readonly #consumer: PayloadConsumer
  readonly #crc = new Crc64()
  readonly #magic = Buffer.alloc(MAGIC_BYTES)
  readonly #footer = Buffer.alloc(FOOTER_BYTES)
  #rdbVersion = 0
  /** Bytes at the front of what is unread that are known not to begin a mark. */
  #searched = 0

  constructor(header: PayloadHeader, server: string, consumer: PayloadConsumer) {
    this.#header = header
    this.#server = server
    this.#consumer = consumer
  }

  /** Takes `bytes[start..end)`; returns where the unread bytes begin. After `ended` is set these
   * are stream. Throws RdbError where the payload cannot be an RDB. */
  push(bytes: Buffer, start: number, end: number): number {
    return this.#header.mark === undefined
      ? this.#pushLength(bytes, start, end)
      : this.#pushMarked(bytes, start, end, this.#header.mark)
  }

  /** The master is silent behind a mark, or has closed: decides with what is there. Throws
   * RdbError where the payload is whole by its framing but wrong by its content. */
  settle(): boolean {
    if (this.ended !== undefined) return true
    if (!this.atMark) return false
    const verdict = this.#verdict()
    this.#end(verdict === 'unknown' ? 'absent' : verdict)
    return true
  }

  #pushLength(bytes: Buffer, start: number, end: number): number {
    const left = (this.#header.lengthBytes ?? 0) - this.bytes
    const available = end - start
    // The first bytes go at once: progress begins, and what is no RDB shows.
    if (available < left && available < BLOCK_BYTES && this.bytes > 0) return start
    const count = Math.min(available, left)
    this.#deliver(bytes, start, start + count)
    if (count === left) this.#end(this.#verdict())
    return start + count
  }

  #pushMarked(bytes: Buffer, start: number, end: number, mark: Buffer): number {
    let at = start
    let from = start + this.#searched
    const region = bytes.subarray(0, end)
    this.atMark = false
    for (;;) {
      const found = region.indexOf(mark, from)
      if (found < 0) break
      this.#deliver(bytes, at, found)
      at = found
      const verdict = this.#verdict()
      if (verdict === 'ok' || verdict === 'absent') {
        this.#end(verdict)
        return found + MARK_BYTES
      }
      if (found + MARK_BYTES === end) {
        // The end of the payload, or a mark in the data and a read that stops right behind it.
        this.#searched = 0
        this.atMark = true
        return at
      }
      // Something stands behind it: data. Master and mark alike are silent before our ACK.
      from = found + 1
    }
    // The last 39 bytes may be the begin of the mark.
    const certain = Math.max(at, end - MARK_BYTES + 1)
    if (certain - at >= BLOCK_BYTES || this.bytes === 0) {
      this.#deliver(bytes, at, certain)
      at = certain
    }
    this.#searched = Math.max(0, certain - at)
    return at
  }

  #deliver(bytes: Buffer, start: number, end: number): void {
    if (end <= start) return
    this.#keepEnds(bytes, start, end)
    this.#crc.update(bytes, start, end)
    this.bytes += end - start
    this.#consumer.onSnapshotBytes(bytes, start, end)
  }

  #keepEnds(bytes: Buffer, start: number, end: number): void {
    if (this.bytes < MAGIC_BYTES) {
      bytes.copy(this.#magic, this.bytes, start, Math.min(end, start + MAGIC_BYTES - this.bytes))
      if (this.bytes + end - start >= MAGIC_BYTES) this.#readMagic()
    }
    const count = end - start
    if (count >= FOOTER_BYTES) {
      bytes.copy(this.#footer, 0, end - FOOTER_BYTES, end)
    } else {
      this.#footer.copyWithin(0, count)
      bytes.copy(this.#footer, FOOTER_BYTES - count, start, end)
    }
  }

  #readMagic(): void {
    const magic = this.#magic.toString('latin1')
    const found = /^(?:REDIS(\d{4})|VALKEY(\d{3}))$/.exec(magic)
    if (found === null) {
      throw new RdbError(
        'ERR_RDB_CORRUPT',
        { byteOffset: 0, reading: 'magic' },
        `what ${this.#server} sends is no RDB: it begins with '${printable(this.#magic)}'`,
      )
    }
    this.#rdbVersion = Number(found[1] ?? found[2])
  }

  /** What the bytes handed over so far are, if they were all. */
  #verdict(): Verdict {
    const footer = this.#footer
    if (this.bytes < MAGIC_BYTES + 1) return 'no-end'
    if (this.#rdbVersion < CHECKSUM_SINCE) {
      return footer[FOOTER_BYTES - 1] === OPCODE_EOF ? this.#askConsumer() : 'no-end'
    }
    if (this.bytes < MAGIC_BYTES + FOOTER_BYTES || footer[0] !== OPCODE_EOF) return 'no-end'
    if (footer.readInt32LE(1) === 0 && footer.readInt32LE(5) === 0) return this.#askConsumer()
    return this.#crc.isZero ? 'ok' : 'bad-checksum'
  }

  #askConsumer(): Verdict {
    const whole = this.#consumer.isSnapshotWhole?.()
    return whole === undefined ? 'unknown' : whole ? 'absent' : 'no-end'
  }

  #end(verdict: Verdict): void {
    const { bytes } = this
    const where = { byteOffset: bytes, reading: 'end of the snapshot' }
    if (verdict === 'no-end') {
      throw new RdbError(
        'ERR_RDB_TRUNCATED',
        where,
        `the snapshot from ${this.#server} stops before the end of an RDB`,
        { hint: 'the master sent a broken snapshot: look at its log, check its memory and disk' },
      )
    }
    if (verdict === 'bad-checksum') {
      throw new RdbError(
        'ERR_RDB_CORRUPT',
        { ...where, reading: 'checksum' },
        `the snapshot from ${this.#server} arrived damaged: its CRC64 does not match`,
        { hint: 'bytes were changed on the way or in the memory of one side: try again' },
      )
    }
    this.atMark = false
    this.ended = {
      bytes,
      checksum: verdict === 'ok' ? 'ok' : 'absent',
      rdbVersion: this.#rdbVersion,
    }
  }
}
