/**
 * One client of the master's side: its requests, who it is, and, once it asked for SYNC or PSYNC,
 * its life as a replica.
 *
 *   client ──PSYNC/SYNC──▶ wait ──▶ send_bulk ──┬─ `$<len>` ─────────────▶ online
 *     │                                         └─ `$EOF` ─▶ held ─ ACK ─▶ online
 *     └──────PSYNC, granted──────────────────────────────────────────────▶ online
 */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { LinkError, ProtocolError, RrepError } from '../../errors.js'
import { answer, mayBeAskedWithoutPassword } from './commands.js'
import type { Client, ConnectionState } from './client.js'
import type { ConnectionHost } from '../host.js'
import { LagGuard } from '../limits.js'
import { Subscriptions } from './pubsub.js'
import { ReplicaFeed } from './replica-feed.js'
import { ReplicaProfile } from './replica-profile.js'
import { chooseForm } from './replica-version.js'
import { errorReply, NEWLINE, status } from './replies.js'
import type { Request } from './request-parser.js'
import { RequestReader, type RequestOwner } from './request-reader.js'
import type { ServedSnapshot } from '../origin/snapshot.js'
import { parseSync } from './sync-request.js'
import { Transaction } from './transaction.js'

/** How long a replica that is ahead of a relay waits for the relay to come up to it. */
const AHEAD_PATIENCE_MS = 30_000
/** A client that is no replica and says nothing for so long is closed. */
const CLIENT_IDLE_MS = 300_000
/** One that has yet to give the password has less time. */
export const UNAUTHENTICATED_MS = 10_000
/** Replies that nobody reads are kept no longer. */
const UNREAD_MS = 10_000
/** Of messages, to one that does not read them. */
const UNREAD_BYTES = 64 << 10

export class Connection implements Client, RequestOwner {
  readonly id: number
  readonly profile = new ReplicaProfile()
  readonly subscriptions = new Subscriptions()
  readonly transaction = new Transaction()
  readonly connectedMs = Date.now()
  readonly peer: string
  readonly peerIp: string
  readonly peerPort: number
  isAuthenticated: boolean
  failedAuths = 0
  requestCount = 0
  inlineRequests = 0
  lastRequestMs = Date.now()
  state: ConnectionState = 'client'
  /** What the replica has processed, and fsynced, as it says; -1 before it said. */
  ackedReplOffset = -1
  ackMs = Date.now()
  /** Asked by SYNC: tells no offsets, is not timed out for that. */
  isPreSync = false
  feed: ReplicaFeed | undefined
  readonly #socket: Socket
  readonly #host: ConnectionHost
  readonly #reader: RequestReader
  readonly #abort = new AbortController()
  #guard: LagGuard | undefined
  #snapshot: ServedSnapshot | undefined
  #finishedMs = -1

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket
    this.#host = host
    this.id = host.nextClientId()
    this.peerIp = (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
    this.peerPort = socket.remotePort ?? 0
    this.peer = formatPeer(this.peerIp, this.peerPort)
    this.isAuthenticated = host.password === undefined
    socket.setNoDelay(true)
    this.#reader = new RequestReader(socket, host.turns, this)
    socket.on('error', (error) => this.close(error.message))
    socket.on('close', () => this.close('connection closed by the peer'))
    socket.on('end', () => this.close('connection closed by the peer'))
  }

  /** Closed, or its last reply is on the way. */
  get isOver(): boolean {
    return this.state === 'closed' || this.#finishedMs >= 0
  }

  /** Aborted when it is closed. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isReplica(): boolean {
    return this.state !== 'client' && this.state !== 'closed'
  }

  /** How logs and metrics name it: the address that the replica announced, else its peer's. */
  get replicaName(): string {
    const { ipAddress, listeningPort } = this.profile
    return formatPeer(ipAddress ?? this.peerIp, listeningPort === 0 ? this.peerPort : listeningPort)
  }

