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
 * compared at two moments, a little apart; keys written in between show as differences.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createWriteStream } from 'node:fs'
import { ProtocolError } from '../errors.js'
import { KeyDigests } from '../analyze/value-digest.js'
import { formatServerAddress } from '../net/address.js'
import type { ServerSettings } from '../net/server-settings.js'
import { RdbParser } from '../rdb/parser.js'
import { KIND, KIND_NAMES, type KeyHeader } from '../rdb/visitor.js'
import { DiffBuckets } from './diff-buckets.js'
import { DiffRecords, type DiffSide } from './diff-records.js'
import { compileKeyFilter, type KeyFilter, type KeyFilterOptions } from './key-filter.js'
import { openRdbInput, pumpRdb } from './rdb-input.js'
import { sync } from './sync.js'

export type DiffSource =
  | { kind: 'file'; path: string }
  | { kind: 'server'; server: ServerSettings; retries?: number | undefined }

/** `missing-in-a`, `missing-in-b`: the key is there on the other side only. `stream-counters`:
 * entries ever added, highest deleted id, entries read, remembered ids of producers. */
export type DifferenceKind =
  'missing-in-a' | 'missing-in-b' | 'type' | 'ttl' | 'value' | 'field-ttl' | 'stream-counters'

export interface Difference {
  kind: DifferenceKind
  db: number
  key: Buffer
  /** `type`: the types; `ttl`: the expiries in unix ms, null for none. Else undefined. */
  a?: string | number | null
  b?: string | number | null
}

export interface DiffOptions {
  a: DiffSource
  b: DiffSource
  /** What `-` reads. */
  stdin?: Readable | undefined
  /** Expiries that differ by no more than this are the same. Default 1000 ms. */
  ttlToleranceMs?: number | undefined
  /** How many differences are handed to `onDifference`; all are counted. Default 100. */
  limit?: number | undefined
  filter?: KeyFilterOptions | undefined
  signal?: AbortSignal | undefined
  onDifference?: ((difference: Difference) => void) | undefined
  onProgress?: ((progress: DiffProgress) => void) | undefined
}

export interface DiffProgress {
  phase: 'sync' | 'read' | 'compare'
  side: 'a' | 'b'
  bytes: number
  totalBytes: number | undefined
}

export interface DiffSideResult {
  /** Path or address. */
  name: string
  keys: number
  rdbVersion: number
  /** Of a live server: where in its stream the snapshot stands. */
  replid?: string | undefined
  replOffset?: number | undefined
}

export interface DiffResult {
  same: boolean
  a: DiffSideResult
  b: DiffSideResult
  /** How many differences of each kind; a key may have several. */
  differences: Partial<Record<DifferenceKind, number>>
  /** Keys that differ in anything. */
  keysDifferent: number
  /** Keys on one side only whose time is past: gone on the other side, and no difference. */
  keysExpired: number
}

const DEFAULT_TTL_TOLERANCE_MS = 1000
const DEFAULT_LIMIT = 100

