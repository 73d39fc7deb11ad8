/**
 * `exportKeys`: the keys and values of an RDB in another form, streaming.
 *
 * The file is read once (to salvage what is damaged: twice), in chunks; between them the output is
 * waited for. Memory does not grow with the file or with the size of a value. What could not be
 * carried over is in the result.
 */
import type { Buffer } from 'node:buffer'
import type { Output } from '../../disk/output/output.js'
import { InputError, UsageError } from '../../errors.js'
import { RdbParser, type RdbParserOptions } from '../../rdb/parser.js'
import type { RdbSummary } from '../../rdb/visitor.js'
import { KEY_FORMATS } from '../../formats/formats.js'
import type { KeyFormat } from '../../formats/key-format.js'
import { compileKeyFilter, withAddressDb, type KeyFilter } from '../../source/key-filter.js'
import { pumpRdb, RDB_READ_BYTES, type PumpedRdb } from '../../source/rdb-input.js'
import type { OpenKeys } from '../keys/open.js'
import { openParts, type PartedOutput } from './parted-output.js'
import { openSources } from './sources.js'
import { findDamage, type Damage } from '../../source/damage.js'
import { dbOfSource, readSource, type Source, type SourceName } from '../../source/classify.js'
import { KeyChanges } from './changes.js'
import { ExportRun } from './export-run.js'
import type { ExportOptions, ExportResult } from './options.js'
import { goesInThreads, JoinedOutput } from './threads.js'
import { parquetByDuckdb } from './through-duckdb.js'

export { lossText } from '../../target/loss-text.js'
export type * from './options.js'
export { parseScrubRules, type ScrubOptions } from '../../target/scrub/rules.js'
export type { Split } from './parts.js'

/** Rejects with FileError, RdbError, AofError, ProtocolError, UsageError or AbortedError. */
export async function exportKeys(
  names: SourceName | readonly SourceName[],
  options: ExportOptions,
): Promise<ExportResult> {
  const format = KEY_FORMATS[options.format ?? 'jsonl']
  if (format.isPacked === true && options.compress !== undefined) {
    throw new UsageError(`${format.extensions[0]!} is compressed inside, and read at any place`, {
      hint: 'write it without .gz or .zst',
    })
  }
  await format.load?.()
  const sources: Source[] = []
  for (const name of Array.isArray(names) ? (names as SourceName[]) : [names as SourceName]) {
    sources.push(await readSource(name))
  }
  const written = await parquetByDuckdb(sources, options)
  if (written !== undefined) return written
  // Of two keys the first one read is kept.
  if (options.onConflict === 'last') sources.reverse()
  const isServer = sources.some((source) => source.kind === 'server')
  const dbs = new Set(sources.map(dbOfSource))
  if (dbs.size > 1) throw new UsageError('the addresses name several databases')
  const filter = compileKeyFilter(withAddressDb(options.filter, [...dbs][0] ?? 0))
  // What is damaged cannot be applied: with salvage the snapshot is read as it lies there.
  const baseOnly = options.baseOnly === true || (options.salvage === true && !isServer)
  const isReadTwice = options.salvage
  const keys = await openSources(sources, { ...options, baseOnly, isReadTwice })
  try {
    const damage =
      options.salvage === true
        ? await findDamage(keys.rdb, { file: keys.name, signal: options.signal })
        : undefined
    const output = await openParts(options)
    try {
      return await writeKeys({ options, filter, keys, damage, output, sources: sources.length })
    } catch (error) {
      output.discard()
      throw error
    }
  } finally {
    keys.close()
  }
}

interface Writing {
  readonly options: ExportOptions
  readonly filter: KeyFilter
  readonly keys: OpenKeys
  readonly damage: Damage | undefined
  readonly output: PartedOutput
  readonly sources: number
}

