/** When keys were last used, or how often: of dumps of servers that evict, which keep one of both. */

export interface AccessRow {
  readonly name: string
  readonly keys: number
  readonly memory: number
}

const DAY_SECONDS = 86_400

const IDLE_CLASSES = [
  { name: '<1h', below: 3600 },
  { name: '<1d', below: DAY_SECONDS },
  { name: '<7d', below: 7 * DAY_SECONDS },
  { name: '<30d', below: 30 * DAY_SECONDS },
  { name: '<90d', below: 90 * DAY_SECONDS },
  { name: '>=90d', below: Number.POSITIVE_INFINITY },
] as const

/** The counter is logarithmic: new keys begin with 5, 255 is the most. */
const FREQUENCY_CLASSES = [
  { name: '0', below: 1 },
  { name: '1-5', below: 6 },
  { name: '6-10', below: 11 },
  { name: '11-50', below: 51 },
  { name: '51-100', below: 101 },
  { name: '101-255', below: Number.POSITIVE_INFINITY },
] as const

type Classes = readonly { readonly name: string; readonly below: number }[]

class ClassSums {
  readonly #classes: Classes
  readonly #keys: Float64Array
  readonly #memory: Float64Array
  #hasKeys = false

  constructor(classes: Classes) {
    this.#classes = classes
    this.#keys = new Float64Array(classes.length)
    this.#memory = new Float64Array(classes.length)
  }

  add(figure: number, memory: number): void {
    let at = 0
    while (figure >= this.#classes[at]!.below) at += 1
    this.#keys[at]! += 1
    this.#memory[at]! += memory
    this.#hasKeys = true
  }

  /** Undefined where there was no key. */
  rows(): AccessRow[] | undefined {
    if (!this.#hasKeys) return undefined
    return this.#classes.map(({ name }, at) => ({
      name,
      keys: this.#keys[at]!,
      memory: this.#memory[at]!,
    }))
  }
}

export class AccessSpread {
  readonly #idle = new ClassSums(IDLE_CLASSES)
  readonly #frequency = new ClassSums(FREQUENCY_CLASSES)

  /** -1: the file has none. */
  add(idleSeconds: number, freq: number, memory: number): void {
    if (idleSeconds >= 0) this.#idle.add(idleSeconds, memory)
    if (freq >= 0) this.#frequency.add(freq, memory)
  }

  idle(): AccessRow[] | undefined {
    return this.#idle.rows()
  }

  frequency(): AccessRow[] | undefined {
    return this.#frequency.rows()
  }
}
