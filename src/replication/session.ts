/**
 * One connection of a link: handshake, payload and stream over one line, until it ends.
 *
 * What a reply means is decided in handshake.ts, where a payload ends in payload.ts; here bytes
 * are handed from one to the other, clocks run, and the consumer's backpressure is obeyed.
 */
import type { ServerAddress } from '../net/address.js'
import { AbortedError, LinkError, ProtocolError, type RrepError } from '../errors.js'
import { openLine, type Line, type LineReader } from '../net/transport.js'
import { timeoutError } from '../net/line-errors.js'
import type { ServerSettings } from '../net/server-settings.js'
import type { LinkConsumer, LinkState, ResumePoint } from './consumer.js'
import { GetAckWatch } from './get-ack.js'
import {
  beginHandshake,
  closedInHandshake,
  onHandshakeLine,
  readLongReply,
  type HandshakeOutcome,
  type HandshakePlan,
  type HandshakeState,
  type PayloadHeader,
  type Transition,
} from './handshake.js'
import { PayloadReader } from './payload.js'

export interface SessionOptions {
  settings: ServerSettings
  plan: HandshakePlan
  purpose: 'snapshot' | 'stream'
  signal: AbortSignal | undefined
  onState: (state: LinkState) => void
  onWire: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

/** How a session ended by itself. */
export type SessionEnd =
  | { readonly kind: 'snapshot-done' }
  | Extract<HandshakeOutcome, { kind: 'filter-refused' | 'full-offered' | 'ahead' }>

/** A line longer than this is no reply to a handshake. */
const MAX_LINE_BYTES = 16 << 10
/** Newlines between a request and its reply: a master sends one a second while it saves. */
const MAX_KEEPALIVES = 1 << 20
/** A snapshot that comes more slowly than this is held up on purpose, or as good as not coming. */
const MIN_SNAPSHOT_BYTES_PER_SECOND = 100
const TICK_MS = 1000
/** A mark behind which a master is silent for so long was the end. */
const QUIET_BEHIND_MARK_MS = 1500
const LF = 10
const CR = 13

export class Session implements LineReader {
  readonly #options: SessionOptions
  readonly #consumer: LinkConsumer
  #line: Line | undefined
  #phase: 'lines' | 'payload' | 'stream' = 'lines'
  #handshake: HandshakeState | undefined
  #payload: PayloadReader | undefined
  /** Of this connection's history; undefined before it is agreed on, and after SYNC. */
  #replid: string | undefined
  /** Of the next stream byte; meaningless without replid. */
  #nextReplOffset = 0
  #lastByteMs = performance.now()
  /** When the last request went out, or the line began that is not whole yet. */
  #lineSinceMs = 0
  #keepalives = 0
  #receivedBytes = 0
  /** Of them, left in the read buffer. */
  #unreadBytes = 0
  /** What had been received at the begin of the time that is being measured. */
  #measured = { sinceMs: 0, bytes: 0 }
  #draining = false
  readonly #getAckWatch = new GetAckWatch()
  #timer: NodeJS.Timeout | undefined
  #settle: ((end: SessionEnd | undefined, error: Error | undefined) => void) | undefined
  /** What a consumer's method threw: the run is over, whatever it was. */
  consumerFault: Error | undefined

  constructor(options: SessionOptions, consumer: LinkConsumer) {
    this.#options = options
    this.#consumer = consumer
  }

  /** Payload bytes that came, for the report of a loss. */
  get snapshotBytes(): number {
    return this.#payload?.bytes ?? 0
  }

  /** The master may have to buffer writes for this link. */
  get streamKept(): boolean {
    return this.#handshake?.rdbOnlyAccepted !== true
  }

  /** The stream has begun: behind a snapshot or by a partial resync. */
  get isStreaming(): boolean {
    return this.#phase === 'stream'
  }

  /** The server at the other end, once there is one. */
  get address(): ServerAddress | undefined {
    return this.#line?.address
  }

