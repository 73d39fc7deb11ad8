/**
 * One replication link, for as long as it is wanted: connect, handshake, snapshot, stream, and
 * again after a loss, with backoff and partial resync. Where to go on then the consumer says: it
 * alone knows what it has, and the link keeps no place of its own.
 *
 * The link promises the consumer exact offsets, a whole snapshot or none, and that the socket is
 * read as fast as the consumer takes. It understands neither keys nor commands.
 */
import {
  AbortedError,
  AuthError,
  InternalError,
  LinkError,
  ProtocolError,
  RrepError,
} from '../errors.js'

import { formatServerAddress } from '../net/address.js'
import { ControlClient, refuseSentinel } from '../net/control.js'
import { LoadingWait } from '../net/loading-wait.js'
import {
  DEFAULT_RETRIES,
  type AnnouncedLink,
  type LinkStatus,
  type ServerSettings,
} from '../net/server-settings.js'
import { backoffMs } from './backoff.js'
import type { LinkConsumer, LinkState, ResumePoint } from './consumer.js'
import { NEWEST_VERSION, type HandshakePlan } from './handshake.js'
import { parseReplicationInfo, pointOfNow, type ReplicationInfo } from './plan.js'
import { Session, type SessionEnd } from './session.js'

/** How often it is asked who the master is, where a name is followed; and while one is told that it is
 * another, and for how long. */
const LOOK_MS = 1000
const HURRY_MS = 200
const HURRIED_MS = 5000

export interface LinkOptions {
  server: ServerSettings
  /** `snapshot`: `run` resolves once the snapshot is whole (`rdb-only` where the server knows it:
   * no stream is kept for us). `stream`: it goes on until `stop` or abort. */
  purpose: 'snapshot' | 'stream'
  /** Where to begin. `full`: with a snapshot. `now`: with the next write, by a partial resync at
   * the offset that INFO tells; without a backlog there, by an empty snapshot (7.0+); else by a
   * full one. A resume point: there, else by a full one. */
  start: 'full' | 'now' | ResumePoint
  /** `false`: never let the master make a full snapshot, not even on reconnecting: the run ends
   * with ProtocolError ERR_FULL_RESYNC_NEEDED. Default true. */
  allowFullResync?: boolean | undefined
  /** Failed attempts in a row before `run` rejects. Default 5; Infinity for ever. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  /** What REPLCONF version announces. Decides the RDB version a Valkey 9.1+ sends. Default: the
   * newest that master has. */
  announcedVersion?: string | undefined
  /** Wire log for --debug: secrets are masked. */
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

/** Where an attempt begins. */
type Start = LinkOptions['start'] | 'empty'

export class ReplicationLink implements AnnouncedLink {
  readonly #options: LinkOptions
  readonly #consumer: LinkConsumer
  readonly #server: string
  readonly #loadingWait: LoadingWait
  /** Ends what waits: by `stop` or by the caller's signal. */
  readonly #halt = new AbortController()
  #stopped = false
  #session: Session | undefined
  #state: LinkState = 'idle'
  /** Last place of the session before. */
  #place: LinkStatus | undefined
  #hurryUntilMs = 0
  #wakeUp: (() => void) | undefined

  constructor(options: LinkOptions, consumer: LinkConsumer) {
    this.#options = options
    this.#consumer = consumer
    this.#server = formatServerAddress(options.server.address)
    this.#loadingWait = new LoadingWait(options.server)
    if (options.purpose === 'stream') options.server.announcement?.onLink(this)
  }

