/**
 * `diff`: do two snapshots hold the same keys with the same values, types and expiries?
 *
 * Each side is read once to a digest per key, and these are added up in some thousand buckets by
 * the key's name. Where all sums agree the sides are the same, and nothing was kept but the sums.
 * Else both are read again, but only for the keys in buckets that disagree; their records go to
 * memory, or to files in a temporary directory where they are many, and are compared part by part.
 * So memory is bounded whatever the size and whatever the number of differences.
 *
 * A live server is taken by a sync (a replication link like a replica's) into a temporary file: its
 * state at one moment, the replication offset of which is in the result. Two moving servers are
 * compared at two moments, a little apart; keys written in between show as differences. Who may not
 * sync can SCAN and DUMP (`by`): then each key is from a moment of its own.
 *
 * Where commands follow a snapshot (AOF, archive), they are replayed into a scratch server, which
 * is then taken by a sync. What could not be replayed makes the comparison one that proves nothing.
 */
import { DIGEST_SECRET_BYTES } from '../../kernels/abi.js'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { InputError, UsageError } from '../../errors.js'
import { KeyAnalysis } from '../../analyze/key-analysis.js'
import type { GrowthTable } from '../../analyze/growth/table.js'
import { DigestKernel } from '../../analyze/digest-kernel.js'
import { KeyDigests, type DigestOptions } from '../../analyze/value-digest.js'
import { addSums, findSuspects, keysIn } from './buckets.js'
import { KeyComparison } from './compare.js'
import { DiffRecords, type DiffSide } from './records.js'
import type { DiffOptions, DiffResult, Difference } from './options.js'
import { GrowthComparison } from '../growth/comparison.js'
import { addValueDetails } from './values.js'
import { OpenSide } from './side.js'
import {
  compileKeyFilter,
  wantsKey,
  withAddressDb,
  type KeyFilter,
  type KeyFilterOptions,
} from '../../source/key-filter.js'
import { dbOfSource, readSource, type Source, type SourceName } from '../../source/classify.js'
import { RDB_READ_BYTES } from '../../source/rdb-input.js'
import { makeTemporaryDir } from '../../disk/temporary-dir.js'

export type * from './options.js'

const DEFAULT_TTL_TOLERANCE_MS = 1000
const DEFAULT_LIMIT = 100

/** Rejects with LinkError, AuthError, ProtocolError, InputError, FileError, UsageError (of
 * `withServer`, `until`) or AbortedError. */
