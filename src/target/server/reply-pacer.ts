/**
 * How long to leave replies unread. A server answers a few commands at a time, and a wake-up costs
 * as much for three replies as for a thousand. What is sent ahead keeps the server busy meanwhile:
 * a rest lasts as long as it needs for a part of that, at the rate of its answers so far.
 */

/** A rest may last as long as the server needs for this share of what is sent ahead. */
const SHARE = 0.4
const MAX_REST_MS = 30
/** The rate is measured over so many times as much. */
const WINDOW = 2

export class ReplyPacer {
  /** Between two looks at replies; 0: they are read as they come. */
  intervalMs = 0
  readonly #aheadBytes: number
  #windowBytes = 0
  #windowStartMs = -1
  #stopped = false

  /** @param aheadBytes in flight while replies are left unread, surely */
  constructor(aheadBytes: number) {
    this.#aheadBytes = aheadBytes
  }

  /** Commands of so many bytes were answered at this time (ms, monotonic). */
  answered(byteCount: number, nowMs: number): void {
    if (this.#windowStartMs < 0) this.#windowStartMs = nowMs
    else this.#windowBytes += byteCount
    const elapsedMs = nowMs - this.#windowStartMs
    if (this.#windowBytes < WINDOW * this.#aheadBytes || elapsedMs <= 0 || this.#stopped) return
    const bytesPerMs = this.#windowBytes / elapsedMs
    this.intervalMs = Math.min(MAX_REST_MS, Math.floor((SHARE * this.#aheadBytes) / bytesPerMs))
    this.#windowBytes = 0
    this.#windowStartMs = nowMs
  }

  /** How long to rest from now on. All connections look at the same times: one wake-up does. */
  restMs(nowMs: number): number {
    const { intervalMs } = this
    if (intervalMs === 0) return 0
    const rest = Math.ceil(intervalMs - (nowMs % intervalMs))
    return rest < intervalMs / 2 ? rest + intervalMs : rest
  }

  stop(): void {
    this.#stopped = true
    this.intervalMs = 0
  }
}
