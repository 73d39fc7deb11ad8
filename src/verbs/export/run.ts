/**
 * `exportKeys`: the keys and values of an RDB in another form, streaming.
 *
 * The file is read once (to salvage what is damaged: twice), in chunks; between them the output is waited for. Memory does not grow
 * with the file or with the size of a value. What could not be carried over is in the result.
 */
import type { Buffer } from 'node:buffer'
import { ByteKernel } from '../../kernels/kernel.js'
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { PieceSize } from '../../bytes/piece-size.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import { RdbParser } from '../../rdb/parser.js'
import { KIND, type KeyHeader, type RdbVisitor } from '../../rdb/visitor.js'
import { METHOD } from '../../rewrite/key-plan.js'
import { CommandWriter } from '../../rewrite/command-writer.js'
import { KeyRewriter } from '../../rewrite/key-rewriter.js'
import {
  parseServerVersion,
  targetCapabilities,
  type TargetCapabilities,
} from '../../servers/capabilities.js'
import { openOutput } from '../../disk/output/open-output.js'
import { JsonKeys } from '../../formats/json-keys.js'
import {
  compileKeyFilter,
  wantsKey,
  withAddressDb,
  type KeyFilter,
} from '../../source/key-filter.js'
import { pumpRdb, RDB_READ_BYTES, type PumpedRdb } from '../../source/rdb-input.js'
import { openKeys, type OpenKeys } from '../keys/open.js'
import { findDamage, type Damage } from '../../source/damage.js'
import { capabilitiesOfWriter } from '../../rewrite/writing-server.js'
import { SizeGate } from '../../source/size-gate.js'
import type { ExportFormat, ExportOptions, ExportResult } from './options.js'

export { lossText } from '../../target/loss-text.js'
export type * from './options.js'

/** A row of many keys is written at once, and a list may be held back until its end. */
const OUTPUT_BYTES = 1 << 20

/** Rejects with FileError, RdbError, AofError, ProtocolError, UsageError or AbortedError. */
export async function exportKeys(options: ExportOptions): Promise<ExportResult> {
  const { source } = options
  const isServer = typeof source !== 'string' && source.kind === 'server'
  const filter = compileKeyFilter(
    withAddressDb(options.filter, isServer ? source.server.address.db : 0),
  )
  // What is damaged cannot be applied: with salvage the snapshot is read as it lies there.
  const baseOnly = options.baseOnly === true || (options.salvage === true && !isServer)
  const keys = await openKeys(source, { ...options, baseOnly, isReadTwice: options.salvage })
  try {
    const damage =
      options.salvage === true
        ? await findDamage(keys.rdb, { file: keys.name, signal: options.signal })
        : undefined
    const output = await openOutput(options.output, {
      compress: options.compress,
      signal: options.signal,
    })
    try {
      const run = new ExportRun(options, filter, keys, damage, (bytes) => output.write(bytes))
      const rdb = damage === undefined ? keys.rdb : await keys.again()
      const parser = new RdbParser(run.visitor, {
        file: keys.name,
        lane: run.visitor.lane,
        timeShiftMs: keys.timeShiftMs,
        salvage: damage !== undefined,
      })
      let pumped: PumpedRdb
      try {
        pumped = await pumpRdb(rdb, parser, {
          signal: options.signal,
          buffer: run.inputBuffer,
          pieces: run.pieces,
          drain: () => output.drain(),
          onProgress: (readBytes, read) =>
            options.onProgress?.({ readBytes, keys: read, totalBytes: rdb.input.sizeBytes }),
        })
      } finally {
        rdb.close()
      }
      run.finish()
      await output.finish()
      return run.result(pumped, output.writtenBytes)
    } catch (error) {
      output.discard()
      throw error
    }
  } finally {
    keys.close()
  }
}

/** The visitor of one export, and what it counts. */
class ExportRun {
  readonly visitor: RdbVisitor & WithLane
  /** What is read into it is written out by kernels where that is possible. */
  readonly inputBuffer: Buffer
  readonly pieces: PieceSize
  private readonly options: ExportOptions
  private readonly format: ExportFormat
  private readonly filter: KeyFilter
  private readonly opened: OpenKeys
  private readonly damage: Damage | undefined
  private readonly out: OutputBuffer
  private readonly nowMs = Date.now()
  private readonly modules: Record<string, number> = {}
  private json: JsonKeys | undefined
  private rewriter: KeyRewriter | undefined
  private writer: CommandWriter | undefined
  private gate: SizeGate | undefined
  private keysFiltered = 0
  private functions = 0
  private respKeys = 0