export async function diff(
  a: SourceName,
  b: SourceName,
  options: DiffOptions = {},
): Promise<DiffResult> {
  if (options.filter?.minSizeBytes !== undefined) {
    throw new UsageError('a size cannot be compared by: it depends on the encoding')
  }
  const directory = makeTemporaryDir('rrep-diff-')
  try {
    const run = new DiffRun(await readSource(a), await readSource(b), options, directory)
    return await run.compare()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

class DiffRun {
  readonly #sources: { readonly a: Source; readonly b: Source }
  readonly #options: DiffOptions
  readonly #directory: string
  readonly #wanted: KeyFilterOptions | undefined
  readonly #filter: KeyFilter
  readonly #secret = randomBytes(DIGEST_SECRET_BYTES)
  readonly #kernel = new DigestKernel(RDB_READ_BYTES, this.#secret)
  #nowMs = 0

  constructor(a: Source, b: Source, options: DiffOptions, directory: string) {
    this.#sources = { a, b }
    this.#options = options
    this.#directory = directory
    const ofA = withAddressDb(options.filter, dbOfSource(a))
    this.#wanted = withAddressDb(ofA, dbOfSource(b))
    this.#filter = compileKeyFilter(this.#wanted)
  }

  async compare(): Promise<DiffResult> {
    // One after the other, but both before the reading: the two moments are close together.
    const a = await this.#open('a')
    const b = await this.#open('b')
    // What has gone by its time on a server that was just read is past its time now.
    this.#nowMs = Date.now()
    const result: DiffResult = {
      same: false,
      trusted: false,
      a: a.result,
      b: b.result,
      differences: {},
      keysDifferent: 0,
      keysExpired: 0,
    }
    try {
      await this.#compare(a, b, result)
      if (this.#options.stat === true) result.stat = await this.#stat(a, b)
    } catch (error) {
      if (error instanceof InputError) error.partial = result
      throw error
    }
    return result
  }

  async #compare(a: OpenSide, b: OpenSide, result: DiffResult): Promise<void> {
    const { sums, suspects: flags } = this.#kernel
    await this.#sum(a, sums.a)
    await this.#sum(b, sums.b)
    const suspects = findSuspects(sums.a, sums.b, flags)
    const trusted = a.result.built?.complete !== false && b.result.built?.complete !== false
    result.same = trusted
    result.trusted = trusted
    if (suspects.count === 0) return
    const records = new DiffRecords(this.#directory, suspects)
    await this.#collect(a, records.a)
    await this.#collect(b, records.b)
    const shown = this.#count(records, result)
    if (this.#options.values === true) await addValueDetails(shown, { a, b })
    for (const each of shown) this.#options.onDifference?.(each)
  }

  /** What became of the keys from A to B. */
  async #stat(a: OpenSide, b: OpenSide): Promise<GrowthTable> {
    const comparison = new GrowthComparison(this.#directory, this.#options)
    try {
      await this.#take(b, comparison, 'newer')
      await this.#take(a, comparison, 'older')
      return await comparison.table({ signal: this.#options.signal, onProgress: undefined })
    } finally {
      comparison.close()
    }
  }

  async #take(open: OpenSide, comparison: GrowthComparison, side: 'newer' | 'older') {
    const filter = this.#filter
    const nowMs = this.#nowMs
    const keys = comparison.side(side, () => analysis.madeMs ?? nowMs)
    const analysis: KeyAnalysis = new KeyAnalysis({
      nowMs,
      top: 0,
      wantsKey: filter.passesAll ? undefined : (header) => wantsKey(filter, header, nowMs),
      onKey: keys.add,
      onStrings: keys.addStrings,
    })
    await open.readAgain(analysis)
  }

  async #open(side: 'a' | 'b'): Promise<OpenSide> {
    const until = this.#options.until?.[side]
    const options = { ...this.#options, until }
    return await OpenSide.open(side, this.#sources[side], options, this.#directory)
  }

  /** First reading: all keys, sums only. */
  async #sum(open: OpenSide, sums: Buffer): Promise<void> {
    try {
      if (await this.#sumInThreads(open, sums)) return
      await open.read('read', this.#kernel.input, () => {
        sums.fill(0)
        return this.#digests(open, sums)
      })
    } finally {
      open.result.keys = keysIn(sums)
    }
  }

  async #sumInThreads(open: OpenSide, sums: Buffer): Promise<boolean> {
    const { threads = 1, pieceSizes } = this.#options
    if (threads < 2) return false
    sums.fill(0)
    const { shiftMs } = open
    return await open.sum({
      count: threads,
      sizes: pieceSizes,
      job: {
        kind: 'digest',
        secret: this.#secret,
        shiftMs,
        filter: this.#wanted,
        nowMs: this.#nowMs,
      },
      own: this.#digests(open, sums),
      buffer: this.#kernel.input,
      add: (more) => addSums(sums, more),
    })
  }

  /** Second reading: only keys of buckets that disagree, each with its record. */
  async #collect(open: OpenSide, records: DiffSide): Promise<void> {
    const digests = this.#digests(open, (record, at, name) => records.add(record, at, name))
    await open.read('compare', this.#kernel.input, () => digests)
    records.end()
  }

  #digests(open: OpenSide, to: DigestOptions['to']): KeyDigests {
    const filter = this.#filter
    const kernel = this.#kernel
    return new KeyDigests({
      kernel,
      shiftMs: open.shiftMs,
      wanted: filter.passesAll
        ? undefined
        : (header, expireAtMs) => wantsKey(filter, header, this.#nowMs, expireAtMs),
      to,
    })
  }

  /** Counts all, and returns those to be shown. */
  #count(records: DiffRecords, result: DiffResult): Difference[] {
    const limit = this.#options.limit ?? DEFAULT_LIMIT
    const shown: Difference[] = []
    const comparison = new KeyComparison({
      ttlToleranceMs: this.#options.ttlToleranceMs ?? DEFAULT_TTL_TOLERANCE_MS,
      nowMs: this.#nowMs,
    })
    const { kinds } = comparison
    records.compare({
      twice: (side) => (result[side].keys -= 1),
      pair: (a, atA, b, atB) => {
        comparison.look(a, atA, b, atB)
        if (comparison.isExpired) result.keysExpired += 1
        if (kinds.length === 0) return
        // Counters beside the data, which not every server keeps or replicates: told, no difference.
        const isNote = kinds.length === 1 && kinds[0] === 'stream-counters'
        if (!isNote) {
          result.same = false
          result.keysDifferent += 1
        }
        for (const kind of kinds) {
          result.differences[kind] = (result.differences[kind] ?? 0) + 1
          if (shown.length < limit) shown.push(comparison.describe(kind))
        }
      },
    })
    return shown
  }
}