  /** The first stream byte it still needs; Infinity while it needs none. */
  get neededReplOffset(): number {
    return this.feed === undefined || this.state === 'closed' ? Infinity : this.feed.nextReplOffset
  }

  reply(bytes: Buffer): void {
    if (this.state !== 'closed') this.#socket.write(bytes)
  }

  /** Answers later, and nothing else before that: WAIT. */
  answerWith(reply: Promise<Buffer>): void {
    this.#reader.hold()
    void reply.then((bytes) => {
      this.reply(bytes)
      this.#reader.release()
    })
  }

  push(message: Buffer): void {
    if (this.isOver) return
    // Being told something is as good as asking.
    this.lastRequestMs = Date.now()
    this.#socket.write(message)
    if (this.#socket.writableLength > UNREAD_BYTES) this.close('does not read what it is told')
  }

  close(reason: string, { cutOff = false }: { cutOff?: boolean } = {}): void {
    if (this.state === 'closed') return
    const wasReplica = this.isReplica
    const replOffset = this.feed === undefined ? -1 : this.feed.nextReplOffset - 1
    this.state = 'closed'
    this.feed?.close()
    this.#abort.abort()
    this.#snapshot?.release()
    this.#snapshot = undefined
    this.#socket.destroy()
    this.#host.closed(this)
    if (!wasReplica) return
    if (cutOff) this.#host.stats.cutOff += 1
    const replica = this.replicaName
    this.#host.emit({ event: 'replica-lost', replica, reason, replOffset, cutOff })
  }

  /** Sends the last reply and ends the connection in order. */
  finish(reply?: Buffer): void {
    if (this.isOver) return
    this.#finishedMs = Date.now()
    if (reply !== undefined) this.#socket.write(reply)
    this.#socket.end()
  }

  /** Each second: signs of life both ways, and the limits. */
  tick(nowMs: number): void {
    const { timeoutMs } = this.#host
    switch (this.state) {
      case 'wait':
        this.#socket.write(NEWLINE)
        break
      case 'send_bulk':
        // Waiting for the snapshot itself is not the replica's fault.
        if (!this.feed!.isBlocked) this.feed!.progressMs = nowMs
        if (nowMs - this.feed!.progressMs > timeoutMs) {
          this.close(`took nothing of the snapshot for ${timeoutMs / 1000} s`, { cutOff: true })
          return
        }
        break
      case 'held':
      case 'online':
        // A replica that came by SYNC has no offset to tell, so it tells none.
        if (!this.isPreSync && nowMs - this.ackMs > timeoutMs) {
          this.close(`no sign of life for ${timeoutMs / 1000} s`)
          return
        }
        break
      default:
        this.#checkClient(nowMs)
        return
    }
    this.checkLag(nowMs)
  }

  #checkClient(nowMs: number): void {
    const { unreadSinceMs } = this.#reader
    if (unreadSinceMs >= 0 && nowMs - unreadSinceMs > UNREAD_MS) {
      this.close('does not read what it asked for')
    } else if (this.#finishedMs >= 0 && nowMs - this.#finishedMs > UNREAD_MS) {
      this.close('does not end')
    } else if (!this.isAuthenticated && nowMs - this.connectedMs > UNAUTHENTICATED_MS) {
      this.close('gave no password')
    } else if (nowMs - this.lastRequestMs > CLIENT_IDLE_MS) this.close('idle')
  }

