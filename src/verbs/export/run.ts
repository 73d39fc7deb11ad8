/**
 * `exportKeys`: the keys and values of an RDB in another form, streaming.
 *
 * The file is read once (to salvage what is damaged: twice), in chunks; between them the output is
 * waited for. Memory does not grow with the file or with the size of a value. What could not be
 * carried over is in the result.
 */
import type { Buffer } from 'node:buffer'
import { InputError, UsageError } from '../../errors.js'
import { ByteKernel } from '../../kernels/kernel.js'
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { PieceSize } from '../../bytes/piece-size.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import { RdbParser } from '../../rdb/parser.js'
import { KIND, type RdbSummary, type KeyHeader, type RdbVisitor } from '../../rdb/visitor.js'
import { parseServerVersion, targetCapabilities } from '../../servers/capabilities.js'
import { KEY_FORMATS, type KeyFormatName } from '../../formats/formats.js'
import type { KeyFormat, KeyFormatRun, KeyTally, KeyWriter } from '../../formats/key-format.js'
import {
  compileKeyFilter,
  wantsKey,
  withAddressDb,
  type KeyFilter,
} from '../../source/key-filter.js'
import { pumpRdb, RDB_READ_BYTES, type PumpedRdb } from '../../source/rdb-input.js'
import type { OpenKeys } from '../keys/open.js'
import { openParts, type PartedOutput } from './parted-output.js'
import { openSources } from './sources.js'
import { findDamage, type Damage } from '../../source/damage.js'
import { dbOfSource, readSource, type Source, type SourceName } from '../../source/classify.js'
import { SizeGate } from '../../source/size-gate.js'
import { KeyChanges } from './changes.js'
import type { ExportOptions, ExportResult } from './options.js'

export { lossText } from '../../target/loss-text.js'
export type * from './options.js'
export type { Split } from './parts.js'

/** Of one of many parts. */
const LEAST_OUTPUT_BYTES = 1 << 16
/** What a kernel wants to have to spare behind each. */
const OUTPUT_SLACK_BYTES = 64
/** A row of many keys is written at once, and a list may be held back until its end. */
const OUTPUT_BYTES = 1 << 20

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
      const run = new ExportRun(options, filter, keys, damage, sources.length, output)
      const rdb = damage === undefined ? keys.rdb : await keys.again()
      const parser = new RdbParser(run.visitor, {
        file: keys.name,
        lane: run.visitor.lane,
        timeShiftMs: keys.timeShiftMs,
        salvage: damage !== undefined,
        walkBlobs: run.format.walkBlobs ?? false,
      })
      let pumped: PumpedRdb
      try {
        pumped = await pumpRdb(rdb, parser, {
          signal: options.signal,
          buffer: run.inputBuffer,
          pieces: run.pieces,
          drain: () => {
            run.drain()
            return output.drain()
          },
          onProgress: (done, keys) =>
            options.onProgress?.({
              phase: 'read',
              done,
              total: rdb.input.sizeBytes,
              unit: 'bytes',
              keys,
            }),
        })
      } catch (error) {
        if (error instanceof InputError && parser.version > 0) {
          const { version, keysRead } = parser
          const read = { version, keysRead, checksum: 'unchecked' as const, notices: {} }
          error.partial = { ...run.result(read, 0), error }
        }
        throw error
      } finally {
        rdb.close()
      }
      run.finish()
      await output.finish()
      return run.result(pumped.summary, pumped.trailingBytes)
    } catch (error) {
      output.discard()
      throw error
    }
  } finally {
    keys.close()
  }
}

/** One export: the writer of its format behind the filters, and what they count. */
class ExportRun {
  readonly visitor: RdbVisitor & WithLane
  readonly format: KeyFormat
  /** What is read into it is written out by kernels where that is possible. */
  readonly inputBuffer: Buffer
  readonly pieces: PieceSize
  readonly #name: KeyFormatName
  readonly #filter: KeyFilter
  readonly #opened: OpenKeys
  readonly #damage: Damage | undefined
  readonly #changes: KeyChanges | undefined
  readonly #outputs: PartedOutput
  readonly #writer: KeyWriter
  readonly #gate: SizeGate | undefined
  readonly #tally: KeyTally | undefined
  readonly #nowMs = Date.now()
  readonly #modules: Record<string, number> = {}
  #keysFiltered = 0
  /** Whether strings of this db are wanted at all. */
  #stringsDb = -1
  #takesStrings = false

