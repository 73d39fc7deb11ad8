/**
 * `exportKeys`: the keys and values of an RDB in another form, streaming.
 *
 * The file is read once, in chunks; between them the output is waited for. Memory does not grow
 * with the file or with the size of a value. What could not be carried over is in the result.
 */
import type { Buffer } from 'node:buffer'
import { ByteKernel } from '../../kernels/kernel.js'
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { RdbParser } from '../../rdb/parser.js'
import {
  KIND,
  KIND_NAMES,
  type KeyHeader,
  type RdbSummary,
  type RdbVisitor,
} from '../../rdb/visitor.js'
import { METHOD } from '../../rewrite/key-plan.js'
import { CommandWriter } from '../../rewrite/command-writer.js'
import { KeyRewriter } from '../../rewrite/key-rewriter.js'
import {
  parseServerVersion,
  targetCapabilities,
  type TargetCapabilities,
} from '../../servers/capabilities.js'
import { openOutput } from '../../disk/open-output.js'
import { JsonKeys } from '../../formats/json-keys.js'
import { compileKeyFilter, type KeyFilter } from '../../source/key-filter.js'
import { openRdbInput, pumpRdb, RDB_READ_BYTES, type RdbInput } from '../../source/rdb-input.js'
import { capabilitiesOfWriter } from '../../rewrite/writing-server.js'
import { SizeGate } from '../../source/size-gate.js'
import type { ExportFormat, ExportOptions, ExportResult } from './options.js'

export type * from './options.js'

/** A row of many keys is written at once, and a list may be held back until its end. */
const OUTPUT_BYTES = 1 << 20

/** Rejects with FileError, RdbError, AofError, ProtocolError, UsageError or AbortedError. */
export async function exportKeys(options: ExportOptions): Promise<ExportResult> {
  const filter = compileKeyFilter(options.filter)
  const rdb = await openRdbInput(options.source, { stdin: options.stdin, signal: options.signal })
  try {
    const output = await openOutput(options.output, {
      compress: options.compress,
      signal: options.signal,
    })
    try {
      const run = new ExportRun(options, filter, rdb, (bytes) => output.write(bytes))
      const parser = new RdbParser(run.visitor, { file: rdb.name })
      const { summary, trailingBytes } = await pumpRdb(rdb, parser, {
        signal: options.signal,
        buffer: run.inputBuffer,
        drain: () => output.drain(),
        onProgress: (readBytes, keys) =>
          options.onProgress?.({ readBytes, keys, totalBytes: rdb.input.sizeBytes }),
      })
      run.finish()
      await output.finish()
      return run.result(summary, trailingBytes, output.writtenBytes)
    } catch (error) {
      output.discard()
      throw error
    }
  } finally {
    rdb.close()
  }
}

/** The visitor of one export, and what it counts. */
class ExportRun {
  readonly visitor: RdbVisitor
  /** What is read into it is written out in rows where that is possible. */
  readonly inputBuffer: Buffer
  private readonly options: ExportOptions
  private readonly format: ExportFormat
  private readonly filter: KeyFilter
  private readonly rdb: RdbInput
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
    rdb: RdbInput,
    write: (bytes: Buffer) => void,
  ) {
    this.options = options
    this.format = options.format ?? 'jsonl'
    this.filter = filter
    this.rdb = rdb
    const kernel = new ByteKernel(OUTPUT_BYTES + RDB_READ_BYTES)
    this.out = new OutputBuffer(write, kernel.allocate(OUTPUT_BYTES))
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

  result(summary: RdbSummary, trailingBytes: number, writtenBytes: number): ExportResult {
    const tooSmall = this.gate?.keysTooSmall ?? 0
    return {
      source: this.rdb.name,
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
      increments: this.rdb.increments,
    }
  }

  private keysWritten(): number {
    return this.json?.keys ?? this.respKeys
  }

  private jsonVisitor(kernel: ByteKernel): RdbVisitor {
    this.json = new JsonKeys(this.out, kernel, {
      strings: this.options.strings ?? 'text',
      layout: this.format === 'json' ? 'array' : 'lines',
      wanted: (header) => this.isWanted(header),
      allStrings: this.filter.passesAll,
      functionLibrary: () => (this.functions += 1),
    })
    return this.json
  }

  private respVisitor(kernel: ByteKernel): RdbVisitor {
    const writer = new CommandWriter(this.out)
    this.writer = writer
    this.rewriter = new KeyRewriter({
      target: this.respTarget(),
      writer,
      restore: 'never',
      conflict: 'ignore',
      kernel,
      key: (header) => this.isWanted(header),
      rows: this.filter.passesAll
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
    return capabilitiesOfWriter(this.rdb.input.head)
  }

  private isWanted(header: KeyHeader): boolean {
    const { filter } = this
    const { key } = header
    const wanted =
      filter.passesAll ||
      (filter.db(header.dbnum) &&
        filter.name(key.bytes, key.start, key.end) &&
        filter.type(typeName(header)) &&
        filter.ttl(header.expireAtMs, this.nowMs))
    if (!wanted) this.keysFiltered += 1
    else if (header.kind === KIND.MODULE) {
      this.modules[header.moduleName] = (this.modules[header.moduleName] ?? 0) + 1
    }
    return wanted
  }
}

function typeName(header: KeyHeader): string {
  return header.kind === KIND.MODULE ? header.moduleName : KIND_NAMES[header.kind]!
}
