/**
 * Hashes, sets and sorted sets around the limits up to which servers keep them packed: how many are
 * packed and how many not, by elements and by longest element, and what a higher limit would save.
 *
 * What is saved is an estimate: the key's memory now, less that of a listpack with the same strings.
 */
import { KIND, type KeyHeader, type Kind, type ValueStats } from '../../rdb/visitor.js'
import { ENCODING, type WriterVersion } from '../encoding.js'
import type { MemoryModel } from '../memory-model.js'

/** Upper ends of classes; what is larger has one more. */
const ELEMENT_CLASSES = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096] as const
const LENGTH_CLASSES = [16, 32, 64, 128, 256, 512, 1024, 4096] as const
/** A limit to propose is one of the classes: larger packed values would be slow. */
const MOST_ELEMENTS = 2048
const MOST_LENGTH = 1024

const LISTPACK_HEAD_BYTES = 7
/** Of a score in its text form. */
const SCORE_BYTES = 10

/** Versions of Redis: settings got their names, sets of text were packed. */
const LISTPACKS = 700
const SETS_PACKED = 702

const PACKED = new Set(['listpack', 'listpackex', 'ziplist', 'zipmap', 'intset'])

interface Limits {
  readonly kind: Kind
  readonly type: string
  readonly entriesSetting: string
  readonly valueSetting: string
  /** What all versions come with. */
  readonly entries: number
  readonly length: number
}

const LIMITS: readonly Limits[] = [
  {
    kind: KIND.HASH,
    type: 'hash',
    entriesSetting: 'hash-max-listpack-entries',
    valueSetting: 'hash-max-listpack-value',
    entries: 512,
    length: 64,
  },
  {
    kind: KIND.SET,
    type: 'set',
    entriesSetting: 'set-max-listpack-entries',
    valueSetting: 'set-max-listpack-value',
    entries: 128,
    length: 64,
  },
  {
    kind: KIND.ZSET,
    type: 'zset',
    entriesSetting: 'zset-max-listpack-entries',
    valueSetting: 'zset-max-listpack-value',
    entries: 128,
    length: 64,
  },
]

export interface ThresholdClass {
  /** Up to this; Infinity: all that are larger. */
  readonly upTo: number
  readonly packedKeys: number
  readonly packedMemory: number
  readonly looseKeys: number
  readonly looseMemory: number
}

export interface WhatIf {
  readonly setting: string
  /** What the limit seems to be: the default, or more where packed values show it. */
  readonly now: number
  readonly proposed: number
  readonly keys: number
  readonly memory: number
  /** Of `memory`, about. */
  readonly saves: number
}

export interface TypeThresholds {
  readonly type: string
  readonly byElements: readonly ThresholdClass[]
  readonly byLongest: readonly ThresholdClass[]
  /** Within both limits and yet not packed: a reload packs them. */
  readonly wouldFit: { readonly keys: number; readonly memory: number; readonly saves: number }
  readonly whatIf: readonly WhatIf[]
}

class Classes {
  readonly bounds: readonly number[]
  readonly packedKeys: Float64Array
  readonly packedMemory: Float64Array
  readonly looseKeys: Float64Array
  readonly looseMemory: Float64Array
  /** Of those that one limit alone keeps from being packed. */
  readonly heldKeys: Float64Array
  readonly heldMemory: Float64Array
  readonly heldSaves: Float64Array

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    const column = (): Float64Array => new Float64Array(bounds.length + 1)
    this.packedKeys = column()
    this.packedMemory = column()
    this.looseKeys = column()
    this.looseMemory = column()
    this.heldKeys = column()
    this.heldMemory = column()
    this.heldSaves = column()
  }

  of(figure: number): number {
    let at = 0
    while (at < this.bounds.length && figure > this.bounds[at]!) at += 1
    return at
  }

  add(figure: number, isPacked: boolean, memory: number): void {
    const at = this.of(figure)
    const [keys, bytes] = isPacked
      ? [this.packedKeys, this.packedMemory]
      : [this.looseKeys, this.looseMemory]
    keys[at]! += 1
    bytes[at]! += memory
  }

  hold(figure: number, memory: number, saves: number): void {
    const at = this.of(figure)
    this.heldKeys[at]! += 1
    this.heldMemory[at]! += memory
    this.heldSaves[at]! += saves
  }

  rows(): ThresholdClass[] {
    return [...this.bounds, Number.POSITIVE_INFINITY].map((upTo, at) => ({
      upTo,
      packedKeys: this.packedKeys[at]!,
      packedMemory: this.packedMemory[at]!,
      looseKeys: this.looseKeys[at]!,
      looseMemory: this.looseMemory[at]!,
    }))
  }

  /** For each class above the limit up to `most`: what a limit of its end would pack. */
  whatIf(setting: string, now: number, most: number): WhatIf[] {
    const found: WhatIf[] = []
    let [keys, memory, saves] = [0, 0, 0]
    for (const [at, proposed] of this.bounds.entries()) {
      if (proposed <= now || proposed > most) continue
      keys += this.heldKeys[at]!
      memory += this.heldMemory[at]!
      saves += this.heldSaves[at]!
      if (this.heldKeys[at]! > 0) found.push({ setting, now, proposed, keys, memory, saves })
    }
    return found
  }
}

