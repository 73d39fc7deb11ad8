/**
 * `inspect`: what an RDB holds and where the memory goes, in one pass over the file. `check` reads
 * and verifies everything and counts nothing. Damage does not lose what was read before it: the
 * result says how far it went and holds the error.
 */
import { checkIncrements } from '../../archive/check.js'
import { Distributions } from '../../analyze/distributions/distributions.js'
import { KeyAnalysis } from '../../analyze/key-analysis.js'
import { allocateInputBuffer } from '../../kernels/kernel.js'
import { InputError, RdbError } from '../../errors.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import { RdbParser, type RdbParserOptions } from '../../rdb/parser.js'
import { DEPTH, type LostRegion, type RdbSummary, type RdbVisitor } from '../../rdb/visitor.js'
import { dbOfSource, readSource, type Source, type SourceName } from '../../source/classify.js'
import { compileKeyFilter, withAddressDb } from '../../source/key-filter.js'
import { isFarArchive } from '../../source/fetched-archive.js'
import { pumpRdb, RDB_READ_BYTES, type PumpedRdb, type RdbInput } from '../../source/rdb-input.js'
import { isShardDirectory } from '../../source/shards.js'
import { openKeys, type OpenKeys, type OpenKeysOptions } from '../keys/open.js'
import { canReadInPieces } from '../threads/read-pieces.js'
import type { InspectOptions, InspectResult, ReadOutcome } from './options.js'
import { filterHooks } from './filter-hooks.js'
import { analysisInPieces, checkInPieces, type InPieces } from './pieces.js'

export type * from './options.js'
export type { AnalyzedKey, AnalyzedStrings } from '../../analyze/key-analysis.js'
export type { PrefixTotals } from '../../analyze/prefix-tree.js'
export type { KeyFacts } from '../../analyze/top-keys.js'
export type { DatabaseRow, Row, TtlRow, TypeRow } from '../../analyze/totals.js'

const MAX_LOST = 1000

/** Throws UsageError, FileError, AbortedError; damage of the input is in the result. */
export async function inspect(
  source: SourceName,
  options: InspectOptions = {},
): Promise<InspectResult> {
  return await inspectWith(source, options, () => undefined)
}

/** The same, for who counts more: `begin` gets what the hooks may ask while they are told of keys. */
export async function inspectWith(
  source: SourceName,
  options: InspectOptions,
  begin: (analysis: KeyAnalysis) => void,
): Promise<InspectResult> {
  const nowMs = options.nowMs ?? Date.now()
  const opened = await readSource(source)
  const chosen = withAddressDb(options.filter, dbOfSource(opened))
  const filter = compileKeyFilter(chosen)
  const depth = options.prefixDepth ?? 2
  const report = options.report === true ? reporter(() => analysis, options, nowMs) : undefined
  const { top = 10, separator } = options
  const prefixes =
    depth === 0 ? undefined : { depth, ...(separator === undefined ? {} : { separator }) }
  const analysis: KeyAnalysis = new KeyAnalysis({
    nowMs,
    top,
    prefixes,
    ...filterHooks(filter, chosen, nowMs),
    onKey: report === undefined ? options.onKey : withReport(report, options.onKey),
    onStrings: report === undefined ? options.onStrings : undefined,
    onNotice: (_code, message, byteOffset) =>
      options.onEvent?.({ event: 'notice', message, byteOffset }),
  })
  begin(analysis)
  const walkElements = options.walkElements === true || report !== undefined
  // Who is told of keys is told in their order.
  const tellsKeys = options.onKey !== undefined || options.onStrings !== undefined
  const inPieces =
    tellsKeys || walkElements
      ? undefined
      : analysisInPieces(analysis, { nowMs, top, prefixes, filter: chosen })
  const call = { ...options, walkElements, inPieces }
  const outcome = await readRdbFile(opened, analysis, call, false)
  return {
    ...outcome,
    aux: analysis.auxFields,
    madeMs: analysis.madeMs,
    functions: analysis.functions,
    keys: analysis.keys,
    expires: analysis.expires,
    filteredOut: analysis.filteredOut,
    memory: Math.round(analysis.memory),
    datasetMemory: Math.round(analysis.dataset),
    tableMemory: Math.round(analysis.tableBytes),
    types: analysis.types(),
    encodings: analysis.encodings(),
    databases: analysis.databases(),
    ttl: analysis.ttlRows(),
    top: analysis.top.sorted(),
    prefixes: analysis.prefixes?.largest(options.maxPrefixes ?? 100) ?? [],
    mergedPrefixes: analysis.prefixes?.mergedPrefixes ?? 0,
    report: report?.result(),
  }
}