  /** Cuts the replica off where it is beyond its limit. */
  checkLag(nowMs: number): void {
    const feed = this.feed
    if (feed === undefined || this.#guard?.isBeyond(feed.lagBytes, nowMs) !== true) return
    this.close(`too slow: ${feed.lagBytes} bytes behind`, { cutOff: true })
  }

  // ---- what the reader hands on ---------------------------------------------------------------

  answerRequest(request: Request, isInline: boolean): void {
    this.lastRequestMs = Date.now()
    this.requestCount += 1
    if (isInline) this.inlineRequests += 1
    const name = request[0]!.toString('latin1').toUpperCase()
    if (this.isReplica) {
      // Whatever else a replica sends must not be answered into its stream.
      if (name === 'REPLCONF') this.#acknowledged(request)
      return
    }
    if (name === 'POST' || name === 'HOST:') {
      this.close('spoke HTTP')
      return
    }
    this.#host.stats.commands += 1
    if (!this.isAuthenticated && !mayBeAskedWithoutPassword(name)) {
      this.reply(errorReply('NOAUTH Authentication required.'))
    } else if ((name === 'PSYNC' || name === 'SYNC') && this.#mayBecomeReplica) {
      void this.#sync(name, request)
    } else if (name === 'REPLCONF') {
      const option = request[1]?.toString('latin1').toLowerCase()
      if (option !== 'ack' && option !== 'getack') this.reply(this.profile.configure(request))
    } else {
      const reply = answer(this, this.#host, name, request)
      if (reply !== undefined) this.reply(reply)
    }
  }

  /** Messages and EXEC's answer must not come into a replica's stream. */
  get #mayBecomeReplica(): boolean {
    return this.subscriptions.count === 0 && !this.transaction.isOpen
  }

  heardNewline(): void {
    this.ackMs = Date.now()
  }

  reject(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    if (!(error instanceof RrepError)) throw error
    if (!this.isReplica) this.#socket.write(errorReply(`ERR ${message}`))
    this.close(message)
  }

  refuseStranger(): void {
    const reason = 'asked too much before it gave the password'
    this.#host.emit({ event: 'client-refused', client: this.peer, reason })
    this.close(reason)
  }

  // ---- a replica ------------------------------------------------------------------------------

  #acknowledged(request: Request): void {
    if (request[1]?.toString('latin1').toLowerCase() !== 'ack') return
    const nowMs = Date.now()
    const replOffset = Number(request[2]?.toString('latin1') ?? Number.NaN)
    if (!Number.isSafeInteger(replOffset)) return
    this.ackMs = nowMs
    if (replOffset > this.ackedReplOffset) this.ackedReplOffset = replOffset
    if (this.state === 'held') this.#goOnline()
    this.#host.acknowledged(this)
  }

  /** Answers SYNC and PSYNC: the only requests whose answer may take time. */
  async #sync(name: string, request: Request): Promise<void> {
    const wanted = parseSync(name, request)
    if (typeof wanted === 'string') {
      this.reply(errorReply(wanted))
      return
    }
    const { origin, stats } = this.#host
    if (!origin.isReady) {
      this.reply(errorReply("NOMASTERLINK Can't SYNC while not connected with my master"))
      return
    }
    this.isPreSync = wanted.kind === 'sync'
    this.ackMs = Date.now()
    // At once: what comes behind it is no longer a client's.
    this.state = 'wait'
    try {
      if (wanted.kind === 'resume' && (await this.#mayResume(wanted.replid, wanted.replOffset))) {
        this.#continue(wanted.replOffset)
        return
      }
      if (wanted.kind === 'resume') stats.partialRefused += 1
      await this.#fullResync()
    } catch (error) {
      this.#refuse(error)
    }
  }

