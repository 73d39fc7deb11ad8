/**
 * What the memory report says beyond the sums of `inspect`: one pass, flat memory, fed with every
 * key. Made only where it was asked for. All figures are sums of whole bytes of keys, so that they
 * can be recomputed from a list of them.
 */
import type { AnalyzedKey } from '../key-analysis.js'
import type { MemoryModel } from '../memory-model.js'
import { keyFacts, TopKeys, type RankedKey } from '../top-keys.js'
import type { TtlRow } from '../totals.js'
import { AccessSpread, type AccessRow } from './access.js'
import { ExpirySpread, type HourRow } from './expiry.js'
import { PrefixFigures, type PrefixNode } from './prefix-figures.js'
import { SlotSpread, type SlotReport } from './slots.js'
import { Spread, type Percentiles, type SizeClass } from './spread.js'
import { Thresholds, type TypeThresholds } from './thresholds.js'

export interface TypeSizes {
  readonly type: string
  readonly keys: number
  readonly memory: number
  readonly memoryPercentiles: Percentiles
  readonly elementsPercentiles: Percentiles
  /** By the memory of a key. */
  readonly sizes: readonly SizeClass[]
}

export interface MemoryReport {
  /** Unix ms that times to live refer to. */
  readonly asOfMs: number
  /** That is when the dump was made. */
  readonly isDated: boolean
  readonly keys: number
  readonly memory: number
  /** Most memory first; behind 64 types of modules all others are one. */
  readonly types: readonly TypeSizes[]
  readonly ttl: readonly TtlRow[]
  readonly hours: readonly HourRow[]
  readonly prefixes: PrefixNode
  readonly thresholds: readonly TypeThresholds[]
  /** Undefined where the dump has no such figures. */
  readonly idle: readonly AccessRow[] | undefined
  readonly frequency: readonly AccessRow[] | undefined
  readonly tops: ReportTops
  readonly slots: SlotReport
}

/** By rank: bytes, elements, bytes of the longest element, seconds, the counter of LFU. */
export interface ReportTops {
  readonly memory: readonly RankedKey[]
  readonly elements: readonly RankedKey[]
  readonly longest: readonly RankedKey[]
  readonly idle: readonly RankedKey[]
  readonly frequency: readonly RankedKey[]
}

export interface DistributionOptions {
  /** When the dump was made, in unix ms. Asked at the first key: AUX fields are known by then. */
  madeMs: () => number | undefined
  /** Where it does not say. */
  nowMs: number
  model: () => MemoryModel
  /** Default 20. */
  top?: number | undefined
  separator?: Uint8Array | undefined
  prefixDepth?: number | undefined
}

const DEFAULT_TOP = 20
const MAX_TYPES = 64

interface TypeSums {
  keys: number
  memory: number
  readonly sizes: Spread
  readonly elements: Spread
}

export class Distributions {
  readonly #options: DistributionOptions
  #keys = 0
  #memory = 0
  #madeMs: number | undefined
  #expiry: ExpirySpread | undefined
  readonly #types = new Map<string, TypeSums>()
  readonly #access = new AccessSpread()
  readonly #slots = new SlotSpread()
  readonly #thresholds: Thresholds
  readonly #prefixes: PrefixFigures
  readonly #topMemory: TopKeys
  readonly #topElements: TopKeys
  readonly #topLongest: TopKeys
  readonly #topIdle: TopKeys
  readonly #topFrequency: TopKeys

  constructor(options: DistributionOptions) {
    const top = options.top ?? DEFAULT_TOP
    this.#options = options
    this.#thresholds = new Thresholds(options.model)
    this.#prefixes = new PrefixFigures({
      ...(options.separator === undefined ? {} : { separator: options.separator }),
      ...(options.prefixDepth === undefined ? {} : { depth: options.prefixDepth }),
    })
    this.#topMemory = new TopKeys(top)
    this.#topElements = new TopKeys(top)
    this.#topLongest = new TopKeys(top)
    this.#topIdle = new TopKeys(top)
    this.#topFrequency = new TopKeys(top)
  }

  add(key: AnalyzedKey): void {
    const { header, stats, encoding, memory } = key
    const { hasExpiry, expireAtMs, idleSeconds, freq } = header
    this.#keys += 1
    this.#memory += memory
    const type = this.#type(key.type)
    type.keys += 1
    type.memory += memory
    type.sizes.add(memory, memory)
    type.elements.add(stats.elements, memory)
    this.#expiry ??= this.#begin()
    const isSoon = this.#expiry.add(hasExpiry, expireAtMs, memory)
    this.#access.add(idleSeconds, freq, memory)
    this.#slots.add(header.key, memory)
    this.#thresholds.add(header, stats, encoding, memory)
    this.#prefixes.add(header.key, header.kind, memory, !hasExpiry, isSoon)
    this.#rank(this.#topMemory, memory, key)
    this.#rank(this.#topElements, stats.elements, key)
    this.#rank(this.#topLongest, stats.largestElementBytes, key)
    if (idleSeconds >= 0) this.#rank(this.#topIdle, idleSeconds, key)
    if (freq >= 0) this.#rank(this.#topFrequency, freq, key)
  }

  /** To be called once, at the end. */
  result(): MemoryReport {
    const expiry = this.#expiry ?? this.#begin()
    const types = [...this.#types].map(([type, sums]) => ({
      type,
      keys: sums.keys,
      memory: sums.memory,
      memoryPercentiles: sums.sizes.percentiles(),
      elementsPercentiles: sums.elements.percentiles(),
      sizes: sums.sizes.classes(),
    }))
    return {
      asOfMs: this.#moment,
      isDated: this.#madeMs !== undefined,
      keys: this.#keys,
      memory: this.#memory,
      types: types.sort((a, b) => b.memory - a.memory),
      ttl: expiry.rows(),
      hours: expiry.hours(),
      prefixes: this.#prefixes.root(),
      thresholds: this.#thresholds.results(),
      idle: this.#access.idle(),
      frequency: this.#access.frequency(),
      tops: {
        memory: this.#topMemory.ranked(),
        elements: this.#topElements.ranked(),
        longest: this.#topLongest.ranked(),
        idle: this.#topIdle.ranked(),
        frequency: this.#topFrequency.ranked(),
      },
      slots: this.#slots.result(),
    }
  }

  #begin(): ExpirySpread {
    this.#madeMs = this.#options.madeMs()
    return new ExpirySpread(this.#moment)
  }

  get #moment(): number {
    return this.#madeMs ?? this.#options.nowMs
  }

  #type(name: string): TypeSums {
    const known = this.#types.get(name)
    if (known !== undefined) return known
    if (this.#types.size >= MAX_TYPES && name !== 'other') return this.#type('other')
    const made = { keys: 0, memory: 0, sizes: new Spread(), elements: new Spread() }
    this.#types.set(name, made)
    return made
  }

  #rank(top: TopKeys, rank: number, key: AnalyzedKey): void {
    if (!top.wants(rank)) return
    top.add(keyFacts(key.header, key.stats, key.type, key.encoding, key.memory), rank)
  }
}