/** Times to live are as of when the dump was made, if it says that. */
function reporter(
  analysis: () => KeyAnalysis,
  { separator }: InspectOptions,
  nowMs: number,
): Distributions {
  return new Distributions({
    madeMs: () => analysis().madeMs,
    nowMs,
    model: () => analysis().memoryModel,
    separator,
  })
}

function withReport(
  report: Distributions,
  onKey: InspectOptions['onKey'],
): NonNullable<InspectOptions['onKey']> {
  if (onKey === undefined) return (key) => report.add(key)
  return (key) => {
    report.add(key)
    onKey(key)
  }
}

/**
 * Reads everything, verifies the checksum and the structure to the last byte of every value.
 * Throws UsageError, FileError, AbortedError; damage is in the result. Of an archive on this machine all
 * increments are compared with their hashes first: AofError.
 */
export async function checkRdb(
  source: SourceName,
  options: InspectOptions = {},
): Promise<ReadOutcome> {
  const opened = await readSource(source)
  const path = opened.kind === 'directory' ? opened.path : undefined
  // What is fetched from a bucket is compared as it comes.
  const isHere = path !== undefined && !isFarArchive(opened) && !isShardDirectory(path)
  const increments = isHere ? await checkIncrements(path, { signal: options.signal }) : undefined
  const call = { ...options, inPieces: checkInPieces }
  const outcome = await readRdbFile(opened, { key: () => DEPTH.SKIP }, call, true, true)
  return increments === undefined ? outcome : { ...outcome, increments }
}

/** Enough for several large strings, which the kernel then checks side by side. */
const CHECK_READ_BYTES = 2 << 20

/** Reads the whole of a file for a visitor. For `inspect` and its kin. */
export async function readRdbFile(
  source: SourceName,
  visitor: RdbVisitor & WithLane,
  options: InspectOptions & Pick<ReadKeysOptions, 'inPieces'>,
  validate: boolean,
  checkOnly = false,
): Promise<ReadOutcome> {
  const keys = await openForReading(await readSource(source), options)
  try {
    return await readKeys(keys, keys.rdb, visitor, { ...options, validate, checkOnly })
  } finally {
    keys.close()
  }
}

/** What is damaged cannot be applied: with salvage the snapshot is read as it lies there. */
export async function openForReading(
  source: Source,
  options: OpenKeysOptions & Pick<InspectOptions, 'salvage'>,
): Promise<OpenKeys> {
  const baseOnly = options.baseOnly === true || options.salvage === true
  return await openKeys(source, {
    ...options,
    baseOnly: source.kind === 'server' ? false : baseOnly,
  })
}

export type ReadKeysOptions = Pick<
  InspectOptions,
  'salvage' | 'walkElements' | 'signal' | 'drain' | 'onProgress' | 'threads' | 'pieceSizes'
> & {
  readonly validate?: boolean
  readonly checkOnly?: boolean
  /** With several threads. */
  readonly inPieces?: InPieces | undefined
}

