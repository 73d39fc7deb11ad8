/**
 * What became of the keys between two sides, added up: all together, by prefix, database, type and
 * time to live. A row adds up: what there is now is what there was, and what came, less what went, and
 * what grew, less what shrank.
 */
import { TTL_BOUNDS } from '../totals.js'
import { dbOf, isExpiredIn, ttlOf, typeOf } from './record.js'

/** Keys, and their memory in bytes. */
export interface KeySum {
  readonly keys: number
  readonly memory: number
}

export interface GrowthRow {
  readonly before: KeySum
  readonly now: KeySum
  /** On the newer side only. */
  readonly created: KeySum
  /** On the older side only. */
  readonly gone: KeySum
  /** Of those gone: their time had passed by the moment of the newer side. */
  readonly expired: KeySum
  /** On both sides; `memory` is by how much, in bytes. */
  readonly grown: KeySum
  readonly shrunk: KeySum
}

const BEFORE = 0
const NOW = 2
const CREATED = 4
const GONE = 6
const EXPIRED = 8
const GROWN = 10
const SHRUNK = 12
const WIDTH = 14

/** Of the first 16 databases. */
const COMMON_CLASSES = 1 << 16

/** Rows of sums as columns of numbers. */
class Rows {
  values = new Float64Array(WIDTH * 16)

  /** Where the row begins. */
  at(row: number): number {
    const at = row * WIDTH
    if (at >= this.values.length) {
      const wider = new Float64Array(Math.max(at + WIDTH, this.values.length * 2))
      wider.set(this.values)
      this.values = wider
    }
    return at
  }

  add(row: number, column: number, memory: number, keys = 1): void {
    const at = this.at(row) + column
    this.values[at]! += keys
    this.values[at + 1]! += memory
  }

  row(row: number): GrowthRow {
    const at = this.at(row)
    const sum = (column: number): KeySum => ({
      keys: this.values[at + column]!,
      memory: this.values[at + column + 1]!,
    })
    return {
      before: sum(BEFORE),
      now: sum(NOW),
      created: sum(CREATED),
      gone: sum(GONE),
      expired: sum(EXPIRED),
      grown: sum(GROWN),
      shrunk: sum(SHRUNK),
    }
  }
}

export class GrowthSums {
  /** Keys whose type is another now: by type they are gone and created. */
  retyped = 0
  /** By node. */
  readonly #prefixes = new Rows()
  readonly #databases = new Rows()
  readonly #types = new Rows()
  readonly #ttl = new Rows()
  /** Keys that are as they were, by class: most of them, in most comparisons. */
  readonly #sameKeys = new Float64Array(COMMON_CLASSES)
  readonly #sameMemory = new Float64Array(COMMON_CLASSES)

  created(node: number, packed: number, memory: number): void {
    this.#one(node, packed, memory, NOW, CREATED)
  }

  gone(node: number, packed: number, memory: number): void {
    this.#one(node, packed, memory, BEFORE, GONE)
    if (!isExpiredIn(packed)) return
    this.#prefixes.add(node, EXPIRED, memory)
    this.#databases.add(dbOf(packed), EXPIRED, memory)
    this.#types.add(typeOf(packed), EXPIRED, memory)
    this.#ttl.add(ttlOf(packed), EXPIRED, memory)
  }

  /** A key of both sides; its prefix and database are the same. */
  both(node: number, before: number, memoryBefore: number, now: number, memory: number): void {
    if (memory === memoryBefore && now === before && now < COMMON_CLASSES) {
      this.#pair(this.#prefixes, node, memory, memory)
      this.#sameKeys[now]! += 1
      this.#sameMemory[now]! += memory
      return
    }
    this.#pair(this.#prefixes, node, memoryBefore, memory)
    this.#pair(this.#databases, dbOf(now), memoryBefore, memory)
    const type = typeOf(now)
    if (type === typeOf(before)) {
      this.#pair(this.#types, type, memoryBefore, memory)
    } else {
      this.retyped += 1
      this.#types.add(typeOf(before), BEFORE, memoryBefore)
      this.#types.add(typeOf(before), GONE, memoryBefore)
      this.#types.add(type, NOW, memory)
      this.#types.add(type, CREATED, memory)
    }
    // Time passes: a key goes from class to class without having changed.
    this.#ttl.add(ttlOf(before), BEFORE, memoryBefore)
    this.#ttl.add(ttlOf(now), NOW, memory)
  }

  /** To be called behind the last key. */
  finish(): void {
    for (const [packed, keys] of this.#sameKeys.entries()) {
      if (keys === 0) continue
      const memory = this.#sameMemory[packed]!
      for (const column of [BEFORE, NOW]) {
        this.#databases.add(dbOf(packed), column, memory, keys)
        this.#types.add(typeOf(packed), column, memory, keys)
        this.#ttl.add(ttlOf(packed), column, memory, keys)
      }
    }
  }

  prefix(node: number): GrowthRow {
    return this.#prefixes.row(node)
  }

  database(index: number): GrowthRow {
    return this.#databases.row(index)
  }

  type(index: number): GrowthRow {
    return this.#types.row(index)
  }

  /** By class, those without an expiry (`none`) last. */
  ttl(): { name: string; before: KeySum; now: KeySum }[] {
    return [...TTL_BOUNDS.map(({ name }) => name), 'none'].map((name, at) => {
      const { before, now } = this.#ttl.row(at)
      return { name, before, now }
    })
  }

  #one(node: number, packed: number, memory: number, side: number, what: number): void {
    for (const column of [side, what]) {
      this.#prefixes.add(node, column, memory)
      this.#databases.add(dbOf(packed), column, memory)
      this.#types.add(typeOf(packed), column, memory)
    }
    this.#ttl.add(ttlOf(packed), side, memory)
  }

  #pair(rows: Rows, row: number, before: number, now: number): void {
    rows.add(row, BEFORE, before)
    rows.add(row, NOW, now)
    if (now > before) rows.add(row, GROWN, now - before)
    else if (now < before) rows.add(row, SHRUNK, before - now)
  }
}

const NOTHING: KeySum = { keys: 0, memory: 0 }

export const EMPTY_ROW: GrowthRow = {
  before: NOTHING,
  now: NOTHING,
  created: NOTHING,
  gone: NOTHING,
  expired: NOTHING,
  grown: NOTHING,
  shrunk: NOTHING,
}

export function addRows(a: GrowthRow, b: GrowthRow): GrowthRow {
  const sum = (x: KeySum, y: KeySum): KeySum => ({
    keys: x.keys + y.keys,
    memory: x.memory + y.memory,
  })
  return {
    before: sum(a.before, b.before),
    now: sum(a.now, b.now),
    created: sum(a.created, b.created),
    gone: sum(a.gone, b.gone),
    expired: sum(a.expired, b.expired),
    grown: sum(a.grown, b.grown),
    shrunk: sum(a.shrunk, b.shrunk),
  }
}

/** Numbers for things that have names or larger numbers: in the order in which they come. */
export class Numbering<T> {
  readonly #most: number
  readonly #numbers = new Map<T, number>()

  constructor(most: number) {
    this.#most = most
  }

  /** The last number stands for all that found no other. */
  of(thing: T): number {
    const known = this.#numbers.get(thing)
    if (known !== undefined) return known
    if (this.#numbers.size === this.#most - 1) return this.#most - 1
    const number = this.#numbers.size
    this.#numbers.set(thing, number)
    return number
  }

  /** With undefined for all others. */
  entries(): [T | undefined, number][] {
    return [...this.#numbers, [undefined, this.#most - 1]]
  }
}
