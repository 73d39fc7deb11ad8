/**
 * One connection to the target of a replay: single calls with answers, or a pipeline of batches
 * whose replies are counted by line ends and never built.
 *
 * Batches are answered in order. An error reply is reported to the batch it belongs to, with the
 * number of the reply in it; everything else only counts. When the connection breaks, the owner
 * gets the batches that were not wholly answered: what became of them it must find out itself
 * (`fence` first, so that nothing of them is executed any more).
 */
import {
  AbortedError,
  AuthError,
  InternalError,
  LinkError,
  ProtocolError,
  TargetError,
  type RrepError,
} from '../../errors.js'
import { printable } from '../../bytes/printable.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { openLine, type Line } from '../../net/transport.js'
import { encodeCommand } from '../../resp/encoder.js'
import { ReplyCounter } from '../../resp/reply-counter.js'
import { ReplyError, ReplyReader, replyText, type Reply } from './reply-reader.js'

/** Something sent that expects a known number of replies. */
export interface PipelinedBatch {
  /** Replies still expected in all; may grow until `isClosed`. */
  readonly expectedReplies: number
  /** Nothing more is added. */
  readonly isClosed: boolean
  /**
   * An error. `reply` counts from 0 within the batch; `element` is the place in a top-level array
   * (EXEC), or -1. `text` is without `-`, valid during the call.
   */
  onError(reply: number, element: number, text: Uint8Array): void
  /** An integer at top level, for those who want to know. */
  onInteger?(reply: number, value: number): void
}

export interface ConnectionOwner {
  /** All replies of the batch have come. */
  onAnswered(batch: PipelinedBatch): void
  /** The connection is gone; `unanswered` in the order in which they were sent. */
  onLost(error: RrepError, unanswered: readonly PipelinedBatch[]): void
}

export interface ConnectionOptions {
  /** For CLIENT SETNAME, by which a later connection finds and ends this one. */
  clientName: string
  signal?: AbortSignal | undefined
  owner?: ConnectionOwner | undefined
  /** How long to rest between reads of replies to batches: so that a read takes many of them. */
  restMs?: (() => number) | undefined
  /** Valkey: sees and writes keys that are past their time. */
  importSource?: boolean | undefined
  /** A script that keeps the server busy is one that we have sent: it is ended, and told. */
  endsScripts?: boolean | undefined
}

interface PendingCall {
  resolve(reply: Reply): void
  reject(error: Error): void
}

/** A rest would cost a server that is farther away more than it saves here. */
const NEAR_MS = 3

export class TargetConnection {
  /** CLIENT ID, or 0 where the server does not tell. */
  clientId = 0
  /** Bytes sent since the connection was opened. */
  sentBytes = 0
  /** When the last reply came, or the first unanswered batch was sent; performance.now(). */
  lastSignMs = performance.now()

  readonly #settings: ServerSettings
  readonly #options: ConnectionOptions
  #line: Line | undefined
  #lost: RrepError | undefined
  #closed = false
  readonly #calls: PendingCall[] = []
  readonly #reader = new ReplyReader()
  readonly #counter: ReplyCounter
  #inFlight: PipelinedBatch[] = []
  /** Number of the first reply of the oldest batch in flight. */
  #headReply = 0
  #timer: NodeJS.Timeout | undefined
  /** Measured at the beginning. */
  #roundTripMs = Infinity
  /** Batches in flight that want to see integers. */
  #integerReaders = 0

