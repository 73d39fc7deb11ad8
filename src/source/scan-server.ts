/**
 * What a server holds, by SCAN and DUMP: for those that refuse a sync. Written as an RDB, since a
 * payload is the value as an RDB has it:
 *
 *   DUMP:  [KEY_META record] TYPE     VALUE · u16le version · u64le CRC64
 *   RDB:   [KEY_META record] TYPE KEY VALUE
 *
 * Each key is from a moment of its own. One that is moved, made or deleted meanwhile may be there
 * or not, and may come twice. Payloads go to the file as they come and are checked on the way;
 * memory holds a page of names.
 */
import { closeSync, openSync } from 'node:fs'
import { AbortedError, AuthError, ProtocolError, RdbError } from '../errors.js'
import { Crc64 } from '../kernels/crc64.js'
import { printable } from '../bytes/printable.js'
import { formatServerAddress } from '../net/address.js'
import { ControlClient } from '../net/control.js'
import { PayloadLine, type ReplyVisitor } from '../net/payload-line.js'
import type { ServerSettings } from '../net/server-settings.js'
import { parseDumpPayload } from '../rdb/dump-payload.js'
import { MIN_VALKEY_VERSION, OPCODE } from '../rdb/numbers.js'
import { DEPTH } from '../rdb/visitor.js'
import { CommandEncoder, encodeCommand } from '../resp/encoder.js'
import { fileError } from '../disk/file-error.js'
import { writeAll } from '../disk/write-all.js'

export interface ScanOptions {
  server: ServerSettings
  path: string
  signal?: AbortSignal | undefined
  onProgress?: ((bytes: number) => void) | undefined
}

const PAGE_KEYS = 512
/** Payloads asked for at a time are about so many bytes: the server holds the answers. */
const BATCH_BYTES = 4 << 20
const FOOTER_BYTES = 10
const WRITE_BYTES = 1 << 18
const HEAD_BYTES = 9

/** Rejects with LinkError, AuthError, ProtocolError, RdbError, FileError or AbortedError. */
export async function scanToRdb(options: ScanOptions): Promise<void> {
  const control = await ControlClient.open(options.server, options.signal)
  try {
    const line = await PayloadLine.open(options.server, options.signal)
    try {
      const file = new RdbFile(options.path)
      try {
        await new ScanRun(options, control, line, file).run()
        file.finish()
      } finally {
        file.close()
      }
    } finally {
      line.close()
    }
  } finally {
    control.close()
  }
}

class ScanRun implements ReplyVisitor {
  readonly #options: ScanOptions
  readonly #control: ControlClient
  readonly #line: PayloadLine
  readonly #file: RdbFile
  readonly #request = new CommandEncoder()
  readonly #name: string
  /** PEXPIRETIME came with 7.0; before, PTTL counts from `#clockMs`. */
  #hasExpireTime = false
  #clockMs = 0
  /** Mean bytes of a payload, as far as is known; large at first. */
  #meanBytes = BATCH_BYTES / 16
  #batch: readonly Buffer[] = []
  /** Of the batch: which key the next reply is for, and its expiry where that has come. */
  #keyAt = 0
  #expireAtMs = -1
  #batchBytes = 0

  constructor(options: ScanOptions, control: ControlClient, line: PayloadLine, file: RdbFile) {
    this.#options = options
    this.#control = control
    this.#line = line
    this.#file = file
    this.#name = formatServerAddress(options.server.address)
  }

  async run(): Promise<void> {
    // All of it: a Sentinel would have no keyspace, and be taken for a server without keys.
    const keyspace = await this.#control.info()
    this.#hasExpireTime = await this.#knowsExpireTime()
    for (const name of keyspace.keys()) {
      const db = /^db(\d+)$/.exec(name)?.[1]
      if (db !== undefined) await this.#database(db)
    }
  }

  async #database(db: string): Promise<void> {
    await this.#control.call('SELECT', db)
    await this.#line.request(encodeCommand('SELECT', db), 1, this)
    this.#file.selectDb(Number(db))
    let page = await this.#page('0')
    for (;;) {
      const isLast = page.cursor === '0'
      // The next names are asked for while the values come; not where TIME has to be asked for
      // meanwhile on the same connection: KeyDB 6 does not answer what comes behind a SCAN.
      const next = isLast || !this.#hasExpireTime ? undefined : this.#page(page.cursor)
      next?.catch(() => undefined)
      await this.#dump(page.keys)
      if (isLast) return
      page = await (next ?? this.#page(page.cursor))
    }
  }