  constructor(
    options: ExportOptions,
    filter: KeyFilter,
    opened: OpenKeys,
    damage: Damage | undefined,
    write: (bytes: Buffer) => void,
  ) {
    this.options = options
    this.format = options.format ?? 'jsonl'
    this.filter = filter
    this.opened = opened
    this.damage = damage
    const kernel = new ByteKernel(OUTPUT_BYTES + RDB_READ_BYTES)
    this.out = new OutputBuffer(write, kernel.allocate(OUTPUT_BYTES))
    this.pieces = new PieceSize(this.out, RDB_READ_BYTES)
    this.inputBuffer = kernel.allocateInput(RDB_READ_BYTES)
    this.visitor = this.format === 'resp' ? this.respVisitor(kernel) : this.jsonVisitor(kernel)
    const minSizeBytes = options.filter?.minSizeBytes ?? 0
    if (minSizeBytes > 0) {
      this.gate = new SizeGate(this.visitor, minSizeBytes)
      this.visitor = this.gate
    }
  }

  finish(): void {
    if (this.json !== undefined) this.json.finish()
    else this.out.flush()
  }

  result({ summary, trailingBytes }: PumpedRdb, writtenBytes: number): ExportResult {
    const { opened, damage } = this
    const tooSmall = this.gate?.keysTooSmall ?? 0
    return {
      source: opened.built === undefined ? opened.rdb.name : opened.name,
      format: this.format,
      rdbVersion: summary.version,
      checksum: summary.checksum,
      keysRead: summary.keysRead,
      keysWritten: this.keysWritten(),
      keysFiltered: this.keysFiltered + tooSmall,
      commands: this.writer?.commands ?? 0,
      functions: this.rewriter?.functions ?? this.functions,
      writtenBytes,
      modules: this.modules,
      losses: this.rewriter?.losses ?? {},
      inexactStrings: this.json?.inexactStrings ?? 0,
      unorderedValues: this.json?.unorderedValues ?? 0,
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

  private keysWritten(): number {
    return this.json?.keys ?? this.respKeys
  }

  private jsonVisitor(kernel: ByteKernel): JsonKeys {
    this.json = new JsonKeys(this.out, kernel, {
      strings: this.options.strings ?? 'text',
      layout: this.format === 'json' ? 'array' : 'lines',
      wanted: (header) => this.isWanted(header),
      allStrings: this.filter.passesAll && this.damage === undefined,
      functionLibrary: () => (this.functions += 1),
    })
    return this.json
  }

  private respVisitor(kernel: ByteKernel): KeyRewriter {
    const writer = new CommandWriter(this.out)
    this.writer = writer
    this.rewriter = new KeyRewriter({
      target: this.respTarget(),
      writer,
      restore: 'never',
      conflict: 'ignore',
      kernel,
      key: (header) => this.isWanted(header),
      rows:
        this.filter.passesAll && this.damage === undefined
          ? { kernel, taken: (keys) => (this.respKeys += keys) }
          : undefined,
      keyDone: (_header, _stats, outcome) => {
        if (outcome.method !== METHOD.SKIP) this.respKeys += 1
      },
    })
    return this.rewriter
  }

  /** The server that the commands are for: as asked, else the one that wrote the file. */
  private respTarget(): TargetCapabilities {
    const { target } = this.options
    if (target !== undefined) {
      return targetCapabilities(target.family, parseServerVersion(target.version))
    }
    return capabilitiesOfWriter(this.opened.rdb.input.head)
  }

  private isWanted(header: KeyHeader): boolean {
    // Known to be damaged: nothing of it is begun.
    if (this.damage?.keysFrom.has(header.byteOffset) === true) return false
    const wanted = wantsKey(this.filter, header, this.nowMs)
    if (!wanted) this.keysFiltered += 1
    else if (header.kind === KIND.MODULE) {
      this.modules[header.moduleName] = (this.modules[header.moduleName] ?? 0) + 1
    }
    return wanted
  }
}
