/** The comparison itself, for who reads the keys: both sides, the newer one first. */
import { randomBytes } from 'node:crypto'
import { HASH_SECRET_WORDS, KeyHash } from '../../analyze/growth/key-hash.js'
import { PrefixMarks } from '../../analyze/growth/prefix-marks.js'
import { MAX_DATABASES, MAX_TYPES } from '../../analyze/growth/record.js'
import { GrowthSums, Numbering } from '../../analyze/growth/sums.js'
import { byChange, prefixGrowth, type GrowthTable } from '../../analyze/growth/table.js'
import { GrowthJoin } from './join.js'
import type { GrowthOptions } from './options.js'
import { GrowthSide, type GrowthCommon } from './side.js'

const DEFAULT_TOP = 10
const DEFAULT_DEPTH = 2

export class GrowthComparison {
  readonly #common: GrowthCommon
  readonly #top: number
  readonly #sides: { newer?: GrowthSide; older?: GrowthSide } = {}
  /** Of the newer side. */
  #asOf = (): number => 0

  /** @param directory of our own, for files without names */
  constructor(
    directory: string,
    options: Pick<GrowthOptions, 'top' | 'prefixDepth' | 'separator'> = {},
  ) {
    const { prefixDepth = DEFAULT_DEPTH, separator } = options
    this.#top = options.top ?? DEFAULT_TOP
    const secret = new Uint32Array(new Uint8Array(randomBytes(HASH_SECRET_WORDS * 4)).buffer)
    this.#common = {
      directory,
      hash: new KeyHash(secret),
      prefixes: new PrefixMarks({ depth: prefixDepth, ...(separator && { separator }) }),
      types: new Numbering(MAX_TYPES),
      databases: new Numbering(MAX_DATABASES),
    }
  }

  /** @param asOf unix ms that times to live refer to; asked behind the head of the dump */
  side(side: 'newer' | 'older', asOf: () => number): GrowthSide {
    if (side === 'newer') this.#asOf = asOf
    const made = new GrowthSide(this.#common, { asOf, expiredBy: this.#asOf })
    this.#sides[side]?.close()
    this.#sides[side] = made
    return made
  }

  async table({
    signal,
    onProgress,
  }: Pick<GrowthOptions, 'signal' | 'onProgress'>): Promise<GrowthTable> {
    const { prefixes, types, databases } = this.#common
    const { newer, older } = this.#sides
    if (newer === undefined || older === undefined) throw new RangeError('a side was not read')
    const { places, nodes } = prefixes.finish()
    const sums = new GrowthSums()
    const total = newer.records + older.records
    const join = new GrowthJoin({
      newer,
      older,
      sums,
      nodes,
      top: this.#top,
      types: namesOf(types),
      databases: namesOf(databases),
      signal,
      onPart: (done) =>
        onProgress?.({ phase: 'compare', side: 'older', done, total, unit: 'keys' }),
    })
    await join.run()
    sums.finish()
    const tree = prefixGrowth(places, sums)
    const { before, now, created, gone, expired, grown, shrunk } = tree
    return {
      total: { before, now, created, gone, expired, grown, shrunk },
      prefixes: tree,
      types: byChange(types.entries(), (index) => sums.type(index)),
      databases: byChange(databases.entries(), (index) => sums.database(index)).sort(
        ([a = Number.POSITIVE_INFINITY], [b = Number.POSITIVE_INFINITY]) => a - b,
      ),
      ttl: sums.ttl(),
      retyped: sums.retyped,
      ...join.lists(),
    }
  }

  close(): void {
    this.#sides.newer?.close()
    this.#sides.older?.close()
  }
}

function namesOf<T>(numbering: Numbering<T>): Map<number, T> {
  const names = new Map<number, T>()
  for (const [name, number] of numbering.entries()) if (name !== undefined) names.set(number, name)
  return names
}
