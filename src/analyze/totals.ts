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

/** Rows of sums as columns of numbers: counting a key allocates nothing. */
export class Sums {
  /** For comparison before anything is made; -1: no key yet. */
  largestMemory = new Float64Array(32).fill(-1)
  #keys = new Float64Array(32)
  #elements = new Float64Array(32)
  #memory = new Float64Array(32)
  readonly #largest: (KeyFacts | undefined)[] = []

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

  setLargest(row: number, memory: number, facts: KeyFacts): void {
    this.largestMemory[row] = memory
    this.#largest[row] = facts
  }

  row(row: number): TypeRow {
    return {
      keys: this.#keys[row] ?? 0,
      elements: this.#elements[row] ?? 0,
      memory: this.#memory[row] ?? 0,
      largest: this.#largest[row],
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