/** Reads one opening of them to its end: damage is in the result. */
export async function readKeys(
  keys: OpenKeys,
  rdb: RdbInput,
  visitor: RdbVisitor & WithLane,
  { validate = false, checkOnly = false, ...options }: ReadKeysOptions,
): Promise<ReadOutcome> {
  const { name } = keys
  const { input } = rdb
  const lost: LostRegion[] = []
  let lostRegions = 0
  let lostBytes = 0
  visitor.lost = (region) => {
    lostRegions += 1
    lostBytes += region.toByte - region.fromByte
    if (lost.length < MAX_LOST) lost.push(region)
  }
  const { salvage = false, threads = 1 } = options
  const reading: RdbParserOptions = {
    file: name,
    lane: visitor.lane,
    checksum: 'report',
    timeShiftMs: keys.timeShiftMs,
    salvage,
    validate,
    checkOnly,
    walkBlobs: options.walkElements === true,
  }
  let parser = new RdbParser(visitor, reading)
  const buffer = allocateInputBuffer(checkOnly ? CHECK_READ_BYTES : RDB_READ_BYTES)
  const onProgress = (done: number, keysRead: number): void => {
    const total = input.sizeBytes
    options.onProgress?.({ phase: 'read', done, total, unit: 'bytes', keys: keysRead })
  }
  const inPieces = async (): Promise<PumpedRdb | undefined> => {
    if (options.inPieces === undefined || salvage || !canReadInPieces(rdb, threads))
      return undefined
    const begun = (begun: RdbParser): void => void (parser = begun)
    const call = { threads, visitor, parser: reading, buffer, options, onProgress, begun }
    const pumped = await options.inPieces(rdb, call)
    if (pumped === undefined) parser = new RdbParser(visitor, reading)
    return pumped
  }
  let summary: RdbSummary | undefined
  let error: InputError | undefined
  let trailingBytes = 0
  try {
    const { signal, drain } = options
    const pumped =
      (await inPieces()) ?? (await pumpRdb(rdb, parser, { signal, buffer, drain, onProgress }))
    summary = pumped.summary
    trailingBytes = pumped.trailingBytes
    error = damageOf(summary, lost[0], name)
    // Commands of an AOF are counted as such; anything else behind the end was not written there.
    if (checkOnly && trailingBytes > 0 && !pumped.trailingZeros && keys.commandsLeftOut === 0) {
      error ??= trailingError(summary, trailingBytes, name)
    }
  } catch (thrown) {
    // Of what is no RDB there is nothing to report.
    if (!(thrown instanceof InputError) || parser.version === 0) throw thrown
    error = thrown
  }
  return {
    file: keys.built !== undefined ? name : keys.rdb.name,
    bytes: input.sizeBytes ?? input.consumedBytes,
    compression: input.compression,
    family: parser.family,
    rdbVersion: parser.version,
    checksum: summary?.checksum ?? 'unchecked',
    complete: error === undefined,
    error,
    keysRead: parser.keysRead,
    trailingBytes,
    commandsLeftOut: keys.commandsLeftOut,
    built: keys.built,
    lost,
    lostRegions,
    lostBytes,
    notices: summary?.notices ?? {},
  }
}

function trailingError({ rdbBytes, keysRead }: RdbSummary, bytes: number, file: string): RdbError {
  return new RdbError(
    'ERR_RDB_CORRUPT',
    { file, byteOffset: rdbBytes, reading: 'end', keysRead },
    `${bytes} bytes stand behind the end that are no part of it`,
    { hint: 'servers load what is in front of them; the file was not written as it is now' },
  )
}

function damageOf(
  summary: RdbSummary,
  firstLost: LostRegion | undefined,
  file: string,
): InputError | undefined {
  if (firstLost?.error instanceof InputError) return firstLost.error
  if (summary.checksum !== 'bad') return undefined
  return new RdbError(
    'ERR_RDB_CORRUPT',
    { file, byteOffset: summary.rdbBytes - 8, reading: 'checksum', keysRead: summary.keysRead },
    'the checksum does not match: some byte before it is not what the server wrote',
  )
}
