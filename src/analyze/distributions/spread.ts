/**
 * How one figure is spread over many keys: classes by powers of two, and percentiles from finer
 * ones, so that nothing is kept of a single key. A percentile is the largest figure seen in its
 * class: exact up to 128, at most 1.6 % too high above that.
 */

/** Classes of percentiles for each power of two. */
const FINE_BITS = 6
const EXACT = 2 << FINE_BITS
const FINE_CLASSES = EXACT + (53 - FINE_BITS) * (1 << FINE_BITS)
const POWERS = 54

export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

export interface SizeClass {
  /** From here up to, but not with, its double; the first is for 0. */
  readonly from: number
  readonly keys: number
  readonly memory: number
}

export class Spread {
  #keys = 0
  #max = 0
  readonly #fine = new Float64Array(FINE_CLASSES)
  readonly #fineMost = new Float64Array(FINE_CLASSES)
  readonly #powerKeys = new Float64Array(POWERS)
  readonly #powerMemory = new Float64Array(POWERS)

  add(figure: number, memory: number): void {
    this.#keys += 1
    if (figure > this.#max) this.#max = figure
    const fine = fineClass(figure)
    this.#fine[fine]! += 1
    if (figure > this.#fineMost[fine]!) this.#fineMost[fine] = figure
    const power = powerOf(figure)
    this.#powerKeys[power]! += 1
    this.#powerMemory[power]! += memory
  }

  percentiles(): Percentiles {
    return { p50: this.#at(0.5), p90: this.#at(0.9), p99: this.#at(0.99), max: this.#max }
  }

  /** From the first class with keys to the last, those between them included. */
  classes(): SizeClass[] {
    const first = this.#powerKeys.findIndex((keys) => keys > 0)
    const last = this.#powerKeys.findLastIndex((keys) => keys > 0)
    if (first < 0) return []
    return Array.from({ length: last - first + 1 }, (_, index) => {
      const power = first + index
      return {
        from: power === 0 ? 0 : 2 ** (power - 1),
        keys: this.#powerKeys[power]!,
        memory: this.#powerMemory[power]!,
      }
    })
  }

  #at(share: number): number {
    const wanted = Math.ceil(this.#keys * share)
    let seen = 0
    for (let at = 0; at < FINE_CLASSES; at += 1) {
      seen += this.#fine[at]!
      if (seen >= wanted && seen > 0) return this.#fineMost[at]!
    }
    return this.#max
  }
}

/** 0 for 0, else 1 + the power of two that is not above the figure. */
function powerOf(figure: number): number {
  return figure < 1 ? 0 : 1 + highestBit(figure)
}

function fineClass(figure: number): number {
  if (figure < EXACT) return Math.max(0, Math.floor(figure))
  const bit = highestBit(figure)
  const within = Math.floor(figure / 2 ** (bit - FINE_BITS)) - (1 << FINE_BITS)
  return EXACT + (bit - FINE_BITS - 1) * (1 << FINE_BITS) + within
}

function highestBit(figure: number): number {
  const high = Math.floor(figure / 2 ** 32)
  return high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(figure)
}
