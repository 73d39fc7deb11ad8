/**
 * `--rate`: so many bytes a second on average, in bursts of at most a fifth of a second. Who sends
 * counts bytes with `spend` and waits `delayMs` before going on.
 */
const BURST_MS = 200

export class RateLimiter {
  readonly bytesPerSecond: number
  #paidUntilMs = performance.now()

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond
  }

  spend(byteCount: number): void {
    const nowMs = performance.now()
    // Time that was not used is not saved up.
    const fromMs = Math.max(this.#paidUntilMs, nowMs)
    this.#paidUntilMs = fromMs + (byteCount / this.bytesPerSecond) * 1000
  }

  /** How long to wait before more may be sent; 0: go on. */
  get delayMs(): number {
    const aheadMs = this.#paidUntilMs - performance.now()
    return aheadMs > BURST_MS ? aheadMs - BURST_MS / 2 : 0
  }
}
