/** Times to live by class, and hour by hour for the day that follows. */
import { TtlHistogram, type TtlRow } from '../totals.js'

const HOURS = 24
const HOUR_MS = 3_600_000

export interface HourRow {
  /** Hours from the report's moment on: 0 is the first one. */
  readonly hour: number
  readonly keys: number
  readonly memory: number
}

export class ExpirySpread {
  readonly #classes: TtlHistogram
  readonly #asOfMs: number
  readonly #hourKeys = new Float64Array(HOURS)
  readonly #hourMemory = new Float64Array(HOURS)

  constructor(asOfMs: number) {
    this.#asOfMs = asOfMs
    this.#classes = new TtlHistogram(asOfMs)
  }

  /** Returns true where the key expires within a day. */
  add(hasExpiry: boolean, expireAtMs: number, memory: number): boolean {
    this.#classes.add(hasExpiry, expireAtMs, memory)
    const leftMs = expireAtMs - this.#asOfMs
    if (!hasExpiry || leftMs <= 0 || leftMs > HOURS * HOUR_MS) return false
    const hour = Math.min(HOURS - 1, Math.floor(leftMs / HOUR_MS))
    this.#hourKeys[hour]! += 1
    this.#hourMemory[hour]! += memory
    return true
  }

  rows(): TtlRow[] {
    return this.#classes.rows()
  }

  hours(): HourRow[] {
    return Array.from({ length: HOURS }, (_, hour) => ({
      hour,
      keys: this.#hourKeys[hour]!,
      memory: this.#hourMemory[hour]!,
    }))
  }
}
