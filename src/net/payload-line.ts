/**
 * A connection whose bulk replies are handed on piece by piece as they come: a DUMP of half a
 * gigabyte needs no more memory than a small one. Requests go out one batch at a time.
 */
import { AbortedError, AuthError, LinkError, ProtocolError } from '../errors.js'
import { printable } from '../bytes/printable.js'
import { encodeCommand } from '../resp/encoder.js'
import { timeoutError } from './line-errors.js'
import type { ServerSettings } from './server-settings.js'
import { openLine, type Line } from './transport.js'

/** Told of each reply of a batch, in order. What it throws ends the connection. */
export interface ReplyVisitor {
  /** A bulk string; -1: there is none. Then its parts, then `bulkEnd`. */
  bulk(lengthBytes: number): void
  bulkPart(bytes: Buffer, start: number, end: number): void
  bulkEnd(): void
  integer(value: number): void
  /** Without `-`. */
  error(text: string): void
}

interface Batch {
  repliesLeft: number
  visitor: ReplyVisitor
  resolve(): void
  reject(error: Error): void
}

const LF = 10
const MAX_LINE_BYTES = 65_536

export class PayloadLine {
  readonly #settings: ServerSettings
  readonly #signal: AbortSignal | undefined
  #line: Line | undefined
  #batch: Batch | undefined
  #lost: Error | undefined
  /** Of a bulk string still to come, and of its CR LF; -1: a line comes next. */
  #bulkLeft = -1
  #lastSignMs = performance.now()
  readonly #timer: NodeJS.Timeout
  readonly #onAbort = (): void => this.#fail(new AbortedError())

  private constructor(settings: ServerSettings, signal: AbortSignal | undefined) {
    this.#settings = settings
    this.#signal = signal
    this.#timer = setInterval(() => this.#checkSilence(), 1000)
    this.#timer.unref()
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Connects and authenticates. Rejects with LinkError, AuthError, ProtocolError, AbortedError. */
  static async open(
    settings: ServerSettings,
    signal: AbortSignal | undefined,
  ): Promise<PayloadLine> {
    const opened = new PayloadLine(settings, signal)
    try {
      opened.#line = await openLine(
        settings,
        {
          onBytes: (bytes, start, end) => opened.#onBytes(bytes, start, end),
          onClose: (error) => opened.#onClose(error),
        },
        signal,
      )
      const { username, password } = settings
      if (password !== undefined) {
        const user = username === undefined ? [] : [username]
        await opened.#greet(encodeCommand('AUTH', ...user, password))
      }
      return opened
    } catch (error) {
      opened.close()
      throw error
    }
  }

  /** Sends the bytes and resolves when so many replies have been told. One batch at a time. */
  async request(bytes: Uint8Array, replies: number, visitor: ReplyVisitor): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost
    await new Promise<void>((resolve, reject) => {
      this.#batch = { repliesLeft: replies, visitor, resolve, reject }
      this.#lastSignMs = performance.now()
      this.#line?.write(bytes)
    })
  }

  close(): void {
    clearInterval(this.#timer)
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#line?.close()
  }

  async #greet(auth: Uint8Array): Promise<void> {
    let refusal: string | undefined
    const ignore = (): void => undefined
    const visitor = { bulk: ignore, bulkPart: ignore, bulkEnd: ignore, integer: ignore }
    await this.request(auth, 1, { ...visitor, error: (text) => (refusal = text) })
    if (refusal === undefined || /no password is set|without any pass/.test(refusal)) return
    const shown = printable(Buffer.from(refusal, 'latin1'), 0, refusal.length, 200)
    throw new AuthError('ERR_REFUSED', `${this.#line!.name} refused AUTH: ${shown}`)
  }

  /** Returns where the unread bytes begin. */
  #onBytes(bytes: Buffer, start: number, end: number): number {
    this.#lastSignMs = performance.now()
    let at = start
    while (at < end) {
      const batch = this.#batch
      if (batch === undefined) throw this.#fault('a reply that nobody asked for')
      if (this.#bulkLeft < 0) {
        const lineEnd = bytes.indexOf(LF, at)
        if (lineEnd < 0 || lineEnd >= end) {
          if (end - at > MAX_LINE_BYTES) throw this.#fault('a line without an end')
          return at
        }
        this.#readLine(batch, bytes.toString('latin1', at, lineEnd - 1))
        at = lineEnd + 1
        continue
      }
      // The two bytes behind it are no part of it.
      const part = Math.min(this.#bulkLeft - 2, end - at)
      if (part > 0) {
        batch.visitor.bulkPart(bytes, at, at + part)
        this.#bulkLeft -= part
        at += part
        continue
      }
      const tail = Math.min(this.#bulkLeft, end - at)
      this.#bulkLeft -= tail
      at += tail
      if (this.#bulkLeft === 0) {
        this.#bulkLeft = -1
        batch.visitor.bulkEnd()
        this.#answered(batch)
      }
    }
    return at
  }

  #readLine(batch: Batch, line: string): void {
    const rest = line.slice(1)
    switch (line[0]) {
      case '$': {
        const length = this.#number(rest)
        if (length < -1) throw this.#fault('bytes that are no reply')
        batch.visitor.bulk(length)
        if (length < 0) this.#answered(batch)
        else this.#bulkLeft = length + 2
        return
      }
      case ':':
        batch.visitor.integer(this.#number(rest))
        break
      case '-':
        batch.visitor.error(rest)
        break
      case '+':
        break
      default:
        throw this.#fault('bytes that are no reply')
    }
    this.#answered(batch)
  }

  #number(text: string): number {
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : NaN
    if (!Number.isSafeInteger(value)) throw this.#fault('bytes that are no reply')
    return value
  }

  #answered(batch: Batch): void {
    batch.repliesLeft -= 1
    if (batch.repliesLeft > 0) return
    this.#batch = undefined
    batch.resolve()
  }

  #fault(what: string): ProtocolError {
    return new ProtocolError('ERR_PROTOCOL', `${this.#line?.name ?? 'the server'} sent ${what}`)
  }

  #onClose(cause: Error | undefined): void {
    const name = this.#line?.name ?? 'the server'
    this.#fail(
      cause ?? new LinkError('ERR_LINK_LOST', `${name} closed the connection`, { retriable: true }),
    )
  }

  #fail(error: Error): void {
    this.#lost ??= error
    this.close()
    this.#batch?.reject(error)
    this.#batch = undefined
  }

  #checkSilence(): void {
    if (this.#batch === undefined) return
    if (performance.now() - this.#lastSignMs < this.#settings.timeoutMs) return
    this.#fail(timeoutError(this.#settings, 'no answer'))
  }
}