async function writeKeys(writing: Writing): Promise<ExportResult> {
  const { options, filter, keys, damage, output, sources } = writing
  const { signal } = options
  const changes = KeyChanges.of(options, sources)
  checkForm(options, changes)
  const rdb = damage === undefined ? keys.rdb : await keys.again()
  const isDependent = damage !== undefined || changes !== undefined || sources > 1
  const joined = goesInThreads(options, rdb, { dependsOnOthers: isDependent })
    ? new JoinedOutput(options, output)
    : undefined
  const memory = ExportRun.memory(output.outputs.length, RDB_READ_BYTES)
  const nowMs = Date.now()
  const run = new ExportRun(options, {
    filter,
    head: keys.rdb.input.head,
    timeShiftMs: keys.timeShiftMs,
    sinks: joined === undefined ? output.outputs.map((each) => writeTo(each)) : [joined.write],
    memory,
    nowMs,
    partOf: output.partOf,
    damage,
    changes,
  })
  const reading: RdbParserOptions = {
    file: keys.name,
    timeShiftMs: keys.timeShiftMs,
    salvage: damage !== undefined,
    walkBlobs: run.format.walkBlobs ?? false,
  }
  let parser = new RdbParser(run.visitor, { ...reading, lane: run.visitor.lane })
  const onProgress = (done: number, read: number): void => {
    const total = rdb.input.sizeBytes
    options.onProgress?.({ phase: 'read', done, total, unit: 'bytes', keys: read })
  }
  const result = (
    summary: Pick<RdbSummary, 'version' | 'checksum' | 'keysRead' | 'notices'>,
    trailingBytes: number,
  ): ExportResult => resultOf(writing, { run, joined, changes }, summary, trailingBytes)
  let pumped: PumpedRdb
  try {
    pumped =
      joined === undefined
        ? await pumpRdb(rdb, parser, {
            signal,
            buffer: memory.input,
            pieces: run.pieces,
            drain: () => {
              run.drain()
              return output.drain()
            },
            onProgress,
          })
        : await joined.read(rdb, run, {
            options,
            parser: reading,
            memory,
            nowMs,
            begun: (begun) => (parser = begun),
            onProgress,
          })
  } catch (error) {
    if (error instanceof InputError && parser.version > 0) {
      const { version, keysRead } = parser
      const read = { version, keysRead, checksum: 'unchecked' as const, notices: {} }
      error.partial = { ...result(read, 0), error }
    }
    throw error
  } finally {
    rdb.close()
  }
  run.finish()
  await output.finish()
  return result(pumped.summary, pumped.trailingBytes)
}

function writeTo(output: Output): (bytes: Buffer) => void {
  return (bytes) => output.write(bytes)
}

function checkForm(options: ExportOptions, changes: KeyChanges | undefined): void {
  const { format = 'jsonl', split, lzf } = options
  const isDumpOnly = changes?.areMoved === true || split !== undefined || lzf === true
  const { movesKeys }: KeyFormat = KEY_FORMATS[format]
  if (isDumpOnly && movesKeys !== true) {
    throw new UsageError(
      `only a dump takes keys that go elsewhere, is split, or compressed inside: not ${format}`,
      { hint: 'choose the format rdb, and export that' },
    )
  }
}

function resultOf(
  { options, keys: opened, damage, output }: Writing,
  {
    run,
    joined,
    changes,
  }: { run: ExportRun; joined: JoinedOutput | undefined; changes: KeyChanges | undefined },
  summary: Pick<RdbSummary, 'version' | 'checksum' | 'keysRead' | 'notices'>,
  trailingBytes: number,
): ExportResult {
  const tally = joined === undefined ? run.tally() : joined.tally(run.tally())
  const { keys, partKeys, ...counts } = { ...tally.counts }
  // Told with the filtered.
  delete counts.tooSmall
  return {
    source: opened.built === undefined ? opened.rdb.name : opened.name,
    format: options.format ?? 'jsonl',
    rdbVersion: summary.version,
    checksum: summary.checksum,
    keysRead: summary.keysRead,
    keysWritten: keys,
    keysFiltered: tally.keysFiltered,
    keysDropped: changes?.dropped ?? 0,
    scrubbed: changes?.scrubber?.counts,
    keysInConflict: changes?.conflicts ?? 0,
    ...counts,
    writtenBytes: output.writtenBytes,
    parts: output.told(partKeys),
    modules: tally.modules,
    notices: summary.notices,
    trailingBytes,
    commandsLeftOut: opened.commandsLeftOut,
    built: opened.built,
    lost: damage?.lost ?? [],
    lostRegions: damage?.lostRegions ?? 0,
    lostBytes: damage?.lostBytes ?? 0,
    error: damage?.error,
  }
}
