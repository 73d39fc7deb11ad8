/**
 * When to read from a sender that is slower than the line, as a master is that saves while it
 * sends. Its bytes come 20 KB at a time, and a wake-up costs as much for 20 KB as for a megabyte:
 * so after a small read the reader rests for some milliseconds, while the system's buffers fill.
 *
 * A rest must not cost the sender time. So it begins only when the line has shown its rate (by then
 * its window has opened), is no longer than buffers surely last, and is given up where the rate
 * drops and comes back without it.
 */

/** A read of less is a small one: what is larger is read on without a rest. */
const SMALL_READ_BYTES = 1 << 16
/** The rate is measured over so many bytes. */
const WINDOW_BYTES = 1 << 25
/** At most so many bytes come during a rest. Senders' and receivers' buffers grow to 4 MB each. */
const REST_BYTES = 1 << 20
const MAX_REST_MS = 24
/** Below this share of the rate before, the rest is under suspicion, */
const SUSPICIOUS = 0.65
/** and if by so much more comes without it, it was the cause. */
const GUILTY = 1.25

const PHASE = { MEASURE: 0, REST: 1, DOUBT: 2 } as const
type Phase = (typeof PHASE)[keyof typeof PHASE]

export class ReadPacer {
  /** How long a small read is followed by a rest at present; 0: it is not. */
  restMs = 0
  #phase: Phase = PHASE.MEASURE
  #windowBytes = 0
  #windowStartMs = -1
  /** Bytes per ms: without rests, and when doubt came up. */
  #freeRate = 0
  #doubtedRate = 0
  /** How much of REST_BYTES may be used: less once rests were too long, then none. */
  #share = 1

  /** A read of so many bytes at this time (ms, monotonic): how long to rest before the next. */
  read(byteCount: number, nowMs: number): number {
    if (this.#windowStartMs < 0) this.#windowStartMs = nowMs
    this.#windowBytes += byteCount
    const elapsedMs = nowMs - this.#windowStartMs
    const isLate =
      this.#phase === PHASE.REST && elapsedMs * this.#freeRate * SUSPICIOUS > WINDOW_BYTES
    if ((this.#windowBytes >= WINDOW_BYTES || isLate) && elapsedMs > 0) {
      this.#judge(this.#windowBytes / elapsedMs)
      this.#windowBytes = 0
      this.#windowStartMs = nowMs
    }
    return byteCount < SMALL_READ_BYTES ? this.restMs : 0
  }

  #judge(rate: number): void {
    switch (this.#phase) {
      case PHASE.REST:
        if (rate >= this.#freeRate * SUSPICIOUS) return
        this.#doubtedRate = rate
        this.#phase = PHASE.DOUBT
        this.restMs = 0
        return
      case PHASE.DOUBT:
        if (rate > this.#doubtedRate * GUILTY) this.#share = this.#share === 1 ? 0.25 : 0
        break
      case PHASE.MEASURE:
    }
    this.#freeRate = rate
    this.#phase = PHASE.REST
    this.restMs = Math.min(MAX_REST_MS, Math.floor((REST_BYTES * this.#share) / rate))
  }
}
