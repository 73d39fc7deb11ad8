/** One export: the writer of its format behind the filters, and what they count. */
import type { Buffer } from 'node:buffer'
import { OutputBuffer, type FlushBytes } from '../../bytes/output-buffer.js'
import { PieceSize } from '../../bytes/piece-size.js'
import { KEY_FORMATS, type KeyFormatName } from '../../formats/formats.js'
import type { KeyFormat, KeyFormatRun, KeyTally, KeyWriter } from '../../formats/key-format.js'
import { ByteKernel } from '../../kernels/kernel.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import { KIND, type KeyHeader, type RdbVisitor, type Slice } from '../../rdb/visitor.js'
import { parseServerVersion, targetCapabilities } from '../../servers/capabilities.js'
import type { Damage } from '../../source/damage.js'
import { wantsKey, type KeyFilter } from '../../source/key-filter.js'
import { SizeGate } from '../../source/size-gate.js'
import type { ExportTally } from '../threads/options.js'
import type { KeyChanges } from './changes.js'
import type { ExportOptions } from './options.js'

/** Of one of many parts. */
const LEAST_OUTPUT_BYTES = 1 << 16
/** What a kernel wants to have to spare behind each. */
const OUTPUT_SLACK_BYTES = 64
/** A row of many keys is written at once, and a list may be held back until its end. */
const OUTPUT_BYTES = 1 << 20

/** What is read into it is written out by kernels where that is possible. */
export interface ExportMemory {
  readonly kernel: ByteKernel
  readonly input: Buffer
  readonly outputs: readonly Buffer[]
}

export interface ExportParts {
  readonly filter: KeyFilter
  /** The first bytes of the dump: magic and AUX fields. */
  readonly head: Buffer
  readonly timeShiftMs: number
  /** Where output goes: one, or one for each part that `partOf` tells. */
  readonly sinks: readonly FlushBytes[]
  readonly memory: ExportMemory
  readonly nowMs: number
  readonly partOf?: ((key: Slice) => number) | undefined
  readonly damage?: Damage | undefined
  readonly changes?: KeyChanges | undefined
  /** Others write what stands in front of it and behind. */
  readonly isPiece?: boolean | undefined
}

export class ExportRun {
  readonly visitor: RdbVisitor & WithLane
  readonly format: KeyFormat
  readonly pieces: PieceSize
  readonly #filter: KeyFilter
  readonly #parts: ExportParts
  readonly #out: OutputBuffer
  readonly #writer: KeyWriter
  readonly #gate: SizeGate | undefined
  readonly #tally: KeyTally | undefined
  readonly #modules: Record<string, number> = {}
  #keysFiltered = 0
  /** Whether strings of this db are wanted at all. */
  #stringsDb = -1
  #takesStrings = false

  static memory(outputs: number, readBytes: number): ExportMemory {
    const outputBytes = Math.max(LEAST_OUTPUT_BYTES, Math.floor(OUTPUT_BYTES / outputs))
    const kernel = new ByteKernel(outputs * (outputBytes + OUTPUT_SLACK_BYTES) + readBytes)
    return {
      kernel,
      outputs: Array.from({ length: outputs }, () => kernel.allocate(outputBytes)),
      input: kernel.allocateInput(readBytes),
    }
  }

