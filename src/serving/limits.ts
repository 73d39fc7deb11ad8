/**
 * When a replica is too slow: client-output-buffer-limit, measured on what it still has to get.
 *
 * Beyond the hard limit it is cut off at once. Beyond the soft limit it is cut off after the time,
 * but the clock starts again whenever it comes closer: a replica that catches up after a long
 * snapshot is not the one the limit is for.
 */
export interface ReplicaLimits {
  hardBytes: number
  softBytes: number
  softMs: number
}

/** The defaults of all server versions: `replica 256mb 64mb 60`. */
export const DEFAULT_REPLICA_LIMITS: ReplicaLimits = {
  hardBytes: 256 << 20,
  softBytes: 64 << 20,
  softMs: 60_000,
}

export class LagGuard {
  readonly #limits: ReplicaLimits
  #sinceMs = -1
  #lowestLagBytes = 0

  /** As servers from 7.0 on do, a hard limit below the backlog's size counts as that size: what
   * the backlog holds anyway costs nothing. */
  constructor(limits: ReplicaLimits, backlogSizeBytes: number) {
    this.#limits = { ...limits, hardBytes: Math.max(limits.hardBytes, backlogSizeBytes) }
  }

  isBeyondHard(lagBytes: number): boolean {
    return lagBytes > this.#limits.hardBytes
  }

  /** Asked each second. */
  isBeyond(lagBytes: number, nowMs: number): boolean {
    if (this.isBeyondHard(lagBytes)) return true
    if (lagBytes <= this.#limits.softBytes) {
      this.#sinceMs = -1
      return false
    }
    if (this.#sinceMs < 0 || lagBytes < this.#lowestLagBytes) {
      this.#sinceMs = nowMs
      this.#lowestLagBytes = lagBytes
    }
    return nowMs - this.#sinceMs >= this.#limits.softMs
  }
}
