/**
 * One RDB that is being written: its magic and AUX fields, then records under the db that they are
 * in, at last its checksum. Attributes that the version has no place for are left away.
 */
import { Buffer } from 'node:buffer'
import type { OutputBuffer } from '../../bytes/output-buffer.js'
import { OPCODE } from '../numbers.js'
import type { KeyHeader, Slice } from '../visitor.js'
import { RdbBytes } from './rdb-bytes.js'
import { hasSince, magicText, SINCE, type RdbForm } from './rdb-form.js'

export class RdbOutput {
  readonly to: RdbBytes
  readonly form: RdbForm
  keys = 0
  #dbnum = -1

  constructor(out: OutputBuffer, form: RdbForm, lzf = false) {
    this.to = new RdbBytes(out, lzf)
    this.form = form
    out.write(Buffer.from(magicText(form), 'latin1'))
  }

  /** What follows is in this db. */
  select(dbnum: number): void {
    if (dbnum === this.#dbnum) return
    this.#dbnum = dbnum
    this.to.out.byte(OPCODE.SELECTDB)
    this.to.length(dbnum)
  }

  /** All of a record in front of its value. */
  beginKey(
    header: KeyHeader,
    typeByte: number,
    key: Slice,
    dbnum: number,
    expireAtMs: number | undefined,
  ): void {
    const { to, form } = this
    const { out } = to
    this.select(dbnum)
    if (expireAtMs !== undefined) this.#expiry(expireAtMs)
    if (hasSince(form, SINCE.EVICTION)) {
      if (header.idleSeconds >= 0) {
        out.byte(OPCODE.IDLE)
        to.length(header.idleSeconds)
      } else if (header.freq >= 0) {
        out.byte(OPCODE.FREQ)
        out.byte(header.freq)
      }
    }
    if (header.metaClasses > 0 && this.holdsMeta) {
      const { bytes, start, end } = header.meta
      out.write(bytes, start, end)
    }
    out.byte(typeByte)
    to.slice(key)
    this.keys += 1
  }

  /** Metadata of modules in front of a key. */
  get holdsMeta(): boolean {
    return this.form.family === 'redis' && this.form.version >= SINCE.KEY_META
  }

  functionLibrary(code: Slice): void {
    this.to.out.byte(OPCODE.FUNCTION2)
    this.to.slice(code)
  }

  end(): void {
    this.to.end(this.form.version)
  }

  #expiry(expireAtMs: number): void {
    const { out } = this.to
    if (hasSince(this.form, SINCE.EXPIRY_MS)) {
      out.byte(OPCODE.EXPIRETIME_MS)
      this.to.i64(expireAtMs)
      return
    }
    out.byte(OPCODE.EXPIRETIME)
    out.room(4)
    // No key goes before its time.
    const seconds = Math.min(0x7fffffff, Math.max(-0x80000000, Math.ceil(expireAtMs / 1000)))
    out.pos = out.bytes.writeInt32LE(seconds, out.pos)
  }
}