  constructor(
    options: Pick<ExportOptions, 'format' | 'lzf' | 'loader' | 'target' | 'filter' | 'strings'>,
    parts: ExportParts,
  ) {
    const name: KeyFormatName = options.format ?? 'jsonl'
    const { filter, memory, changes, damage } = parts
    this.#parts = parts
    this.#tally = options.loader?.tally
    this.format = KEY_FORMATS[name]
    this.#filter = filter
    const outs = parts.sinks.map((sink, index) => new OutputBuffer(sink, memory.outputs[index]))
    this.#out = outs[0]!
    this.pieces = new PieceSize(this.#out, memory.input.length)
    const minSizeBytes = options.filter?.minSizeBytes ?? 0
    const isMeasured = this.format.measuresMemory === true
    const { target } = options
    const movesKeys = this.format.movesKeys === true
    this.#writer = this.format.create({
      out: this.#out,
      kernel: memory.kernel,
      head: parts.head,
      wanted: (header) => this.#isWanted(header),
      wantedString:
        damage === undefined && changes === undefined && !filter.asksIdle
          ? this.#isStringWanted
          : undefined,
      place: changes && movesKeys ? (header, place) => changes.place(header, place) : undefined,
      scrub: changes?.scrubber && ((inner) => changes.scrubber!.values(inner)),
      split: parts.partOf && { outs, partOf: parts.partOf },
      lzf: options.lzf ?? false,
      isFree:
        changes === undefined && filter.passesAll && damage === undefined && minSizeBytes === 0,
      minSizeBytes: isMeasured ? minSizeBytes : 0,
      strings: options.strings ?? 'text',
      timeShiftMs: parts.timeShiftMs,
      target: target && targetCapabilities(target.family, parseServerVersion(target.version)),
      loader: options.loader,
      isPiece: parts.isPiece,
    })
    this.#gate =
      minSizeBytes > 0 && !isMeasured ? new SizeGate(this.#writer.visitor, minSizeBytes) : undefined
    this.visitor = this.#gate ?? this.#writer.visitor
  }

  /** Between two chunks. */
  drain(): void {
    this.#writer.drain?.()
  }

  /** Hands out what there is; others write keys next, and then this one again. */
  letOthersWrite(): void {
    this.#writer.goOn?.()
    this.#out.flush()
  }

  /** What others wrote last was for this db. */
  goOnIn(dbnum: number): void {
    this.#writer.goOnIn?.(dbnum)
  }

  finish(): void {
    this.#writer.finish()
  }

  tally(): ExportTally {
    const { counts } = this.#writer
    const small = this.#gate?.keysTooSmall ?? 0
    const keysFiltered = this.#keysFiltered + small + (counts.tooSmall ?? 0)
    return { counts, keysFiltered, modules: this.#modules, selectedDb: this.#writer.selectedDb }
  }

  readonly #isStringWanted: KeyFormatRun['wantedString'] = (dbnum, key, start, end, expireAtMs) => {
    const filter = this.#filter
    if (dbnum !== this.#stringsDb) {
      this.#stringsDb = dbnum
      this.#takesStrings = filter.db(dbnum) && filter.type('string')
    }
    const isWanted =
      this.#takesStrings &&
      filter.ttl(expireAtMs, this.#parts.nowMs) &&
      filter.name(key, start, end)
    if (!isWanted) this.#keysFiltered += 1
    this.#tally?.string(dbnum, expireAtMs, isWanted)
    return isWanted
  }

  #isWanted(header: KeyHeader): boolean {
    const { damage, changes, nowMs } = this.#parts
    // Known to be damaged: nothing of it is begun.
    if (damage?.keysFrom.has(header.byteOffset) === true) return false
    const wanted = wantsKey(this.#filter, header, nowMs)
    if (!wanted) this.#keysFiltered += 1
    else if (this.format.movesKeys !== true && changes?.isFirst(header) === false) {
      return false
    } else if (header.kind === KIND.MODULE) {
      this.#modules[header.moduleName] = (this.#modules[header.moduleName] ?? 0) + 1
    }
    return wanted
  }
}

/** What two have written together. */
export function addTallies(a: ExportTally, b: ExportTally): ExportTally {
  const counts = { ...a.counts }
  counts.keys += b.counts.keys
  counts.commands += b.counts.commands
  counts.functions += b.counts.functions
  counts.inexactStrings += b.counts.inexactStrings
  counts.unorderedValues += b.counts.unorderedValues
  counts.losses = added(a.counts.losses, b.counts.losses)
  return {
    counts,
    modules: added(a.modules, b.modules),
    keysFiltered: a.keysFiltered + b.keysFiltered,
    selectedDb: b.selectedDb,
  }
}

function added<Name extends string>(
  a: Readonly<Partial<Record<Name, number>>>,
  b: Readonly<Partial<Record<Name, number>>>,
): Record<Name, number> {
  const sums = new Map(Object.entries(a) as [Name, number][])
  for (const [name, times] of Object.entries(b) as [Name, number][]) {
    sums.set(name, (sums.get(name) ?? 0) + times)
  }
  return Object.fromEntries(sums) as Record<Name, number>
}
