/**
 * Who may work when, where many clients ask at once: each gets a short slice, all of them together
 * a few milliseconds in a turn of the event loop. What is left waits for the next turn, behind
 * the sockets of the replicas, the link to upstream, timers and signals.
 */

/** All clients together, in one turn of the event loop. */
const TURN_MS = 4
/** One client, before the next has its slice. */
const SLICE_MS = 1

export interface TurnTaker {
  /** Does one piece of work; true where more could be done at once. */
  takeTurn(): boolean
}

export class FairTurns {
  /** In the order in which they came; `#head` is the first that still waits. */
  #queue: TurnTaker[] = []
  #head = 0
  #spentMs = 0
  #isScheduled = false

  /** Lets it work: now, where this turn of the event loop has time left and nobody waits.
   * Not to be called for one that waits already. */
  offer(taker: TurnTaker): void {
    if (this.#head === this.#queue.length && this.#spentMs < TURN_MS) this.#slice(taker)
    else this.#queue.push(taker)
    this.#schedule()
  }

  #slice(taker: TurnTaker): void {
    const startMs = performance.now()
    let nowMs = startMs
    let hasMore = true
    while (hasMore && nowMs - startMs < SLICE_MS) {
      hasMore = taker.takeTurn()
      nowMs = performance.now()
    }
    this.#spentMs += nowMs - startMs
    if (hasMore) this.#queue.push(taker)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  #turn(): void {
    this.#spentMs = 0
    while (this.#head < this.#queue.length && this.#spentMs < TURN_MS) {
      const taker = this.#queue[this.#head]!
      this.#head += 1
      this.#slice(taker)
    }
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
    if (this.#queue.length > 0) this.#schedule()
  }
}