  constructor(
    options: ExportOptions,
    filter: KeyFilter,
    opened: OpenKeys,
    damage: Damage | undefined,
    sources: number,
    outputs: PartedOutput,
  ) {
    this.#name = options.format ?? 'jsonl'
    this.#tally = options.loader?.tally
    this.format = KEY_FORMATS[this.#name]
    this.#filter = filter
    this.#opened = opened
    this.#damage = damage
    const changes = KeyChanges.of(options, sources)
    this.#changes = changes
    const lzf = options.lzf ?? false
    const isDumpOnly = changes?.areMoved === true || options.split !== undefined || lzf
    const movesKeys = this.format.movesKeys === true
    if (isDumpOnly && !movesKeys) {
      throw new UsageError(
        `only a dump takes keys that go elsewhere, is split, or compressed inside: not ${this.#name}`,
        {
          hint: 'choose the format rdb, and export that',
        },
      )
    }
    const { target } = options
    this.#outputs = outputs
    const count = outputs.outputs.length
    const outputBytes = Math.max(LEAST_OUTPUT_BYTES, Math.floor(OUTPUT_BYTES / count))
    const kernel = new ByteKernel(count * (outputBytes + OUTPUT_SLACK_BYTES) + RDB_READ_BYTES)
    const outs = outputs.outputs.map(
      (output) => new OutputBuffer((bytes) => output.write(bytes), kernel.allocate(outputBytes)),
    )
    const out = outs[0]!
    this.pieces = new PieceSize(out, RDB_READ_BYTES)
    this.inputBuffer = kernel.allocateInput(RDB_READ_BYTES)
    const minSizeBytes = options.filter?.minSizeBytes ?? 0
    const isMeasured = this.format.measuresMemory === true
    this.#writer = this.format.create({
      out,
      kernel,
      head: opened.rdb.input.head,
      wanted: (header) => this.#isWanted(header),
      wantedString:
        damage === undefined && changes === undefined && !filter.asksIdle
          ? this.#isStringWanted
          : undefined,
      place: changes && movesKeys ? (header, place) => changes.place(header, place) : undefined,
      split: outputs.partOf && { outs, partOf: outputs.partOf },
      lzf,
      isFree:
        changes === undefined && filter.passesAll && damage === undefined && minSizeBytes === 0,
      minSizeBytes: isMeasured ? minSizeBytes : 0,
      strings: options.strings ?? 'text',
      timeShiftMs: opened.timeShiftMs,
      target: target && targetCapabilities(target.family, parseServerVersion(target.version)),
      loader: options.loader,
    })
    this.#gate =
      minSizeBytes > 0 && !isMeasured ? new SizeGate(this.#writer.visitor, minSizeBytes) : undefined
    this.visitor = this.#gate ?? this.#writer.visitor
  }

  /** Between two chunks. */
  drain(): void {
    this.#writer.drain?.()
  }

  finish(): void {
    this.#writer.finish()
  }

  result(
    summary: Pick<RdbSummary, 'version' | 'checksum' | 'keysRead' | 'notices'>,
    trailingBytes: number,
  ): ExportResult {
    const opened = this.#opened
    const damage = this.#damage
    const { keys, tooSmall = 0, partKeys, ...counts } = this.#writer.counts
    return {
      source: opened.built === undefined ? opened.rdb.name : opened.name,
      format: this.#name,
      rdbVersion: summary.version,
      checksum: summary.checksum,
      keysRead: summary.keysRead,
      keysWritten: keys,
      keysFiltered: this.#keysFiltered + (this.#gate?.keysTooSmall ?? 0) + tooSmall,
      keysDropped: this.#changes?.dropped ?? 0,
      keysInConflict: this.#changes?.conflicts ?? 0,
      ...counts,
      writtenBytes: this.#outputs.writtenBytes,
      parts: this.#outputs.told(partKeys),
      modules: this.#modules,
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

  readonly #isStringWanted: KeyFormatRun['wantedString'] = (dbnum, key, start, end, expireAtMs) => {
    const filter = this.#filter
    if (dbnum !== this.#stringsDb) {
      this.#stringsDb = dbnum
      this.#takesStrings = filter.db(dbnum) && filter.type('string')
    }
    const isWanted =
      this.#takesStrings && filter.ttl(expireAtMs, this.#nowMs) && filter.name(key, start, end)
    if (!isWanted) this.#keysFiltered += 1
    this.#tally?.string(dbnum, expireAtMs, isWanted)
    return isWanted
  }

  #isWanted(header: KeyHeader): boolean {
    // Known to be damaged: nothing of it is begun.
    if (this.#damage?.keysFrom.has(header.byteOffset) === true) return false
    const wanted = wantsKey(this.#filter, header, this.#nowMs)
    if (!wanted) this.#keysFiltered += 1
    else if (this.format.movesKeys !== true && this.#changes?.isFirst(header) === false) {
      return false
    } else if (header.kind === KIND.MODULE) {
      this.#modules[header.moduleName] = (this.#modules[header.moduleName] ?? 0) + 1
    }
    return wanted
  }
}
