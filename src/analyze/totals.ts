/**
 * Sums over keys by kind of value, encoding, database and time to live. Rows are found by small
 * numbers, so counting a key is a few additions; names come in at the end.
 */
import type { KeyFacts } from './top-keys.js'

export interface Row {
  keys: number
  /** Elements of collections; strings count one each. */
  elements: number
  memory: number
}

export interface TypeRow extends Row {
  largest: KeyFacts | undefined
}

export interface DatabaseRow {
  keys: number
  expires: number
  memory: number
}

/** Upper bounds of the classes by time left, in ms; the first is for what is past. */
export const TTL_BOUNDS = [
  { name: 'expired', untilMs: 0 },
  { name: '<1h', untilMs: 3_600_000 },
  { name: '<1d', untilMs: 86_400_000 },
  { name: '<7d', untilMs: 604_800_000 },
  { name: '<30d', untilMs: 2_592_000_000 },
  { name: '>=30d', untilMs: Number.POSITIVE_INFINITY },
] as const

export interface TtlRow {
  name: string
  keys: number
  memory: number
}

/** What `Sums` hold, for others to go on from. */
export interface SumsState {
  /** By row; without keys it is not there. */
  readonly rows: readonly (Row & { readonly row: number })[]
  readonly largest: readonly LargestKey[]
}

interface LargestKey {
  readonly row: number
  readonly facts: KeyFacts
  /** Of equal ones the lowest counts. */
  readonly order: number
}

/** Rows of sums as columns of numbers: counting a key allocates nothing. */
export class Sums {
  /** For comparison before anything is made; -1: no key yet. */
  largestMemory = new Float64Array(32).fill(-1)
  #keys = new Float64Array(32)
  #elements = new Float64Array(32)
  #memory = new Float64Array(32)
  readonly #largest: (LargestKey | undefined)[] = []

  add(row: number, elements: number, memory: number): void {
    this.addMany(row, 1, elements, memory)
  }

  /** Of so many keys together. */
  addMany(row: number, keys: number, elements: number, memory: number): void {
    if (row >= this.#keys.length) this.#grow(row)
    this.#keys[row]! += keys
    this.#elements[row]! += elements
    this.#memory[row]! += memory
  }

  setLargest(row: number, memory: number, facts: KeyFacts, order: number): void {
    this.largestMemory[row] = memory
    this.#largest[row] = { row, facts, order }
  }

  state(): SumsState {
    const rows = Array.from(this.#keys.keys(), (row) => {
      const { keys, elements, memory } = this.row(row)
      return { row, keys, elements, memory }
    })
    return {
      rows: rows.filter(({ keys }) => keys > 0),
      largest: this.#largest.filter((each) => each !== undefined),
    }
  }

  /** @param rowOf where a row of the others stands here */
  addState({ rows, largest }: SumsState, rowOf = (row: number): number => row): void {
    for (const { row, keys, elements, memory } of rows) {
      this.addMany(rowOf(row), keys, elements, memory)
    }
    for (const { row, facts, order } of largest) {
      const at = rowOf(row)
      const own = this.#largest[at]
      const { memory } = facts
      const isLarger = memory > this.largestMemory[at]!
      const isFirst = memory === this.largestMemory[at] && order < (own?.order ?? 0)
      if (isLarger || isFirst) this.setLargest(at, memory, facts, order)
    }
  }

  row(row: number): TypeRow {
    return {
      keys: this.#keys[row] ?? 0,
      elements: this.#elements[row] ?? 0,
      memory: this.#memory[row] ?? 0,
      largest: this.#largest[row]?.facts,
    }
  }

  #grow(row: number): void {
    const wider = (old: Float64Array, fill: number): Float64Array<ArrayBuffer> => {
      const made = new Float64Array(row * 2).fill(fill)
      made.set(old)
      return made
    }
    this.largestMemory = wider(this.largestMemory, -1)
    this.#keys = wider(this.#keys, 0)
    this.#elements = wider(this.#elements, 0)
    this.#memory = wider(this.#memory, 0)
  }
}

export interface TtlState {
  readonly keys: readonly number[]
  readonly memory: readonly number[]
}

export class TtlHistogram {
  /** Of each class the last moment, unix ms. */
  readonly #untilMs: Float64Array
  readonly #keys = new Float64Array(TTL_BOUNDS.length + 1)
  readonly #memory = new Float64Array(TTL_BOUNDS.length + 1)

  /** @param nowMs the moment that "expired" and "left" refer to */
  constructor(nowMs: number) {
    this.#untilMs = Float64Array.from(TTL_BOUNDS, ({ untilMs }) => nowMs + untilMs)
  }

  /** The number of a key's class; the last one is for keys without an expiry. */
  classOf(hasExpiry: boolean, expireAtMs: number): number {
    const untilMs = this.#untilMs
    if (!hasExpiry) return untilMs.length
    let at = 0
    while (expireAtMs > untilMs[at]!) at += 1
    return at
  }

  add(hasExpiry: boolean, expireAtMs: number, memory: number): void {
    const at = this.classOf(hasExpiry, expireAtMs)
    this.#keys[at]! += 1
    this.#memory[at]! += memory
  }

  /** Keys without an expiry, together. */
  addLasting(keys: number, memory: number): void {
    this.#keys[TTL_BOUNDS.length]! += keys
    this.#memory[TTL_BOUNDS.length]! += memory
  }

  state(): TtlState {
    return { keys: [...this.#keys], memory: [...this.#memory] }
  }

  addState({ keys, memory }: TtlState): void {
    for (const at of this.#keys.keys()) {
      this.#keys[at]! += keys[at]!
      this.#memory[at]! += memory[at]!
    }
  }

  /** All classes, those without an expiry (`none`) last. */
  rows(): TtlRow[] {
    const names = [...TTL_BOUNDS.map((bound) => bound.name), 'none']
    return names.map((name, at) => ({
      name,
      keys: this.#keys[at]!,
      memory: Math.round(this.#memory[at]!),
    }))
  }
}