  async #page(cursor: string): Promise<{ cursor: string; keys: Buffer[] }> {
    const reply = await this.#control.callBuffer('SCAN', cursor, 'COUNT', String(PAGE_KEYS))
    const [next, keys] = Array.isArray(reply) ? (reply as unknown[]) : []
    const isPage =
      Buffer.isBuffer(next) && Array.isArray(keys) && keys.every((each) => Buffer.isBuffer(each))
    if (!isPage) throw this.#oddAnswer('SCAN')
    return { cursor: next.toString('latin1'), keys: keys }
  }

  async #dump(keys: readonly Buffer[]): Promise<void> {
    let at = 0
    while (at < keys.length) {
      if (this.#options.signal?.aborted === true) throw new AbortedError()
      const count = Math.max(1, Math.floor(BATCH_BYTES / this.#meanBytes))
      const batch = keys.slice(at, at + count)
      at += batch.length
      if (!this.#hasExpireTime) this.#clockMs = await this.#serverTimeMs()
      const out = this.#request
      out.reset()
      for (const key of batch) {
        out
          .begin(2)
          .ascii(this.#hasExpireTime ? 'PEXPIRETIME' : 'PTTL')
          .bulk(key)
        out.begin(2).ascii('DUMP').bulk(key)
      }
      this.#batch = batch
      this.#keyAt = 0
      this.#batchBytes = 0
      await this.#line.request(out.view(), 2 * batch.length, this)
      const mean = this.#batchBytes / batch.length
      // Fewer at once as soon as they are large, more again bit by bit.
      this.#meanBytes = Math.max(mean, this.#meanBytes / 2, BATCH_BYTES / PAGE_KEYS)
      this.#options.onProgress?.(this.#file.bytes)
    }
  }

  async #knowsExpireTime(): Promise<boolean> {
    try {
      await this.#control.call('PEXPIRETIME', 'rrep')
      return true
    } catch (error) {
      if (error instanceof ProtocolError || error instanceof AuthError) return false
      throw error
    }
  }

  /** Of the server, whose clock its keys go by; of ours where it does not tell. */
  async #serverTimeMs(): Promise<number> {
    try {
      const [seconds, micros] = (await this.#control.call('TIME')) as [string, string]
      return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
    } catch (error) {
      if (error instanceof ProtocolError || error instanceof AuthError) return Date.now()
      throw error
    }
  }

  /** -1: no expiry; -2: the key is gone, as DUMP will say too. */
  integer(value: number): void {
    if (value < 0) this.#expireAtMs = -1
    else this.#expireAtMs = this.#hasExpireTime ? value : this.#clockMs + value
  }

  bulk(lengthBytes: number): void {
    if (lengthBytes < 0) {
      this.#nextKey()
      return
    }
    this.#batchBytes += lengthBytes
    const key = this.#batch[this.#keyAt]
    if (key === undefined) throw this.#oddAnswer('DUMP')
    this.#file.beginKey(key, this.#expireAtMs, lengthBytes)
  }

  bulkPart(bytes: Buffer, start: number, end: number): void {
    this.#file.payload(bytes, start, end)
  }

  bulkEnd(): void {
    this.#file.endKey()
    this.#nextKey()
  }

  error(text: string): void {
    const message = Buffer.from(text, 'latin1')
    const shown = `${this.#name}: ${printable(message, 0, message.length, 200)}`
    if (/^(NOPERM|NOAUTH)/.test(text)) throw new AuthError('ERR_NOPERM', shown)
    throw new ProtocolError('ERR_SERVER_REPLY', shown)
  }

  #oddAnswer(command: string): ProtocolError {
    return new ProtocolError('ERR_PROTOCOL', `${this.#name} answers ${command} as no server does`)
  }

  #nextKey(): void {
    this.#keyAt += 1
    this.#expireAtMs = -1
  }
}

/** The RDB as it grows. Throws FileError, RdbError. */
class RdbFile {
  readonly #path: string
  readonly #fd: number
  readonly #buffer = Buffer.allocUnsafe(WRITE_BYTES)
  #buffered = HEAD_BYTES
  #written = 0
  /** Highest footer version: that of the server. */
  #version = 6
  readonly #crc = new Crc64()
  #key: Buffer = Buffer.alloc(0)
  /** Bytes of the payload that come before its footer. */
  #valueLeft = 0
  #isFirst = false
  readonly #footer = Buffer.alloc(FOOTER_BYTES)
  #footerBytes = 0
  /** A payload that begins with metadata is held: the key goes into its midst. */
  #held: Buffer[] | undefined

  constructor(path: string) {
    this.#path = path
    try {
      this.#fd = openSync(path, 'wx', 0o600)
    } catch (error) {
      throw fileError(path, 'create', error)
    }
  }

  get bytes(): number {
    return this.#written + this.#buffered
  }

  selectDb(db: number): void {
    this.#byte(OPCODE.SELECTDB)
    this.#length(db)
  }

