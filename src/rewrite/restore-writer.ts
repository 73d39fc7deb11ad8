/**
 * One key as one RESTORE: the serialised value as it stands in the file, behind it a footer of a
 * version that the target takes and the checksum of both.
 *
 *   RESTORE key ttl  [KEY_META] type value | u16le version | u64le crc64  [REPLACE] [ABSTTL]
 *   [IDLETIME seconds | FREQ counter]
 *
 * The payload's length is known only at its end, so the command is held in the output buffer
 * until then; `heldBytes` tells the caller when it grows beyond what it wants to hold.
 */
import { Crc64 } from '../kernels/crc64.js'
import { digitCount, writeDecimal } from '../bytes/output-buffer.js'
import type { KeyHeader } from '../rdb/visitor.js'
import { bulkOf, headOf, type CommandWriter } from './command-writer.js'
import type { KeyPlan } from './key-plan.js'
import { footerVersion, type TargetCapabilities } from '../servers/capabilities.js'

const FOOTER_BYTES = 10
const DOLLAR = 36
const CR = 13
const LF = 10

/** Heads by number of arguments: 4 to 8. */
const RESTORE_HEADS = [4, 5, 6, 7, 8].map((argc) => headOf(argc, 'RESTORE'))
const REPLACE = bulkOf('REPLACE')
const ABSTTL = bulkOf('ABSTTL')
const IDLETIME = bulkOf('IDLETIME')
const FREQ = bulkOf('FREQ')

export class RestoreWriter {
  readonly #target: TargetCapabilities
  readonly #crc = new Crc64()
  #plan: KeyPlan | undefined
  #header: KeyHeader | undefined
  /** From the held start to the payload's length line, and to the payload. */
  #lengthAt = 0
  #payloadAt = 0
  #digitsReserved = 2

  constructor(target: TargetCapabilities) {
    this.#target = target
  }

  begin(header: KeyHeader, plan: KeyPlan): void {
    const { writer } = plan
    const { out } = writer
    this.#plan = plan
    this.#header = header
    out.hold()
    writer.begin(RESTORE_HEADS[this.#optionCount(header, plan)]!)
    writer.bulk(plan.key.bytes, plan.key.start, plan.key.end)
    // A time below 0 is refused; anything that early is past anyway.
    writer.decimal(this.#hasAbsttl(plan) ? Math.max(1, plan.expireAtMs) : 0)
    out.room(32)
    this.#lengthAt = out.pos - out.heldAt
    out.pos += this.#digitsReserved + 3
    this.#payloadAt = out.pos - out.heldAt
    const { meta } = header
    if (this.#carriesMeta(header)) out.write(meta.bytes, meta.start, meta.end)
    out.room(1)
    out.bytes[out.pos++] = header.typeByte
  }

  value(bytes: Uint8Array, start: number, end: number): void {
    this.#writer.out.write(bytes, start, end)
  }

  get heldBytes(): number {
    return this.#writer.out.heldBytes
  }

  /** The value's bytes so far, without type byte and what stands before it. */
  copyValue(header: KeyHeader): Buffer {
    const { out } = this.#writer
    const from = out.heldAt + this.#payloadAt + 1 + this.#metaBytes(header)
    return Buffer.from(out.bytes.subarray(from, out.pos))
  }

  /** Takes the command back, as if it had not been begun. */
  cancel(): void {
    this.#writer.out.drop()
    this.#writer.commands -= 1
  }

  end(): void {
    const header = this.#header!
    const writer = this.#writer
    const { out } = writer
    const version = footerVersion(this.#target, header.type)
    out.room(FOOTER_BYTES + 8)
    out.bytes[out.pos] = version & 255
    out.bytes[out.pos + 1] = version >> 8
    out.pos += 2
    const payloadAt = out.heldAt + this.#payloadAt
    this.#crc.reset()
    this.#crc.update(out.bytes, payloadAt, out.pos)
    this.#crc.writeTo(out.bytes, out.pos)
    out.pos += 8
    this.#writeLength(out.pos - payloadAt)
    writer.bulkEnd()
    this.#writeOptions(header)
    out.release()
  }

  get #writer(): CommandWriter {
    return this.#plan!.writer
  }

  /** Metadata of modules goes to servers that know the record. */
  #carriesMeta(header: KeyHeader): boolean {
    return header.meta.end > header.meta.start && this.#target.keyMeta
  }

  #metaBytes(header: KeyHeader): number {
    return this.#carriesMeta(header) ? header.meta.end - header.meta.start : 0
  }

  #hasAbsttl(plan: KeyPlan): boolean {
    return plan.expireAtMs !== -1 && this.#target.restoreAbsttl
  }

  #optionCount(header: KeyHeader, plan: KeyPlan): number {
    let count = 0
    if (plan.conflict === 'replace' && this.#target.restoreReplace) count += 1
    if (this.#hasAbsttl(plan)) count += 1
    if (this.#target.restoreAbsttl && (header.idleSeconds >= 0 || header.freq >= 0)) count += 2
    return count
  }

  #writeOptions(header: KeyHeader): void {
    const target = this.#target
    const writer = this.#writer
    const plan = this.#plan!
    if (plan.conflict === 'replace' && target.restoreReplace) writer.constant(REPLACE)
    if (this.#hasAbsttl(plan)) writer.constant(ABSTTL)
    if (!target.restoreAbsttl) return
    if (header.idleSeconds >= 0) {
      writer.constant(IDLETIME)
      writer.decimal(header.idleSeconds)
    } else if (header.freq >= 0) {
      writer.constant(FREQ)
      writer.decimal(header.freq)
    }
  }

  #writeLength(payloadBytes: number): void {
    const { out } = this.#writer
    const digits = digitCount(payloadBytes)
    const shift = digits - this.#digitsReserved
    if (shift !== 0) {
      out.room(8)
      const payloadAt = out.heldAt + this.#payloadAt
      out.bytes.copyWithin(payloadAt + shift, payloadAt, out.pos)
      out.pos += shift
      this.#digitsReserved = digits
    }
    const at = out.heldAt + this.#lengthAt
    out.bytes[at] = DOLLAR
    const end = writeDecimal(out.bytes, at + 1, payloadBytes)
    out.bytes[end] = CR
    out.bytes[end + 1] = LF
  }
}