  private constructor(settings: ServerSettings, options: ConnectionOptions) {
    this.#settings = settings
    this.#options = options
    this.#counter = new ReplyCounter({
      onError: (reply, element, text) => {
        const [batch, first] = this.#batchOf(reply)
        if (batch === undefined) {
          throw this.#protocolFault(`an error that nobody asked for: ${printable(text)}`)
        }
        batch.onError(reply - first, element, text)
      },
      onInteger: (reply, value) => {
        if (this.#integerReaders === 0) return
        const [batch, first] = this.#batchOf(reply)
        batch?.onInteger?.(reply - first, value)
      },
    })
  }

  /** Connects and authenticates. Rejects with LinkError (retriable or not) or AuthError. */
  static async open(
    settings: ServerSettings,
    options: ConnectionOptions,
  ): Promise<TargetConnection> {
    const connection = new TargetConnection(settings, options)
    connection.#line = await openLine(
      settings,
      {
        onBytes: (bytes, start, end) => connection.#onBytes(bytes, start, end),
        onClose: (error) => connection.#onClose(error),
      },
      options.signal,
    )
    connection.#timer = setInterval(() => connection.#checkSilence(), 1000)
    connection.#timer.unref()
    const onAbort = (): void => connection.#fail(new AbortedError())
    options.signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await connection.#greet()
    } catch (error) {
      connection.close()
      throw error
    } finally {
      options.signal?.removeEventListener('abort', onAbort)
    }
    const { restMs } = options
    if (restMs !== undefined && connection.#roundTripMs < NEAR_MS) {
      connection.#line.pace(() => (connection.#inFlight.length > 0 ? restMs() : 0))
    }
    return connection
  }

  get isLost(): boolean {
    return this.#lost !== undefined || this.#closed
  }

  get inFlight(): number {
    return this.#inFlight.length
  }

  /** One command and its answer; error replies are values. Only while no batch is in flight. */
  async call(...args: readonly (string | Uint8Array)[]): Promise<Reply> {
    if (this.#inFlight.length > 0) throw new InternalError('a call between batches in flight')
    if (this.#lost !== undefined) throw this.#lost
    return await new Promise<Reply>((resolve, reject) => {
      this.#calls.push({ resolve, reject })
      this.#touch()
      this.#write(encodeCommand(...args))
    })
  }

  /** The same, but an error reply is thrown: AuthError for lacking rights, else ProtocolError. */
  async expect(...args: readonly (string | Uint8Array)[]): Promise<Reply> {
    const reply = await this.call(...args)
    if (reply instanceof ReplyError) {
      const name = typeof args[0] === 'string' ? args[0] : 'a command'
      throw refused(this.#line?.name ?? 'the target', name, reply.text)
    }
    return reply
  }

  /** Adds a batch behind those in flight; its bytes follow with `write`. */
  begin(batch: PipelinedBatch): void {
    if (this.#calls.length > 0) throw new InternalError('a batch between calls')
    if (this.#inFlight.length === 0) this.#touch()
    this.#inFlight.push(batch)
    if (batch.onInteger !== undefined) this.#integerReaders += 1
  }

  /** Bytes of the batch begun last. They must stay as they are until it is answered. */
  write(bytes: Uint8Array): void {
    this.#write(bytes)
  }

  /** Looks again whether the oldest batches are answered: after one was closed. */
  settle(): void {
    for (;;) {
      const head = this.#inFlight[0]
      if (head?.isClosed !== true) return
      if (this.#counter.replies - this.#headReply < head.expectedReplies) return
      this.#headReply += head.expectedReplies
      this.#inFlight.shift()
      if (head.onInteger !== undefined) this.#integerReaders -= 1
      this.#options.owner?.onAnswered(head)
    }
  }

  get queuedBytes(): number {
    return this.#line?.queuedBytes ?? 0
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#line?.close()
  }

  /** Closes it; who waits for an answer hears why there is none. */
  abandon(reason: RrepError): void {
    this.close()
    for (const call of this.#calls.splice(0)) call.reject(reason)
  }

  async #greet(): Promise<void> {
    const { username, password } = this.#settings
    if (password !== undefined) {
      const reply = await (username === undefined
        ? this.call('AUTH', password)
        : this.call('AUTH', username, password))
      if (reply instanceof ReplyError && !/no password is set|without any pass/.test(reply.text)) {
        throw refused(this.#line!.name, 'AUTH', reply.text)
      }
    }
    const startedMs = performance.now()
    const pong = await this.call('PING')
    if (pong instanceof ReplyError) {
      const isBusy = /^BUSY .*script/i.test(pong.text)
      if (isBusy && this.#options.endsScripts === true) await this.#endScript()
      throw refused(this.#line!.name, 'PING', pong.text)
    }
    // All of these are comforts: an old server or a narrow ACL may refuse them.
    await this.call('CLIENT', 'SETNAME', this.#options.clientName)
    const id = await this.call('CLIENT', 'ID')
    this.#roundTripMs = (performance.now() - startedMs) / 3
    if (typeof id === 'number') this.clientId = id
    if (this.#options.importSource === true) await this.#becomeImportSource()
  }

  /** import-mode is a setting at run time: a server that was restarted has forgotten it. */
  async #becomeImportSource(): Promise<void> {
    const reply = await this.call('CLIENT', 'IMPORT-SOURCE', 'ON')
    if (!(reply instanceof ReplyError)) return
    if (!/not in import mode/i.test(reply.text)) {
      throw refused(this.#line!.name, 'CLIENT IMPORT-SOURCE', reply.text)
    }
    await this.expect('CONFIG', 'SET', 'import-mode', 'yes')
    await this.expect('CLIENT', 'IMPORT-SOURCE', 'ON')
  }

  /** Throws TargetError. */
  async #endScript(): Promise<never> {
    const reply = await this.call('SCRIPT', 'KILL')
    const what = `a script of the source has kept ${this.#line!.name} busy without an answer`
    if (reply instanceof ReplyError && !reply.text.startsWith('NOTBUSY')) {
      throw new TargetError('ERR_TARGET_SCRIPT', `${what}, and has written: it cannot be ended`, {
        hint: 'only SHUTDOWN NOSAVE at the target ends it',
      })
    }
    throw new TargetError('ERR_TARGET_SCRIPT', `${what}, and was ended`, {
      hint: 'a script that needs longer is waited for with a longer `timeoutMs`',
    })
  }

  #write(bytes: Uint8Array): void {
    this.sentBytes += bytes.length
    this.#line?.write(bytes)
  }

  #onBytes(bytes: Buffer, start: number, end: number): number {
    this.lastSignMs = performance.now()
    if (this.#calls.length > 0) {
      this.#reader.push(bytes.subarray(start, end))
      for (;;) {
        const reply = this.#reader.next()
        if (reply === undefined) break
        const call = this.#calls.shift()
        if (call === undefined) throw this.#protocolFault('a reply that nobody asked for')
        call.resolve(reply)
      }
      return end
    }
    this.#counter.push(bytes, start, end)
    if (this.#counter.badByte >= 0) throw this.#protocolFault('bytes that are no reply')
    this.settle()
    return end
  }

  #batchOf(reply: number): [batch: PipelinedBatch | undefined, firstReply: number] {
    let first = this.#headReply
    for (const batch of this.#inFlight) {
      // An open batch is the last one: whatever comes behind the others is its own.
      if (reply < first + batch.expectedReplies || !batch.isClosed) return [batch, first]
      first += batch.expectedReplies
    }
    return [undefined, first]
  }

  #protocolFault(what: string): ProtocolError {
    return new ProtocolError(
      'ERR_TARGET_PROTOCOL',
      `${this.#line?.name ?? 'the target'} sent ${what}`,
    )
  }

  #onClose(cause: Error | undefined): void {
    clearInterval(this.#timer)
    if (this.#closed) return
    const name = this.#line?.name ?? 'the target'
    const error =
      cause instanceof LinkError || cause instanceof ProtocolError
        ? cause
        : new LinkError('ERR_LINK_LOST', `the target ${name} closed the connection`, {
            cause,
            retriable: true,
          })
    this.#fail(error)
  }

  #fail(error: RrepError): void {
    this.#lost = error
    const unanswered = this.#inFlight
    this.#inFlight = []
    for (const call of this.#calls.splice(0)) call.reject(error)
    this.#options.owner?.onLost(error, unanswered)
  }

  #touch(): void {
    this.lastSignMs = performance.now()
  }

  #checkSilence(): void {
    if (this.#inFlight.length === 0 && this.#calls.length === 0) return
    const silentMs = performance.now() - this.lastSignMs
    if (silentMs < this.#settings.timeoutMs || this.#lost !== undefined) return
    const name = this.#line?.name ?? 'the target'
    this.close()
    this.#fail(
      new LinkError('ERR_TIMEOUT', `${name}: no answer for ${Math.round(silentMs / 1000)} s`, {
        retriable: true,
        hint: 'a target that is busy or far away may need a longer `timeoutMs`',
      }),
    )
  }
}

/** An error reply as one of our errors: who may not, who must wait, what is not understood. */
export function refused(server: string, command: string, text: string): RrepError {
  const message = `${server} refused ${command}: ${printable(Buffer.from(text))}`
  if (/^(NOAUTH|WRONGPASS|NOPERM|DENIED)\b|invalid password|operation not permitted/.test(text)) {
    return new AuthError('ERR_REFUSED', message)
  }
  if (isTransient(text)) return new LinkError('ERR_TARGET_BUSY', message, { retriable: true })
  return new ProtocolError('ERR_SERVER_REPLY', message)
}

/** Errors that pass by themselves; the command was not executed. */
export function isTransient(text: string): boolean {
  return /^(LOADING|BUSY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|OOM|READONLY|MISCONF|NOREPLICAS|ERR max number of clients)\b/.test(
    text,
  )
}

/**
 * Ends connections of an earlier session by their name, so that nothing they sent is executed any
 * more. What is still in the server's input buffers of these connections is dropped with them.
 * Returns false where the server does not allow CLIENT LIST or KILL.
 */
export async function fence(connection: TargetConnection, clientName: string): Promise<boolean> {
  const list = await connection.call('CLIENT', 'LIST')
  if (list instanceof ReplyError) return false
  for (const line of replyText(list).split('\n')) {
    const fields = new Map(
      line.split(' ').map((pair) => {
        const equals = pair.indexOf('=')
        return [pair.slice(0, equals), pair.slice(equals + 1)] as const
      }),
    )
    if (fields.get('name') !== clientName) continue
    const id = fields.get('id')
    if (id === undefined || Number(id) === connection.clientId) continue
    const reply = await connection.call('CLIENT', 'KILL', 'ID', id)
    if (reply instanceof ReplyError && !/No such client/i.test(reply.text)) return false
  }
  return true
}