/** Rejects with LinkError, AuthError, ProtocolError, InputError, FileError or AbortedError. */
export async function diff(options: DiffOptions): Promise<DiffResult> {
  const directory = mkdtempSync(join(tmpdir(), 'rrep-diff-'))
  try {
    const run = new DiffRun(options, directory)
    return await run.compare()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

interface OpenSide {
  side: 'a' | 'b'
  path: string
  result: DiffSideResult
}

class DiffRun {
  private readonly options: DiffOptions
  private readonly directory: string
  private readonly filter: KeyFilter
  private readonly seed = randomBytes(4).readInt32LE(0)
  private readonly nowMs = Date.now()

  constructor(options: DiffOptions, directory: string) {
    this.options = options
    this.directory = directory
    this.filter = compileKeyFilter(options.filter)
  }

  async compare(): Promise<DiffResult> {
    // One after the other, but both before the reading: the two moments are close together.
    const a = await this.open('a', this.options.a)
    const b = await this.open('b', this.options.b)
    const sumsA = await this.sums(a)
    const sumsB = await this.sums(b)
    const suspects = sumsA.differingFrom(sumsB)
    const result: DiffResult = {
      same: true,
      a: a.result,
      b: b.result,
      differences: {},
      keysDifferent: 0,
      keysExpired: 0,
    }
    if (suspects.count === 0) return result
    const records = new DiffRecords(this.directory, suspects.keys)
    await this.collect(a, records.a, suspects.has)
    await this.collect(b, records.b, suspects.has)
    this.report(records, result)
    return result
  }

  private async open(side: 'a' | 'b', source: DiffSource): Promise<OpenSide> {
    const { stdin, signal, onProgress } = this.options
    if (source.kind === 'file') {
      if (source.path !== '-') {
        return { side, path: source.path, result: sideResult(source.path) }
      }
      // It is read twice: a pipe cannot.
      const path = join(this.directory, `${side}.rdb`)
      await pipeline(stdin!, createWriteStream(path, { mode: 0o600 }), { signal })
      return { side, path, result: sideResult('stdin') }
    }
    const path = join(this.directory, `${side}.rdb`)
    const synced = await sync({
      server: source.server,
      output: path,
      retries: source.retries,
      signal,
      onProgress: ({ bytes, totalBytes }) =>
        onProgress?.({ phase: 'sync', side, bytes, totalBytes }),
    })
    const { replid, replOffset } = synced
    const name = formatServerAddress(source.server.address)
    return { side, path, result: { ...sideResult(name), replid, replOffset } }
  }

  /** First reading: all keys, sums only. */
  private async sums(open: OpenSide): Promise<DiffBuckets> {
    const buckets = new DiffBuckets()
    const digests = new KeyDigests({
      seed: this.seed,
      wanted: (_digest, header) => this.isWanted(header),
      done: (digest, header) => buckets.add(digest, header),
    })
    await this.read(open, digests, 'read')
    open.result.keys = buckets.keys
    return buckets
  }

  /** Second reading: only keys of buckets that disagree, each with its record. */
  private async collect(
    open: OpenSide,
    records: DiffSide,
    isSuspect: (nameHigh: number) => boolean,
  ): Promise<void> {
    const digests = new KeyDigests({
      seed: this.seed,
      wanted: (digest, header) => isSuspect(digest.nameHigh) && this.isWanted(header),
      done: (digest, header) => records.add(digest, header),
    })
    await this.read(open, digests, 'compare')
  }

  private async read(
    open: OpenSide,
    visitor: KeyDigests,
    phase: 'read' | 'compare',
  ): Promise<void> {
    const { signal, onProgress } = this.options
    const rdb = await openRdbInput(open.path, { signal })
    try {
      if (rdb.increments.length > 0) throw commandsBehind(open.result.name)
      const parser = new RdbParser(visitor, { file: rdb.name })
      const { summary, trailingBytes } = await pumpRdb(rdb, parser, {
        signal,
        onProgress: (bytes) =>
          onProgress?.({ phase, side: open.side, bytes, totalBytes: rdb.input.sizeBytes }),
      })
      open.result.rdbVersion = summary.version
      if (trailingBytes > 0) throw commandsBehind(open.result.name)
    } finally {
      rdb.close()
    }
  }

  private isWanted(header: KeyHeader): boolean {
    const { filter, nowMs } = this
    if (filter.passesAll) return true
    const { key } = header
    const type = header.kind === KIND.MODULE ? header.moduleName : KIND_NAMES[header.kind]!
    return (
      filter.db(header.dbnum) &&
      filter.name(key.bytes, key.start, key.end) &&
      filter.type(type) &&
      filter.ttl(header.expireAtMs, nowMs)
    )
  }

  private report(records: DiffRecords, result: DiffResult): void {
    const tolerance = this.options.ttlToleranceMs ?? DEFAULT_TTL_TOLERANCE_MS
    let left = this.options.limit ?? DEFAULT_LIMIT
    records.compare(tolerance, this.nowMs, {
      expired: () => (result.keysExpired += 1),
      different: (differences) => {
        result.same = false
        result.keysDifferent += 1
        for (const each of differences) {
          result.differences[each.kind] = (result.differences[each.kind] ?? 0) + 1
          if (left > 0) this.options.onDifference?.(each)
          left -= 1
        }
      },
    })
  }
}

function sideResult(name: string): DiffSideResult {
  return { name, keys: 0, rdbVersion: 0 }
}

/** What commands make of a snapshot only a server can tell. */
function commandsBehind(name: string): ProtocolError {
  return new ProtocolError(
    'ERR_NOT_A_SNAPSHOT',
    `${name} holds commands behind its snapshot, and these are not applied here`,
    {
      hint: 'load it into a server (redis-server on the directory, or rrep replay) and name that',
      details: { file: name },
    },
  )
}
