/**
 * The most frequent names of a stream, in bounded memory (after Metwally's space-saving).
 *
 * Twice as many names as are promised are held; when they are full the rarer half goes, and the count of the
 * most frequent one of these is what a name that comes anew may have had before: its count is too high by that
 * at most. While nothing had to go all counts are exact.
 */
export interface HeavyHitter {
  readonly name: string
  /** At most; at least `commands - error`. */
  readonly commands: number
  readonly error: number
  /** Since it is held. */
  readonly bytes: number
}

interface Held {
  commands: number
  error: number
  bytes: number
}

export class HeavyHitters {
  readonly #promised: number
  readonly #held = new Map<string, Held>()
  /** What a name that is not held had at most. */
  #floor = 0

  /** @param promised so many names that make up more than one in as many are surely among the result */
  constructor(promised: number) {
    this.#promised = promised
  }

  /** False once something had to go: counts are bounds then. */
  get isExact(): boolean {
    return this.#floor === 0
  }

  add(name: string, bytes: number): void {
    const known = this.#held.get(name)
    if (known !== undefined) {
      known.commands += 1
      known.bytes += bytes
      return
    }
    if (this.#held.size >= 2 * this.#promised) this.#thin()
    this.#held.set(name, { commands: this.#floor + 1, error: this.#floor, bytes })
  }

  /** Most first, and all is forgotten. */
  take(): HeavyHitter[] {
    const found = [...this.#held].map(([name, each]) => ({ name, ...each }))
    this.#held.clear()
    this.#floor = 0
    return found.sort((a, b) => b.commands - a.commands || (a.name < b.name ? -1 : 1))
  }

  #thin(): void {
    const counts = Float64Array.from(this.#held.values(), ({ commands }) => commands).sort()
    const border = counts[counts.length - this.#promised - 1]!
    for (const [name, { commands }] of this.#held) if (commands <= border) this.#held.delete(name)
    this.#floor = Math.max(this.#floor, border)
  }
}