  get status(): LinkStatus {
    const session = this.#session
    const isUp = this.#state === 'stream'
    const isSyncing = this.#state === 'snapshot' || this.#state === 'waiting'
    const { address, place, lastByteMs } = session ?? {}
    const { replid = this.#place?.replid, replOffset = -1 } = place ?? {}
    const known = Math.max(replOffset, this.#place?.replOffset ?? -1)
    return {
      ...{ isUp, isSyncing, address: address ?? this.#place?.address, replid },
      replOffset: isUp || isSyncing ? replOffset : known,
      lastByteMs: lastByteMs ?? this.#place?.lastByteMs ?? 0,
    }
  }

  hurry(): void {
    this.#hurryUntilMs = performance.now() + HURRIED_MS
    this.#wakeUp?.()
  }

  get state(): LinkState {
    return this.#state
  }

  /** Runs until the purpose is reached or `stop` is called. Rejects with LinkError, AuthError,
   * ProtocolError, RdbError, AbortedError, or what the consumer threw. Once only. */
  async run(): Promise<void> {
    if (this.#state !== 'idle') throw new InternalError('a link runs once')
    const { signal } = this.#options
    const onAbort = (): void => this.#end(new AbortedError())
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    try {
      await this.#attempts()
    } catch (error) {
      if (!this.#stopped) throw signal?.aborted === true ? new AbortedError() : error
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.#setState('closed')
    }
  }

  /** Ends the run as if its purpose were reached: closes the connection, `run` resolves. */
  stop(): void {
    this.#stopped = true
    this.#end(new AbortedError())
  }

  /** Sends an ACK now (offsets from the consumer's `ackOffsets`), e.g. after an fsync that a
   * WAITAOF may be waiting for. Nothing happens while there is no stream. */
  acknowledge(): void {
    this.#session?.acknowledge()
  }

  async #attempts(): Promise<void> {
    const retries = this.#options.retries ?? DEFAULT_RETRIES
    let failed = 0
    let start: Start = this.#options.start
    for (;;) {
      this.#checkHalt()
      let session: Session | undefined
      try {
        const plan = await this.#plan(start)
        session = this.#openSession(plan)
        const end = await this.#run(session)
        if (end.kind === 'snapshot-done') return
        start =
          end.kind === 'ahead'
            ? await this.#cutBack(end.point, plan.resume, session)
            : this.#replan(end, plan, start)
        continue
      } catch (error) {
        this.#checkHalt()
        if (session?.consumerFault !== undefined) throw session.consumerFault
        if (!(error instanceof RrepError)) throw error
        if (error.code === 'ERR_NOT_SUPPORTED') await refuseSentinel(this.#options.server)
        const during = this.#state
        if (session?.isStreaming === true) failed = 0
        this.#session = undefined
        if (error.code !== 'ERR_LOADING') this.#loadingWait.reset()
        else if (await this.#waitWhileLoading(error)) {
          start = this.#resumeStart(start)
          continue
        }
        failed += 1
        const again = error.retriable && error.code !== 'ERR_LOADING' && failed <= retries
        const retryInMs = again ? backoffMs(failed, Math.random()) : undefined
        this.#consumer.onLinkLost?.({
          error,
          during,
          attempt: failed,
          retryInMs,
          snapshotBytes: session?.isStreaming === true ? 0 : (session?.snapshotBytes ?? 0),
          streamKept: session?.streamKept ?? true,
        })
        if (retryInMs === undefined) throw error
        await this.#pause(retryInMs)
      }
      start = this.#resumeStart(start)
    }
  }

  /** A master that is no longer the one named is left, though it goes on for a while. */
  async #run(session: Session): ReturnType<Session['run']> {
    const { locate } = this.#options.server
    if (locate === undefined) return await session.run()
    let isAsking = false
    let askedMs = performance.now()
    const look = async (): Promise<void> => {
      const at = session.address
      const nowMs = performance.now()
      const isTime = nowMs - askedMs >= LOOK_MS || nowMs < this.#hurryUntilMs
      if (isAsking || at === undefined || !isTime) return
      isAsking = true
      askedMs = nowMs
      try {
        const now = await locate(this.#halt.signal)
        if (now.host === at.host && now.port === at.port) return
        const message = `${formatServerAddress(at)} is deposed: ${now.host}:${now.port} is the master now`
        session.abort(new LinkError('ERR_LINK_LOST', message, { retriable: true }))
      } catch {
        // Nobody is named, or nobody answers: what there is goes on.
      } finally {
        isAsking = false
      }
    }
    const timer = setInterval(() => void look(), HURRY_MS)
    try {
      return await session.run()
    } finally {
      clearInterval(timer)
    }
  }

  /** A server that loads its data is no failure: it says how long it will take. False once it has
   * taken longer than the caller has patience for. */
  async #waitWhileLoading(cause: RrepError): Promise<boolean> {
    const pause = this.#loadingWait.next(await this.#loadingEta(), cause)
    if (pause === undefined) return false
    const { error, retryInMs } = pause
    this.#consumer.onLinkLost?.({
      error,
      during: this.#state,
      attempt: 1,
      retryInMs,
      snapshotBytes: 0,
      streamKept: true,
    })
    await this.#pause(retryInMs)
    return true
  }

  async #loadingEta(): Promise<number | undefined> {
    let client: ControlClient | undefined
    try {
      client = await ControlClient.open(this.#options.server, this.#halt.signal, 'ask')
      return await client.loadingEtaSeconds()
    } catch (error) {
      if (error instanceof RrepError) return undefined
      throw error
    } finally {
      client?.close()
    }
  }

  /** Turns a wish into what this server can give. */
  async #plan(wish: Start): Promise<HandshakePlan> {
    const { server, purpose, allowFullResync = true } = this.#options
    let start = wish
    let fullResync: HandshakePlan['fullResync'] = 'take'
    if (start === 'now') {
      this.#setState('connecting')
      const info = await this.#replicationInfo()
      start = (info === undefined ? undefined : pointOfNow(info)) ?? 'empty'
      fullResync = 'leave'
    } else if (typeof start === 'object' && !allowFullResync) {
      fullResync = 'leave'
    } else if (start === 'full' && !allowFullResync) {
      throw this.#fullResyncNeeded('there is no point to go on from')
    }
    const resume = typeof start === 'object' ? start : undefined
    this.#consumer.onResyncPlanned?.(
      resume !== undefined ? 'partial' : start === 'empty' ? 'empty-snapshot' : 'full-snapshot',
    )
    return {
      server: this.#server,
      username: server.username,
      password: server.password,
      passwordHint: server.passwordHint,
      announcement: server.announcement ?? { host: await this.#hidingName(), port: undefined },
      rdbOnly: purpose === 'snapshot',
      emptySnapshot: start === 'empty',
      version: this.#options.announcedVersion ?? NEWEST_VERSION,
      resume,
      fullResync: resume === undefined ? 'take' : fullResync,
    }
  }

