/** Tells of commands that cannot be kept: the first of a name at once, then once a second. */
import type { ArchiveWriterOptions } from './options.js'

const INTERVAL_MS = 1000

export class DroppedCommands {
  count = 0
  readonly #options: ArchiveWriterOptions
  /** Left out and not told yet, by name. */
  readonly #untold = new Map<string, { count: number; toldMs: number }>()

  constructor(options: ArchiveWriterOptions) {
    this.#options = options
  }

  note(command: string, replOffset: number): void {
    const { onEvent, now = Date.now } = this.#options
    const untold = this.#untold.get(command) ?? { count: 0, toldMs: -Infinity }
    this.#untold.set(command, untold)
    this.count += 1
    untold.count += 1
    const nowMs = now()
    if (nowMs - untold.toldMs < INTERVAL_MS) return
    onEvent?.({ event: 'dropped', command, count: untold.count, replOffset })
    untold.count = 0
    untold.toldMs = nowMs
  }
}
