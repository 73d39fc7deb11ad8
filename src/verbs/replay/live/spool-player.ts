/**
 * Plays the stream that is in a spool into the target: decodes, applies, and goes by the end that
 * was asked for. What it waits for is more of the stream, answers of the target, and a tick.
 */
import { Buffer } from 'node:buffer'
import { LinkError, ProtocolError } from '../../../errors.js'
import { sleep } from '../../../net/waiting.js'
import { CommandDecoder, RESP } from '../../../resp/decoder.js'
import type { EndWatch } from './end-watch.js'
import type { ReplaySession } from '../session.js'
import type { SpoolFeed } from './spool-feed.js'
import type { StreamSpool } from './stream-spool.js'

const READ_BYTES = 256 << 10
/** A target that crashes may come back as it was in the load: its snapshot is kept so long. */
const KEEP_SNAPSHOT_MS = 60_000
/** How often an idle run looks around. */
const TICK_MS = 50
const IDLE_CHECKPOINT_MS = 1000

export interface SpoolPlayerOptions {
  session: ReplaySession
  spool: StreamSpool
  feed: SpoolFeed
  endWatch: EndWatch | undefined
  /** What is received later is not applied; and the offset behind which nothing is. */
  untilMs: number
  untilReplOffset: number
}

export class SpoolPlayer {
  readonly #session: ReplaySession
  readonly #spool: StreamSpool
  readonly #feed: SpoolFeed
  readonly #endWatch: EndWatch | undefined
  readonly #untilMs: number
  readonly #untilReplOffset: number
  /** Next stream byte to be read from the spool. */
  #readReplOffset = -1
  #decodedReplOffset = -1
  /** Stream offset at which the decoder's count began. */
  #origin = 0
  readonly #decoder = new CommandDecoder({ oldMasters: true })
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  #snapshotUntilMs = 0
  #isEnding = false

  constructor(options: SpoolPlayerOptions) {
    this.#session = options.session
    this.#spool = options.spool
    this.#feed = options.feed
    this.#endWatch = options.endWatch
    this.#untilMs = options.untilMs
    this.#untilReplOffset = options.untilReplOffset
  }

  /** The snapshot is in the target: it may go in a while. */
  keepSnapshot(): void {
    this.#snapshotUntilMs = performance.now() + KEEP_SNAPSHOT_MS
  }

  /** Goes on from there, with this db selected. */
  startAt(replOffset: number, db: number): void {
    this.#readReplOffset = replOffset
    this.#decodedReplOffset = replOffset
    this.#decoder.reset()
    this.#origin = replOffset - this.#decoder.consumedBytes
    this.#session.applier!.startAt(replOffset, db)
    this.#session.rules!.receivedMs = () => this.#spool.receivedMs(this.#decodedReplOffset)
  }

  /** Until the end that was asked for; true: stopped by the user. */
  async follow(): Promise<boolean> {
    const stopped = await this.#follow()
    this.#isEnding = true
    return stopped
  }

