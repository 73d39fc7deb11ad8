/**
 * `growth`: what became of the keys between two dumps. Each is read once, to a record of 32 bytes a
 * key; the records of each key are brought together part by part, on disk where there are many. So
 * every figure is exact, and memory is bounded whatever the number of keys.
 */
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { KeyHash, HASH_SECRET_WORDS } from '../../analyze/growth/key-hash.js'
import type { KeyAnalysis } from '../../analyze/key-analysis.js'
import { PrefixMarks } from '../../analyze/growth/prefix-marks.js'
import { MAX_DATABASES, MAX_TYPES } from '../../analyze/growth/record.js'
import { GrowthSums, Numbering } from '../../analyze/growth/sums.js'
import { makeTemporaryDir } from '../../disk/temporary-dir.js'
import { readSource, type SourceName } from '../../source/classify.js'
import type { InspectOptions, InspectResult } from '../inspect/options.js'
import { inspectWith } from '../inspect/run.js'
import { GrowthJoin } from './join.js'
import type { GrowthOptions, GrowthResult, GrowthTable } from './options.js'
import { GrowthSide, type GrowthCommon } from './side.js'
import { byChange, prefixGrowth } from './table.js'

export type * from './options.js'

const DEFAULT_TOP = 10
const DEFAULT_DEPTH = 2

/** Throws as `inspect` does; damage of a side is in its result, and the figures are of what came
 * before it. */
export async function growth(
  newer: SourceName,
  older: SourceName,
  options: GrowthOptions = {},
): Promise<GrowthResult> {
  const nowMs = options.nowMs ?? Date.now()
  // What cannot be is told before either is read.
  const sources = { newer: await readSource(newer), older: await readSource(older) }
  const directory = makeTemporaryDir('rrep-growth-')
  const comparison = new GrowthComparison(directory, options)
  try {
    const read = async (side: 'newer' | 'older'): Promise<InspectResult> => {
      let analysis: KeyAnalysis
      const keys = comparison.side(side, () => analysis.madeMs ?? nowMs)
      const asked: InspectOptions = {
        ...options,
        until: options.until?.[side],
        nowMs,
        report: side === 'newer' && options.report,
        top: side === 'newer' ? options.top : 0,
        prefixDepth: 0,
        onKey: keys.add,
        onStrings: keys.addStrings,
        onProgress: (progress) => options.onProgress?.({ ...progress, side }),
      }
      return await inspectWith(sources[side], asked, (made) => (analysis = made))
    }
    const results = { newer: await read('newer'), older: await read('older') }
    return { ...results, ...(await comparison.table(options.signal)) }
  } finally {
    comparison.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Takes the keys of both sides, the newer one first, and compares them. */
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

  async table(signal: AbortSignal | undefined): Promise<GrowthTable> {
    const { prefixes, types, databases } = this.#common
    const { newer, older } = this.#sides
    if (newer === undefined || older === undefined) throw new RangeError('a side was not read')
    const { places, nodes } = prefixes.finish()
    const sums = new GrowthSums()
    const join = new GrowthJoin({
      newer,
      older,
      sums,
      nodes,
      top: this.#top,
      types: namesOf(types),
      databases: namesOf(databases),
      signal,
    })
    await join.run()
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