class KindThresholds {
  readonly limits: Limits
  readonly #elements = new Classes(ELEMENT_CLASSES)
  readonly #longest = new Classes(LENGTH_CLASSES)
  #mostPacked = 0
  #longestPacked = 0
  readonly #wouldFit = { keys: 0, memory: 0, saves: 0 }
  #keys = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  add(elements: number, longest: number, encoding: string, memory: number, saves: number): void {
    const { limits } = this
    const isPacked = PACKED.has(encoding)
    this.#keys += 1
    this.#elements.add(elements, isPacked, memory)
    this.#longest.add(longest, isPacked, memory)
    if (isPacked) {
      // Sets of integers have a limit of their own.
      if (encoding === 'intset') return
      this.#mostPacked = Math.max(this.#mostPacked, elements)
      this.#longestPacked = Math.max(this.#longestPacked, longest)
      return
    }
    const isShort = longest <= limits.length
    const isFew = elements <= limits.entries
    if (isShort && isFew) {
      this.#wouldFit.keys += 1
      this.#wouldFit.memory += memory
      this.#wouldFit.saves += saves
    } else if (isShort) this.#elements.hold(elements, memory, saves)
    else if (isFew) this.#longest.hold(longest, memory, saves)
  }

  result(writer: WriterVersion): TypeThresholds | undefined {
    if (this.#keys === 0) return undefined
    const { limits } = this
    const byElements = this.#elements.rows()
    const byLongest = this.#longest.rows()
    if (limits.kind === KIND.SET && isRedisBefore(writer, SETS_PACKED)) {
      const wouldFit = { keys: 0, memory: 0, saves: 0 }
      return { type: limits.type, byElements, byLongest, wouldFit, whatIf: [] }
    }
    const called = (name: string): string =>
      isRedisBefore(writer, LISTPACKS) ? name.replace('listpack', 'ziplist') : name
    const entries = Math.max(limits.entries, this.#mostPacked)
    const length = Math.max(limits.length, this.#longestPacked)
    return {
      type: limits.type,
      byElements,
      byLongest,
      wouldFit: this.#wouldFit,
      whatIf: [
        ...this.#elements.whatIf(called(limits.entriesSetting), entries, MOST_ELEMENTS),
        ...this.#longest.whatIf(called(limits.valueSetting), length, MOST_LENGTH),
      ],
    }
  }
}

function isRedisBefore({ family, version }: WriterVersion, since: number): boolean {
  return family === 'redis' && version < since
}

export class Thresholds {
  readonly #model: () => MemoryModel
  readonly #kinds = new Map<Kind, KindThresholds>(
    LIMITS.map((limits) => [limits.kind, new KindThresholds(limits)]),
  )

  constructor(model: () => MemoryModel) {
    this.#model = model
  }

  add(header: KeyHeader, stats: ValueStats, encoding: string, memory: number): void {
    const kind = this.#kinds.get(header.kind)
    if (kind === undefined) return
    const saves = PACKED.has(encoding) ? 0 : memory - this.#packedMemory(header, stats)
    kind.add(stats.elements, stats.largestElementBytes, encoding, memory, Math.max(0, saves))
  }

  /** Types without keys are left out. */
  results(): TypeThresholds[] {
    const { writer } = this.#model().layout
    return [...this.#kinds.values()].flatMap((kind) => kind.result(writer) ?? [])
  }

  #packedMemory(header: KeyHeader, stats: ValueStats): number {
    const { plainBytes, plainStrings, elements } = stats
    const meanBytes = plainStrings === 0 ? 0 : plainBytes / plainStrings
    // Length in front and behind.
    const entryBytes = meanBytes < 64 ? 2 : meanBytes < 126 ? 3 : 4
    const scores = header.kind === KIND.ZSET ? elements * SCORE_BYTES : 0
    const listpack = LISTPACK_HEAD_BYTES + plainBytes + plainStrings * entryBytes + scores
    const keyBytes = header.key.end - header.key.start
    const model = this.#model()
    const bare = model.stringKey(keyBytes, header.hasExpiry, 0, ENCODING.INT)
    return bare + model.blobMemory(Math.ceil(listpack))
  }
}