  async #follow(): Promise<boolean> {
    const session = this.#session
    const writer = session.streamWriter!
    const spool = this.#spool
    const { signal } = session.options
    let lastSealMs = performance.now()
    let caughtUp = false
    let isQuiet = true
    for (;;) {
      if (signal?.aborted === true) return true
      // A failover at the source gives its history another name.
      if (writer.checkpoint !== undefined) writer.checkpoint.replid = spool.state.replid
      this.#tidySpool()
      const count = spool.read(this.#readReplOffset, this.#buffer)
      if (count > 0) {
        const reached = this.#apply(count)
        if (writer.current.frameCount > 0 || session.applier!.inTransaction) {
          isQuiet = false
        }
        if (reached) return false
        if (writer.isFull || session.isDry) session.applier!.seal()
        await writer.drain()
        await this.#pace(count)
        session.progress({ phase: 'stream', done: 0, total: undefined, unit: 'bytes', ...this.lag })
        if (this.#isOver(isQuiet, false)) return false
        isQuiet = true
        continue
      }
      // Everything received is in the batch: send it as soon as the one before is answered.
      const waiting = writer.current.frameCount > 0
      const idleMs = performance.now() - lastSealMs
      if (writer.isIdle && (waiting || idleMs > IDLE_CHECKPOINT_MS)) {
        session.applier!.seal()
        lastSealMs = performance.now()
      }
      if (writer.isIdle && !waiting) {
        if (!caughtUp && this.#feed.isStreaming) {
          caughtUp = true
          session.event({ event: 'caught-up', replOffset: this.#decodedReplOffset - 1 })
        }
        if (spool.isEnded) {
          if (this.#isEnding) return false
          throw spool.fault ?? new LinkError('ERR_LINK_LOST', 'the link to the source has ended')
        }
        if (Date.now() > this.#untilMs) return false
        if (this.#isOver(isQuiet, true)) return false
      } else if (this.#isOver(false, false)) return false
      isQuiet = true
      await writer.drain()
      session.progress({ phase: 'stream', done: 0, total: undefined, unit: 'bytes', ...this.lag })
      await Promise.race([spool.more(), writer.progress(), tick()])
    }
  }

  /** Decodes and applies so many bytes of the buffer. True: the offset asked for is reached. */
  #apply(count: number): boolean {
    const { applier } = this.#session
    const decoder = this.#decoder
    const limit = this.#untilReplOffset
    decoder.feed(this.#buffer, 0, count)
    this.#readReplOffset += count
    for (;;) {
      const status = decoder.next()
      if (status === RESP.MORE) return false
      if (status === RESP.BAD) {
        throw new ProtocolError(
          'ERR_SOURCE_STREAM',
          `the stream holds bytes that are no command at offset ${this.#decodedReplOffset}: ` +
            decoder.problem,
        )
      }
      const next = this.#origin + decoder.consumedBytes
      if (status === RESP.COMMAND) {
        if (next - 1 > limit || this.#isLate()) return true
        applier!.apply(decoder, next)
      }
      this.#decodedReplOffset = next
      if (next - 1 >= limit) return true
    }
  }

  /** The command at hand was received after `--until`. */
  #isLate(): boolean {
    return (
      this.#untilMs !== Infinity && this.#spool.receivedMs(this.#decodedReplOffset) > this.#untilMs
    )
  }

  async #pace(count: number): Promise<void> {
    const { rate, options } = this.#session
    rate?.spend(count)
    const delayMs = rate?.delayMs ?? 0
    // A stop by the user is a good end.
    if (delayMs > 0) await sleep(delayMs, options.signal).catch(() => undefined)
  }

  /** The end that was asked for: see EndWatch. `isIdle`: all that was received is in the target. */
  #isOver(isQuiet: boolean, isIdle: boolean): boolean {
    const watch = this.#endWatch
    if (watch === undefined) return false
    if (!this.#feed.isStreaming) {
      watch.restart()
      return false
    }
    const next = isIdle ? this.#decodedReplOffset : this.#session.streamWriter!.appliedReplOffset
    return watch.look({
      nowMs: performance.now(),
      lagMs: isIdle ? 0 : this.lag.lagMs,
      isQuiet: isQuiet && this.#readReplOffset >= this.#spool.nextReplOffset,
      appliedReplOffset: next - 1,
    })
  }

  /** What is old enough is let go of: the snapshot, for which a target may still ask that is thrown
   * back to the load, and the stream behind it. */
  #tidySpool(): void {
    if (this.#snapshotUntilMs > 0) {
      if (performance.now() < this.#snapshotUntilMs) return
      this.#snapshotUntilMs = 0
      this.#spool.dropSnapshot()
    }
    this.#spool.release(this.#session.streamWriter!.appliedReplOffset)
  }
  /** How far the target is behind what was received. */
  get lag(): { lagBytes: number; lagMs: number } {
    const applied = this.#session.streamWriter?.appliedReplOffset ?? -1
    const received = this.#spool.nextReplOffset
    if (applied < 0 || received <= applied) return { lagBytes: 0, lagMs: 0 }
    const receivedMs = this.#spool.receivedMs(applied)
    return {
      lagBytes: received - applied,
      lagMs: receivedMs < 0 ? 0 : Math.max(0, Date.now() - receivedMs),
    }
  }
}

export async function tick(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, TICK_MS))
}
