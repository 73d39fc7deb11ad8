/**
 * When a live replay is over by itself.
 *
 *   synced   the lag has been under a second for a second, and then what the source had at one
 *            moment was in the target within a second: on a busy source too
 *   quiet    no write for a second, and the source itself says that it has nothing more: for a
 *            cut-over
 *
 * It looks on while the replay works, and never holds it up: the source is asked beside it.
 */

/** So long the lag must have been small, or no write have come; and the most that counts as small. */
const CALM_MS = 1000

export interface EndLook {
  nowMs: number
  /** Age of the oldest byte that the target has not got. */
  lagMs: number
  /** Nothing but keepalives since the look before. */
  isQuiet: boolean
  /** Last stream byte in the target. */
  appliedReplOffset: number
}

export interface EndWatchOptions {
  until: 'synced' | 'quiet'
  /** Last stream byte of the source now; undefined where it may not be asked. */
  askSource: () => Promise<number | undefined>
}

export class EndWatch {
  /** False where the source could not be asked, and must be believed. */
  isKnown = true
  readonly #options: EndWatchOptions
  #calmSinceMs = -1
  /** What the source said, and when it was asked. */
  #answer: { replOffset: number | undefined; askedMs: number } | undefined
  /** Number of the question under way; 0: none. One asked before a restart is not waited for. */
  #asking = 0
  #questions = 0

  constructor(options: EndWatchOptions) {
    this.#options = options
  }

  /** The link is down, or the target: nothing is known. */
  restart(): void {
    this.#calmSinceMs = -1
    this.#answer = undefined
    this.#asking = 0
  }

  /** True: it is over. */
  look({ nowMs, lagMs, isQuiet, appliedReplOffset }: EndLook): boolean {
    const isCalm = this.#options.until === 'quiet' ? isQuiet : lagMs < CALM_MS
    if (!isCalm) {
      this.restart()
      return false
    }
    if (this.#calmSinceMs < 0) this.#calmSinceMs = nowMs
    if (nowMs - this.#calmSinceMs < CALM_MS || this.#asking > 0) return false
    const answer = this.#answer
    if (answer === undefined) {
      this.#ask(nowMs)
      return false
    }
    if (answer.replOffset === undefined) {
      this.isKnown = false
      return true
    }
    if (appliedReplOffset >= answer.replOffset) return true
    // What it had then is not here yet: the link itself is behind.
    if (nowMs - answer.askedMs > CALM_MS) this.restart()
    return false
  }

  #ask(askedMs: number): void {
    const question = (this.#questions += 1)
    this.#asking = question
    this.#options.askSource().then(
      (replOffset) => {
        if (this.#asking !== question) return
        this.#asking = 0
        this.#answer = { replOffset, askedMs }
      },
      () => {
        // It is away: the link will say so too.
        if (this.#asking === question) this.restart()
      },
    )
  }
}