  async #mayResume(replid: string, nextReplOffset: number): Promise<boolean> {
    const untilMs = Date.now() + AHEAD_PATIENCE_MS
    const { origin } = this.#host
    for (;;) {
      const answered = origin.resume(replid, nextReplOffset)
      if (answered !== 'soon') return answered === 'yes'
      if (Date.now() > untilMs) return false
      await this.#host.nextTick(this.#abort.signal)
    }
  }

  #continue(nextReplOffset: number): void {
    if (this.#isClosed()) return
    const { origin, stats } = this.#host
    stats.partialGranted += 1
    this.#attach(nextReplOffset)
    const { replid } = origin.history
    const knowsIds = this.profile.capabilities.has('psync2')
    this.#socket.write(status(knowsIds ? `CONTINUE ${replid}` : 'CONTINUE'))
    this.#host.emit({ event: 'partial-resync', replica: this.replicaName, replid, nextReplOffset })
    this.#goOnline()
  }

  async #fullResync(): Promise<void> {
    const { origin, stats } = this.#host
    const { rdbOnly, rdbFilter, capabilities } = this.profile
    if (rdbOnly && origin.hasCommandsBehindSnapshot) {
      throw new ProtocolError(
        'ERR_SNAPSHOT_IS_NOT_ALL',
        'this source is a snapshot and commands behind it: a snapshot alone would lack those',
      )
    }
    const wish = rdbFilter === '' ? 'empty' : rdbOnly ? 'fresh' : 'any'
    const snapshot = await origin.snapshot(wish, this.#abort.signal)
    if (this.#isClosed()) return
    snapshot.retain()
    this.#snapshot = snapshot
    // From here on the log keeps what this replica needs.
    this.#attach(snapshot.place.replOffset + 1)
    const { version, magic } = await chooseForm(this, this.#host, snapshot)
    // A lower version means other bytes at the end, which must be known to be the end.
    if (snapshot.lengthBytes === undefined && !capabilities.has('eof')) {
      await snapshot.whenComplete()
    }
    if (version !== undefined) await snapshot.whenComplete()
    if (this.#isClosed()) return
    stats.full += 1
    const { replid, replOffset } = snapshot.place
    if (!this.isPreSync) this.#socket.write(status(`FULLRESYNC ${replid} ${replOffset}`))
    this.#host.emit({
      event: 'full-resync',
      replica: this.replicaName,
      replid,
      replOffset,
      rdbVersion: magic.version,
      rdbFamily: magic.family,
      sentAsVersion: version,
    })
    this.state = 'send_bulk'
    const eofMark = snapshot.lengthBytes === undefined ? randomBytes(20).toString('hex') : undefined
    await this.feed!.sendSnapshot(snapshot, { version, eofMark })
    if (this.#isClosed()) return
    snapshot.release()
    this.#snapshot = undefined
    this.ackMs = Date.now()
    if (rdbOnly) this.finish()
    else if (eofMark === undefined) this.#goOnline()
    // Stream bytes glued behind the mark would be lost: they wait for the first ACK.
    else this.state = 'held'
  }

  #isClosed(): boolean {
    return this.state === 'closed' || this.#abort.signal.aborted
  }

  #attach(nextReplOffset: number): void {
    const { origin, limits, chunks } = this.#host
    // A stream that stands in files costs nothing, however far behind a replica is.
    if (origin.upstream !== undefined) this.#guard = new LagGuard(limits, origin.backlogSizeBytes)
    this.feed = new ReplicaFeed(this.#socket, origin.log, chunks, nextReplOffset, (error) =>
      this.close(error.message, { cutOff: true }),
    )
  }

  #goOnline(): void {
    this.state = 'online'
    const { nextReplOffset, snapshotBytes } = this.feed!
    this.#host.emit({
      event: 'replica-online',
      replica: this.replicaName,
      replOffset: nextReplOffset - 1,
      snapshotBytes,
    })
    this.feed!.startStream()
  }

  /** A sync that cannot be. Before the header an error line tells why, and the connection ends:
   * left open, the replica would try SYNC on it. */
  #refuse(error: unknown): void {
    if (this.#isClosed()) return
    const message = error instanceof Error ? error.message : String(error)
    if (this.state === 'send_bulk') {
      this.close(message)
      return
    }
    const replica = this.replicaName
    this.#host.emit({ event: 'replica-refused', replica, reason: message })
    const retryLater = error instanceof LinkError || (error as RrepError).retriable
    this.finish(errorReply(retryLater ? `NOMASTERLINK ${message}` : `ERR ${message}`))
  }
}

function formatPeer(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
}
