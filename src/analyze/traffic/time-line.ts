/**
 * Commands and bytes over time, in at most BINS bins: of a second each at first, and of twice as long
 * whenever the time that passed does not fit. So an hour and a year take the same room.
 */

const BINS = 1440
const SECOND_MS = 1000

export interface TimeBin {
  /** Unix ms of its beginning. */
  readonly fromMs: number
  readonly commands: number
  readonly bytes: number
}

export class TimeLine {
  readonly #commands = new Float64Array(BINS)
  readonly #bytes = new Float64Array(BINS)
  #firstMs = -1
  #widthMs = SECOND_MS
  #last = 0

  /** A time before the first one counts for that: clocks go back. */
  add(unixMs: number, bytes: number): void {
    if (this.#firstMs < 0) this.#firstMs = Math.floor(unixMs / SECOND_MS) * SECOND_MS
    let bin = Math.max(0, Math.floor((unixMs - this.#firstMs) / this.#widthMs))
    while (bin >= BINS) {
      this.#fold()
      bin = Math.floor((unixMs - this.#firstMs) / this.#widthMs)
    }
    this.#commands[bin]! += 1
    this.#bytes[bin]! += bytes
    if (bin > this.#last) this.#last = bin
  }

  /** At most `most` bins, from the first time to the last, each as long as all others. */
  bins(most: number): { widthMs: number; bins: TimeBin[] } {
    if (this.#firstMs < 0) return { widthMs: this.#widthMs, bins: [] }
    const count = this.#last + 1
    const each = Math.ceil(count / most)
    const bins: TimeBin[] = []
    for (let from = 0; from < count; from += each) {
      let commands = 0
      let bytes = 0
      for (let bin = from; bin < Math.min(count, from + each); bin += 1) {
        commands += this.#commands[bin]!
        bytes += this.#bytes[bin]!
      }
      bins.push({ fromMs: this.#firstMs + from * this.#widthMs, commands, bytes })
    }
    return { widthMs: this.#widthMs * each, bins }
  }

  #fold(): void {
    for (let bin = 0; bin < BINS; bin += 1) {
      const from = bin * 2
      const [a, b] = from < BINS ? [from, from + 1] : [-1, -1]
      this.#commands[bin] = a < 0 ? 0 : this.#commands[a]! + this.#commands[b]!
      this.#bytes[bin] = a < 0 ? 0 : this.#bytes[a]! + this.#bytes[b]!
    }
    this.#widthMs *= 2
    this.#last >>= 1
  }
}
