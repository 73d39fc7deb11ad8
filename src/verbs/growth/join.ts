/** Brings the records of each key together, part by part: what is new, gone, grown and shrunk. */
import { Buffer } from 'node:buffer'
import { setImmediate } from 'node:timers/promises'
import {
  RECORD_BYTES,
  RECORD_CLASS,
  RECORD_HASH,
  RECORD_MEMORY,
  RECORD_NAME,
  RECORD_PREFIX,
  RECORD_WORDS,
  dbOf,
  typeOf,
} from '../../analyze/growth/record.js'
import type { GrowthSums } from '../../analyze/growth/sums.js'
import { TopKeys } from '../../analyze/top-keys.js'
import type { GrownKey } from './options.js'
import { PARTS, type GrowthSide } from './side.js'

export interface JoinOptions {
  readonly newer: GrowthSide
  readonly older: GrowthSide
  readonly sums: GrowthSums
  /** By mark. */
  readonly nodes: Int32Array
  /** How many keys are told by name in each list. */
  readonly top: number
  /** By number; undefined where many share it. */
  readonly types: ReadonlyMap<number, string>
  readonly databases: ReadonlyMap<number, number>
  readonly signal: AbortSignal | undefined
  /** How many keys are done, of both sides. */
  readonly onPart?: ((done: number) => void) | undefined
}

/** The records of one part, in memory that is used again. */
class Records {
  words = new Uint32Array(0)
  doubles = new Float64Array(0)
  count = 0
  #bytes = Buffer.alloc(0)

  load(side: GrowthSide, part: number): void {
    this.count = side.recordsIn(part)
    const size = this.count * RECORD_BYTES
    if (size > this.#bytes.length) {
      this.#bytes = Buffer.from(
        new ArrayBuffer(Math.ceil((size * 1.25) / RECORD_BYTES) * RECORD_BYTES),
      )
      this.words = new Uint32Array(this.#bytes.buffer)
      this.doubles = new Float64Array(this.#bytes.buffer)
    }
    side.load(part, this.#bytes)
  }
}

export class GrowthJoin {
  readonly #options: JoinOptions
  readonly #newer = new Records()
  readonly #older = new Records()
  /** The number of an older record, and 1; 0: free. */
  #slots = new Int32Array(0)
  #found = new Uint8Array(0)
  readonly #grown: TopKeys
  readonly #shrunk: TopKeys
  readonly #created: TopKeys
  readonly #gone: TopKeys

  constructor(options: JoinOptions) {
    this.#options = options
    this.#grown = new TopKeys(options.top)
    this.#shrunk = new TopKeys(options.top)
    this.#created = new TopKeys(options.top)
    this.#gone = new TopKeys(options.top)
  }

  async run(): Promise<void> {
    const { newer, older, signal, onPart } = this.#options
    let done = 0
    for (let part = 0; part < PARTS; part += 1) {
      signal?.throwIfAborted()
      // They were written a moment ago: the system has them at hand. Others get their turn in between.
      await setImmediate()
      this.#newer.load(newer, part)
      this.#older.load(older, part)
      this.#fill()
      this.#joinPart()
      this.#leftOver()
      done += this.#newer.count + this.#older.count
      onPart?.(done)
    }
  }

  /** Those that changed most first. */
  lists(): { grown: GrownKey[]; shrunk: GrownKey[]; created: GrownKey[]; gone: GrownKey[] } {
    const list = (keys: TopKeys, sizes: (memory: number, by: number) => [number, number]) =>
      keys.ranked().map(({ rank, facts: { dbnum, key, type, memory } }): GrownKey => {
        const [before, now] = sizes(memory, rank)
        return { db: dbnum, key, type, before, now }
      })
    return {
      grown: list(this.#grown, (memory, by) => [memory - by, memory]),
      shrunk: list(this.#shrunk, (memory, by) => [memory + by, memory]),
      created: list(this.#created, (memory) => [0, memory]),
      gone: list(this.#gone, (memory) => [memory, 0]),
    }
  }

  #fill(): void {
    const { count, words } = this.#older
    let size = 1024
    while (size < count * 2) size *= 2
    if (this.#slots.length === size) this.#slots.fill(0)
    else this.#slots = new Int32Array(size)
    if (this.#found.length < count) this.#found = new Uint8Array(count + (count >> 2))
    else this.#found.fill(0, 0, count)
    const slots = this.#slots
    const mask = size - 1
    for (let record = 0; record < count; record += 1) {
      let slot = words[record * RECORD_WORDS + RECORD_HASH]! & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = record + 1
    }
  }

  #joinPart(): void {
    const { sums, nodes } = this.#options
    const newer = this.#newer
    const older = this.#older
    const { words, doubles } = newer
    const found = this.#found
    for (let record = 0; record < newer.count; record += 1) {
      const at = record * RECORD_WORDS
      const node = nodes[words[at + RECORD_PREFIX]!]!
      const memory = doubles[(at + RECORD_MEMORY) >> 1]!
      const packed = words[at + RECORD_CLASS]!
      const other = this.#find(words, at)
      if (other === -1) {
        sums.created(node, packed, memory)
        this.#offer(this.#created, 'newer', words, at, memory, memory)
        continue
      }
      found[other] = 1
      const otherAt = other * RECORD_WORDS
      const before = older.doubles[(otherAt + RECORD_MEMORY) >> 1]!
      sums.both(node, older.words[otherAt + RECORD_CLASS]!, before, packed, memory)
      if (memory === before) continue
      const by = Math.abs(memory - before)
      const list = memory > before ? this.#grown : this.#shrunk
      this.#offer(list, 'newer', words, at, memory, by)
    }
  }

  /** The older record of the same key, or -1. */
  #find(words: Uint32Array, at: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    const { words: others } = this.#older
    const h0 = words[at + RECORD_HASH]!
    const h1 = words[at + RECORD_HASH + 1]!
    const h2 = words[at + RECORD_HASH + 2]!
    for (let slot = h0 & mask; ; slot = (slot + 1) & mask) {
      const record = slots[slot]! - 1
      if (record === -1) return -1
      const other = record * RECORD_WORDS + RECORD_HASH
      if (others[other] === h0 && others[other + 1] === h1 && others[other + 2] === h2)
        return record
    }
  }

  #leftOver(): void {
    const { sums, nodes } = this.#options
    const { count, words, doubles } = this.#older
    for (let record = 0; record < count; record += 1) {
      if (this.#found[record] !== 0) continue
      const at = record * RECORD_WORDS
      const memory = doubles[(at + RECORD_MEMORY) >> 1]!
      sums.gone(nodes[words[at + RECORD_PREFIX]!]!, words[at + RECORD_CLASS]!, memory)
      this.#offer(this.#gone, 'older', words, at, memory, memory)
    }
  }

  /** Between equal ones their places in the dump decide: parts come in another order in each run. */
  #offer(
    list: TopKeys,
    side: 'newer' | 'older',
    words: Uint32Array,
    at: number,
    memory: number,
    rank: number,
  ): void {
    const place = words[at + RECORD_NAME]!
    if (!list.wantsAt(rank, place)) return
    const { types, databases } = this.#options
    const key = this.#options[side].name(place)
    if (key === undefined) return
    const packed = words[at + RECORD_CLASS]!
    const facts = {
      dbnum: databases.get(dbOf(packed)) ?? -1,
      key,
      type: types.get(typeOf(packed)) ?? 'module',
      encoding: '',
      memory,
      elements: 0,
      expireAtMs: -1,
    }
    list.add(facts, rank, place)
  }
}
