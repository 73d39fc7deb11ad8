/**
 * What has to happen to an archive, one after the other.
 *
 * Some operations change the file that the stream goes into (a cut, a split): they *hold* what
 * arrives, which then waits in the same queue behind them. All others (fsync, manifest, sidecar)
 * happen beside the stream.
 */
interface Operation {
  run: () => Promise<void> | void
  holds: boolean
  isArrival: boolean
  done: () => void
  result: Promise<void> | undefined
}

export class OperationQueue {
  readonly #onError: (error: unknown) => void
  readonly #waiting: Operation[] = []
  #isRunning = false
  #isStopped = false
  /** Operations, waiting or under way, that hold what arrives. */
  #holding = 0
  /** While something that had to wait has its turn: what it brings about comes right behind it,
   * here, in front of what arrived after it. */
  #cursor = -1
  #cursorHolds = false
  #idle: (() => void)[] = []
  #free: (() => void)[] = []

  /** @param onError an operation has failed; whoever hears it says whether to `stop` */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Resolves when it is done, or given up. */
  add(run: Operation['run'], holds = false): Promise<void> {
    return this.#add(run, holds, false)
  }

  /** Now, or in its turn where something holds it. */
  arrive(action: () => void): void {
    const mustWait = this.#cursor < 0 ? this.#holding > 0 : this.#cursorHolds
    if (mustWait) void this.#add(action, true, true)
    else action()
  }

  /** It waits, and nothing behind it. */
  isLast(result: Promise<void>): boolean {
    const last = this.#cursor < 0 ? this.#waiting.at(-1) : this.#waiting[this.#cursor - 1]
    return last?.result === result
  }

  get isHeld(): boolean {
    return this.#holding > 0
  }

  /** A promise while what arrives has to wait. */
  free(): Promise<void> | undefined {
    if (this.#holding === 0) return undefined
    return new Promise((resolve) => this.#free.push(resolve))
  }

  async idle(): Promise<void> {
    while (this.#isRunning) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** Nothing more is begun. */
  stop(): void {
    this.#isStopped = true
  }

  #add(run: Operation['run'], holds: boolean, isArrival: boolean): Promise<void> {
    if (holds) this.#holding += 1
    const operation: Operation = { run, holds, isArrival, done: () => undefined, result: undefined }
    operation.result = new Promise((resolve) => (operation.done = resolve))
    if (this.#cursor < 0) {
      this.#waiting.push(operation)
    } else {
      this.#waiting.splice(this.#cursor++, 0, operation)
      this.#cursorHolds ||= holds
    }
    if (!this.#isRunning) {
      this.#isRunning = true
      queueMicrotask(() => void this.#runAll())
    }
    return operation.result
  }

  async #runAll(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        if (this.#isStopped) continue
        if (next.isArrival) this.#runArrival(next)
        else await next.run()
      } catch (error) {
        this.#onError(error)
      } finally {
        if (next.holds) this.#holding -= 1
        if (this.#holding === 0) this.#free.splice(0).forEach(call)
        next.done()
      }
    }
    this.#isRunning = false
    this.#idle.splice(0).forEach(call)
  }

  #runArrival({ run }: Operation): void {
    this.#cursor = 0
    this.#cursorHolds = false
    try {
      void run()
    } finally {
      this.#cursor = -1
    }
  }
}

function call(resolve: () => void): void {
  resolve()
}