  beginKey(key: Buffer, expireAtMs: number, payloadBytes: number): void {
    if (payloadBytes <= FOOTER_BYTES)
      throw this.#fault('ERR_RDB_TRUNCATED', 'a payload of no value')
    this.#key = key
    this.#crc.reset()
    this.#valueLeft = payloadBytes - FOOTER_BYTES
    this.#footerBytes = 0
    this.#isFirst = true
    this.#held = undefined
    if (expireAtMs < 0) return
    this.#byte(OPCODE.EXPIRETIME_MS)
    const time = Buffer.alloc(8)
    time.writeBigInt64LE(BigInt(expireAtMs))
    this.#write(time, 0, 8)
  }

  payload(bytes: Buffer, start: number, end: number): void {
    this.#crc.update(bytes, start, end)
    let at = start
    if (this.#isFirst) {
      this.#isFirst = false
      if (bytes[at] === OPCODE.KEY_META) {
        this.#held = []
      } else {
        this.#byte(bytes[at]!)
        this.#string(this.#key)
        at += 1
        this.#valueLeft -= 1
      }
    }
    const valueEnd = Math.min(end, at + this.#valueLeft)
    if (this.#held === undefined) this.#write(bytes, at, valueEnd)
    else this.#held.push(Buffer.from(bytes.subarray(at, valueEnd)))
    this.#valueLeft -= valueEnd - at
    this.#footerBytes += bytes.copy(this.#footer, this.#footerBytes, valueEnd, end)
  }

  endKey(): void {
    // The checksum of bytes with their checksum behind them is 0; one of 0 means none.
    if (!this.#crc.isZero && this.#footer.readBigUInt64LE(2) !== 0n) {
      throw this.#fault('ERR_RDB_CORRUPT', 'the checksum of its DUMP does not match')
    }
    this.#version = Math.max(this.#version, this.#footer.readUInt16LE(0))
    if (this.#held !== undefined) this.#writeHeld(Buffer.concat(this.#held))
  }

  finish(): void {
    this.#byte(OPCODE.EOF)
    // 0: no checksum.
    this.#write(Buffer.alloc(8), 0, 8)
    this.#flush()
    const version = this.#version
    const head =
      version >= MIN_VALKEY_VERSION
        ? `VALKEY${String(version).padStart(3, '0')}`
        : `REDIS${String(version).padStart(4, '0')}`
    this.#writeAt(Buffer.from(head), HEAD_BYTES, 0)
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** Metadata, then TYPE VALUE. */
  #writeHeld(value: Buffer): void {
    let metaBytes = 0
    parseDumpPayload(Buffer.concat([value, this.#footer]), {
      key: ({ meta }) => {
        metaBytes = meta.end - meta.start
        return DEPTH.SKIP
      },
    })
    this.#write(value, 0, metaBytes + 1)
    this.#string(this.#key)
    this.#write(value, metaBytes + 1, value.length)
  }

  #byte(byte: number): void {
    if (this.#buffered === this.#buffer.length) this.#flush()
    this.#buffer[this.#buffered] = byte
    this.#buffered += 1
  }

  /** As RDB has lengths: in 6, 14 or 32 bits. */
  #length(value: number): void {
    if (value < 64) {
      this.#byte(value)
    } else if (value < 1 << 14) {
      this.#byte(0x40 | (value >> 8))
      this.#byte(value & 255)
    } else {
      this.#byte(0x80)
      for (const shift of [24, 16, 8, 0]) this.#byte((value >>> shift) & 255)
    }
  }

  #string(bytes: Buffer): void {
    this.#length(bytes.length)
    this.#write(bytes, 0, bytes.length)
  }

  #write(bytes: Buffer, start: number, end: number): void {
    if (end - start > this.#buffer.length - this.#buffered) this.#flush()
    if (end - start > this.#buffer.length) {
      this.#written += this.#writeAt(bytes.subarray(start, end), end - start, this.#written)
      return
    }
    this.#buffered += bytes.copy(this.#buffer, this.#buffered, start, end)
  }

  #flush(): void {
    this.#written += this.#writeAt(this.#buffer, this.#buffered, this.#written)
    this.#buffered = 0
  }

  #writeAt(bytes: Buffer, length: number, position: number): number {
    try {
      writeAll(this.#fd, bytes, 0, length, position)
      return length
    } catch (error) {
      throw fileError(this.#path, 'write', error, position)
    }
  }

  #fault(code: 'ERR_RDB_TRUNCATED' | 'ERR_RDB_CORRUPT', message: string): RdbError {
    return new RdbError(code, { key: printable(this.#key), reading: 'DUMP payload' }, message)
  }
}