  async #hidingName(): Promise<string | undefined> {
    return await this.#options.server.hidingName?.(this.#halt.signal)
  }

  /** The server did not give what was planned. */
  #replan(
    end: Extract<SessionEnd, { kind: 'filter-refused' | 'full-offered' }>,
    plan: HandshakePlan,
    wish: Start,
  ): Start {
    if (end.kind === 'filter-refused') {
      if (this.#options.allowFullResync !== false) return 'full'
      throw this.#fullResyncNeeded('it has no backlog and knows no empty snapshot (7.0)')
    }
    // From now on, but the backlog went between INFO and PSYNC: the cheap way is still open.
    if (wish === 'now') return 'empty'
    const point = plan.resume
    const where =
      point === undefined ? 'it says so' : `it cannot continue at ${point.nextReplOffset}`
    throw this.#fullResyncNeeded(end.why ?? where)
  }

  /** The consumer goes back to what the new master has; where it cannot, a full resync follows. */
  async #cutBack(
    point: ResumePoint,
    resume: ResumePoint | undefined,
    session: Session,
  ): Promise<Start> {
    const { replid, nextReplOffset: fromReplOffset } = point
    const toReplOffset = (resume?.nextReplOffset ?? fromReplOffset) - 1
    try {
      await this.#consumer.cutBack?.({ replid, fromReplOffset, toReplOffset })
    } catch (error) {
      session.consumerFault = error instanceof Error ? error : new Error(String(error))
      throw error
    }
    const next = this.#consumer.resumePoint()
    if (typeof next === 'object' && next.nextReplOffset <= fromReplOffset) return next
    if (this.#options.allowFullResync !== false) return 'full'
    throw this.#fullResyncNeeded(`a failover lost the stream from offset ${fromReplOffset} on`)
  }

  /** Where the next attempt begins: the consumer knows what it has. Before it has anything, where
   * the last one wanted to, but for a `now` that was asked for as an empty snapshot. */
  #resumeStart(last: Start): Start {
    return this.#consumer.resumePoint() ?? (last === 'empty' ? this.#options.start : last)
  }

  #openSession(plan: HandshakePlan): Session {
    const { server, purpose, onWire } = this.#options
    this.#place = this.status
    const session = new Session(
      {
        settings: server,
        plan,
        purpose,
        signal: this.#halt.signal,
        onState: (state) => this.#setState(state),
        onWire,
      },
      this.#consumer,
    )
    this.#session = session
    return session
  }

  /** Undefined where the server does not tell: too old, or INFO is not allowed. */
  async #replicationInfo(): Promise<ReplicationInfo | undefined> {
    const client = await ControlClient.open(this.#options.server, this.#halt.signal, 'reject')
    try {
      const info = await client.info('replication')
      // Before 4.0 the id of the history is that of the process.
      if (info.has('master_replid')) return parseReplicationInfo(info)
      return parseReplicationInfo(new Map([...info, ...(await client.info('server'))]))
    } catch (error) {
      const isSentinel = error instanceof ProtocolError && error.code === 'ERR_SENTINEL'
      if (!isSentinel && (error instanceof AuthError || error instanceof ProtocolError)) {
        return undefined
      }
      throw error
    } finally {
      client.close()
    }
  }

  #fullResyncNeeded(why: string): ProtocolError {
    return new ProtocolError(
      'ERR_FULL_RESYNC_NEEDED',
      `${this.#server} would have to make a full snapshot: ${why}`,
      { hint: 'allow it with `allowFullResync`', details: { server: this.#server } },
    )
  }

  async #pause(durationMs: number): Promise<void> {
    this.#setState('backoff')
    const { signal } = this.#halt
    if (signal.aborted) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        this.#wakeUp = undefined
        resolve()
      }
      const timer = setTimeout(done, durationMs)
      this.#wakeUp = done
      signal.addEventListener('abort', done, { once: true })
    })
  }

  #end(error: AbortedError): void {
    this.#halt.abort()
    this.#session?.abort(error)
  }

  #checkHalt(): void {
    if (this.#halt.signal.aborted) throw new AbortedError()
  }

  #setState(state: LinkState): void {
    if (state === this.#state) return
    this.#state = state
    this.#consumer.onState?.(state)
  }
}