  /** Of the history agreed on, and its last byte received; -1 before it. */
  get place(): { replid: string | undefined; replOffset: number } {
    return { replid: this.#replid, replOffset: this.#nextReplOffset - 1 }
  }

  get lastByteMs(): number {
    return this.#lastByteMs
  }

  /** Resolves when the session has done what it is for; rejects when the line is lost. */
  async run(): Promise<SessionEnd> {
    const { settings, signal, onState } = this.#options
    onState('connecting')
    const line = await openLine(settings, this, signal)
    if (signal?.aborted === true) {
      line.close()
      throw new AbortedError()
    }
    this.#line = line
    this.#lastByteMs = performance.now()
    this.#lineSinceMs = this.#lastByteMs
    onState('handshake')
    return await new Promise<SessionEnd>((resolve, reject) => {
      this.#settle = (end, error) => {
        this.close()
        if (error !== undefined) reject(error)
        else if (end !== undefined) resolve(end)
      }
      const tickMs = Math.min(TICK_MS, Math.max(20, settings.timeoutMs / 4))
      let lastAckMs = performance.now()
      this.#timer = setInterval(() => {
        const nowMs = performance.now()
        this.#checkSilence(nowMs)
        if (nowMs - lastAckMs < TICK_MS - tickMs / 2) return
        lastAckMs = nowMs
        this.acknowledge()
      }, tickMs)
      this.#advance(beginHandshake(this.#options.plan))
    })
  }

  /** Ends the session with this error. */
  abort(error: Error): void {
    this.#finish(undefined, error)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#line?.close()
    this.#settle = undefined
  }

  /** Sends an ACK where there is someone to hear it. Masters that know SYNC only would answer it
   * with an error in the stream. */
  acknowledge(): void {
    if (this.#phase !== 'stream' || this.#replid === undefined) return
    const asked = this.#ask(() => this.#consumer.ackOffsets?.())
    this.#line?.write(encodeAck(asked?.ack ?? this.#defaultAck, asked?.fack))
  }

  /**
   * What is acknowledged for a consumer that does not say. 0 keeps the link alive and counts for
   * nothing: a true offset would make us a candidate of FAILOVER, which needs one that is equal to
   * the master's. In cluster mode there is no FAILOVER, but Valkey 8+ holds `CLUSTER SETSLOT` back
   * until each replica has acknowledged, and gives up after two seconds: so there the truth.
   */
  get #defaultAck(): number {
    return this.#handshake?.isClusterNode === true ? this.#nextReplOffset - 1 : 0
  }

  onBytes(bytes: Buffer, start: number, end: number): number {
    this.#lastByteMs = performance.now()
    this.#receivedBytes += end - start - this.#unreadBytes
    let at = start
    while (at < end && this.#settle !== undefined) {
      const before = at
      if (this.#phase === 'lines') at = this.#takeLine(bytes, at, end)
      else if (this.#phase === 'payload') at = this.#takePayload(bytes, at, end)
      else at = this.#takeStream(bytes, at, end)
      if (at === before) break
    }
    if (this.#unreadBytes === 0 && end > at && this.#waitsForSave) {
      this.#lineSinceMs = this.#lastByteMs
    }
    this.#unreadBytes = end - at
    // A session that is over takes no more, and leaves nothing to be offered again.
    return this.#settle === undefined ? end : at
  }

  onClose(error: Error | undefined): void {
    if (error === undefined) {
      try {
        if (this.#payload?.settle() === true && this.#phase === 'payload') this.#payloadEnded()
      } catch (fault) {
        this.#finish(undefined, fault as Error)
        return
      }
    }
    // In the handshake a reset says no more than a close.
    const told = this.#phase === 'lines' && error instanceof LinkError ? undefined : error
    this.#finish(undefined, told ?? this.#closedByPeer(error))
  }

  #takeLine(bytes: Buffer, start: number, end: number): number {
    const behind = this.#skipNewlines(bytes, start, end)
    if (behind > start) return behind
    const long = this.#handshake && readLongReply(this.#handshake, bytes, start, end)
    if (long?.kind === 'more') return start
    if (long?.kind === 'reply') {
      this.#handshakeLine(long.line)
      return long.end
    }
    const found = bytes.subarray(0, end).indexOf(LF, start)
    if (found < 0) {
      if (end - start > MAX_LINE_BYTES)
        this.#handshakeLine(bytes.toString('latin1', start, start + 80))
      return start
    }
    const lineEnd = found > start && bytes[found - 1] === CR ? found - 1 : found
    if (lineEnd === start) this.#keepalive(1)
    else this.#handshakeLine(bytes.toString('latin1', start, lineEnd))
    return found + 1
  }

  /** In one go, however many: a flood of them must not keep the process from its signals. */
  #skipNewlines(bytes: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && bytes[at] === LF) at += 1
    if (at > start) this.#keepalive(at - start)
    return at
  }

  #keepalive(count: number): void {
    this.#keepalives += count
    if (this.#keepalives <= MAX_KEEPALIVES) {
      this.#call(() => this.#consumer.onKeepalive?.(count))
      return
    }
    const { server } = this.#options.plan
    this.#finish(
      undefined,
      new ProtocolError(
        'ERR_PROTOCOL',
        `${server} sends newlines without end in place of a reply`,
        {
          details: { server },
        },
      ),
    )
  }

  #handshakeLine(line: string): void {
    this.#keepalives = 0
    this.#lineSinceMs = performance.now()
    this.#options.onWire?.('received', line)
    const state = this.#handshake
    if (state !== undefined) this.#advance(onHandshakeLine(state, line))
  }

  #advance(transition: Transition): void {
    const { state, request, outcome } = transition
    if (this.#handshake?.step !== state.step && isWaiting(state)) this.#options.onState('waiting')
    if (state.isClusterNode && this.#handshake?.isClusterNode === false) {
      this.#consumer.onClusterNode?.()
    }
    this.#handshake = state
    if (request !== undefined) {
      this.#options.onWire?.('sent', maskRequest(state, request))
      this.#line?.write(request)
    }
    if (outcome === undefined) return
    switch (outcome.kind) {
      case 'failed':
        this.#finish(undefined, outcome.error)
        break
      case 'filter-refused':
      case 'full-offered':
      case 'ahead':
        this.#finish(outcome, undefined)
        break
      case 'continue':
        this.#startStream(state.plan.resume, outcome.replid)
        break
      case 'payload':
        this.#startPayload(state, outcome.header)
    }
  }

  #startPayload(state: HandshakeState, header: PayloadHeader): void {
    const { replid, replOffset } = header
    this.#replid = replid
    this.#nextReplOffset = replOffset + 1
    this.#phase = 'payload'
    this.#line?.coalesce(true)
    this.#measured = { sinceMs: performance.now(), bytes: this.#receivedBytes }
    this.#payload = new PayloadReader(header, state.plan.server, {
      onSnapshotBytes: (bytes, start, end) =>
        this.#call(() => this.#consumer.onSnapshotBytes(bytes, start, end)),
      isSnapshotWhole: () => this.#ask(() => this.#consumer.isSnapshotWhole?.()),
    })
    this.#options.onState('snapshot')
    this.#call(() =>
      this.#consumer.onFullResync({
        replid,
        replOffset,
        framing: header.framing,
        lengthBytes: header.lengthBytes,
        content: state.plan.emptySnapshot ? 'empty' : 'all',
        refusedResume: state.plan.resume,
        streamKept: this.streamKept,
      }),
    )
    if (header.lengthBytes === 0) this.#takePayload(Buffer.alloc(0), 0, 0)
  }

  #takePayload(bytes: Buffer, start: number, end: number): number {
    const payload = this.#payload
    if (payload === undefined) return start
    let at: number
    try {
      at = payload.push(bytes, start, end)
    } catch (error) {
      this.#finish(undefined, error as Error)
      return start
    }
    if (payload.ended !== undefined) this.#payloadEnded()
    this.#drain()
    return at
  }

  #payloadEnded(): void {
    const ended = this.#payload?.ended
    // Who could not take all of it must not be told that it is whole.
    if (ended === undefined || this.#settle === undefined) return
    this.#phase = 'stream'
    this.#line?.coalesce(false)
    this.#call(() => this.#consumer.onSnapshotEnd(ended))
    if (this.#options.purpose === 'snapshot') {
      this.#finish({ kind: 'snapshot-done' }, undefined)
      return
    }
    this.#options.onState('stream')
    // One ACK now and one each second: the first after `$EOF` comes too early to be noticed.
    this.acknowledge()
  }

  #startStream(resume: ResumePoint | undefined, answered: string | undefined): void {
    if (resume === undefined) {
      const { server } = this.#options.plan
      const error = new ProtocolError(
        'ERR_PROTOCOL',
        `${server} continues a stream that nobody asked for`,
        { details: { server } },
      )
      this.#finish(undefined, error)
      return
    }
    const replid = (answered ?? resume.replid).toLowerCase()
    const previousReplid = replid === resume.replid.toLowerCase() ? undefined : resume.replid
    this.#replid = replid
    this.#nextReplOffset = resume.nextReplOffset
    this.#phase = 'stream'
    const { nextReplOffset } = resume
    this.#call(() => this.#consumer.onContinue({ replid, previousReplid, nextReplOffset }))
    this.#options.onState('stream')
    this.acknowledge()
  }

  #takeStream(bytes: Buffer, start: number, end: number): number {
    const replOffset = this.#nextReplOffset
    this.#nextReplOffset += end - start
    this.#call(() => this.#consumer.onStream(bytes, start, end, replOffset))
    if (this.#getAckWatch.sees(bytes, start, end)) this.acknowledge()
    this.#drain()
    return end
  }

  #drain(): void {
    if (this.#draining || this.#settle === undefined) return
    const wait = this.#ask(() => this.#consumer.drain?.())
    if (wait === undefined) return
    this.#draining = true
    this.#line?.pause()
    wait.then(
      () => {
        this.#draining = false
        this.#lastByteMs = performance.now()
        this.#measured = { sinceMs: this.#lastByteMs, bytes: this.#receivedBytes }
        this.#line?.resume()
      },
      (error: unknown) => this.#fault(error),
    )
  }

  #checkSilence(nowMs: number): void {
    const silentMs = nowMs - this.#lastByteMs
    if (this.#draining) return
    if (this.#payload?.atMark === true && silentMs >= QUIET_BEHIND_MARK_MS) {
      try {
        if (this.#payload.settle()) this.#payloadEnded()
      } catch (error) {
        this.#finish(undefined, error as Error)
      }
      return
    }
    const { settings } = this.#options
    if (silentMs >= settings.timeoutMs) {
      this.#finish(undefined, timeoutError(settings, SILENCE[this.#phase]))
    } else if (this.#phase === 'lines') {
      // A reply that comes byte by byte, or newlines before one that needs no time, is none.
      const mayWait = this.#waitsForSave && this.#unreadBytes === 0
      if (!mayWait && nowMs - this.#lineSinceMs >= settings.timeoutMs) {
        this.#finish(undefined, timeoutError(settings, 'no whole answer'))
      }
    } else if (this.#phase === 'payload') this.#checkPace(nowMs)
  }

  /** The reply may take as long as a save does. */
  get #waitsForSave(): boolean {
    return this.#phase === 'lines' && this.#handshake !== undefined && isWaiting(this.#handshake)
  }

  #checkPace(nowMs: number): void {
    const { settings } = this.#options
    const { sinceMs, bytes } = this.#measured
    const seconds = (nowMs - sinceMs) / 1000
    if (nowMs - sinceMs < settings.timeoutMs) return
    const came = this.#receivedBytes - bytes
    this.#measured = { sinceMs: nowMs, bytes: this.#receivedBytes }
    if (came < seconds * MIN_SNAPSHOT_BYTES_PER_SECOND) {
      this.#finish(undefined, timeoutError(settings, `only ${came} bytes of the snapshot`))
    }
  }

  #closedByPeer(cause: Error | undefined): RrepError {
    const { server } = this.#options.plan
    if (this.#phase === 'lines' && this.#handshake !== undefined) {
      return closedInHandshake(this.#handshake, cause)
    }
    const details = { server, snapshotBytes: this.snapshotBytes }
    const what = this.#phase === 'payload' ? 'in the middle of the snapshot' : 'during the stream'
    return new LinkError('ERR_LINK_LOST', `${server} closed the connection ${what}`, {
      retriable: true,
      details,
    })
  }

  /** Runs a method of the consumer; what it throws ends the session and the run. */
  #call(method: () => void): void {
    try {
      method()
    } catch (error) {
      this.#fault(error)
    }
  }

  #ask<Answer>(method: () => Answer): Answer | undefined {
    try {
      return method()
    } catch (error) {
      this.#fault(error)
      return undefined
    }
  }

  #fault(error: unknown): void {
    this.consumerFault = error instanceof Error ? error : new Error(String(error))
    this.#finish(undefined, this.consumerFault)
  }

  #finish(end: SessionEnd | undefined, error: Error | undefined): void {
    this.#settle?.(end, error)
  }
}

const SILENCE = {
  lines: 'no answer',
  payload: 'no byte of the snapshot',
  stream: 'no byte of the stream, not even a PING',
} as const

function isWaiting(state: HandshakeState): boolean {
  return state.step === 'psync' || state.step === 'sync' || state.step === 'header'
}

function maskRequest(state: HandshakeState, request: Buffer): string {
  if (state.step === 'auth') return 'AUTH ***'
  return request
    .toString('latin1')
    .split('\r\n')
    .filter((part) => part !== '' && !/^[*$]\d+$/.test(part))
    .join(' ')
}

function encodeAck(ack: number, fack: number | undefined): string {
  const parts = ['REPLCONF', 'ACK', String(ack)]
  if (fack !== undefined) parts.push('FACK', String(fack))
  return `*${parts.length}\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join('')}`
}
