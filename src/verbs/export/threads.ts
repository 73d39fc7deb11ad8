/**
 * An export in several threads: each writes keys of pieces of the dump, and they are joined in order. The
 * bytes are those that one thread writes.
 */
import type { Buffer } from 'node:buffer'
import { KEY_FORMATS } from '../../formats/formats.js'
import type { KeyFormat } from '../../formats/key-format.js'
import type { RdbParser, RdbParserOptions } from '../../rdb/parser.js'
import type { PumpedRdb, RdbInput } from '../../source/rdb-input.js'
import { canReadInPieces, readInPieces } from '../threads/read-pieces.js'
import type { ExportTally } from '../threads/options.js'
import { addTallies, type ExportMemory, type ExportRun } from './export-run.js'
import type { ExportOptions } from './options.js'
import type { PartedOutput } from './parted-output.js'
import { CommaSeam, SelectSeam, type Seam } from './seams.js'

/** Other forms count or choose as they go, or are read as fast as they are cut. And with salvage, changes or
 * several sources keys depend on those before them. */
export function goesInThreads(
  options: ExportOptions,
  rdb: RdbInput,
  { dependsOnOthers }: { dependsOnOthers: boolean },
): boolean {
  const format: KeyFormat = KEY_FORMATS[options.format ?? 'jsonl']
  const goes = format.goesInPieces === true && !dependsOnOthers
  return goes && canReadInPieces(rdb, options.threads)
}

/** Joins what threads have written with what stands in front and behind. */
export class JoinedOutput {
  #tally: ExportTally | undefined
  /** Known already, of what comes next. */
  #skip = 0
  #isJoining = false
  /** Of a piece. */
  #isBegin = true
  readonly #seam: Seam
  readonly #output: PartedOutput

  constructor(options: ExportOptions, output: PartedOutput) {
    this.#seam = options.format === 'json' ? new CommaSeam() : new SelectSeam()
    this.#output = output
  }

  /** What the one writer writes. */
  readonly write = (bytes: Buffer): void => {
    const skipped = Math.min(this.#skip, bytes.length)
    this.#skip -= skipped
    this.#join(bytes, skipped)
  }

  async read(
    rdb: RdbInput,
    run: ExportRun,
    call: {
      readonly options: ExportOptions
      readonly parser: RdbParserOptions
      readonly memory: ExportMemory
      readonly nowMs: number
      readonly begun: (parser: RdbParser) => void
      readonly onProgress: (consumedBytes: number, keysRead: number) => void
    },
  ): Promise<PumpedRdb> {
    const { options, parser, memory, nowMs, begun, onProgress } = call
    const { format = 'jsonl', strings = 'text', filter, target, signal } = options
    run.letOthersWrite()
    this.#isJoining = true
    const pumped = await readInPieces(
      rdb,
      {
        threads: options.threads ?? 1,
        sizes: options.pieceSizes,
        job: { kind: 'export', format, strings, filter, target, nowMs },
        parser,
        signal,
        onProgress,
        bytes: (bytes) => {
          this.#join(bytes, 0)
          return this.#output.drain()
        },
        tally: (tally) => {
          this.#tally = this.#tally === undefined ? tally : addTallies(this.#tally, tally)
          this.#seam.behind(tally)
          this.#isBegin = true
        },
        rest: (handedBytes) => {
          const seam = this.#seam
          this.#skip = handedBytes - seam.undo()
          this.#isBegin = handedBytes === 0
          if (seam.dbnum !== undefined) run.goOnIn(seam.dbnum)
          return { visitor: run.visitor, buffer: memory.input }
        },
        drain: () => {
          run.drain()
          return this.#output.drain()
        },
      },
      begun,
    )
    return pumped as PumpedRdb
  }

  /** With what the one writer has written. */
  tally(own: ExportTally): ExportTally {
    const sum = this.#tally === undefined ? own : addTallies(this.#tally, own)
    const commands = sum.counts.commands - this.#seam.commandsLeftOut
    return { ...sum, counts: { ...sum.counts, commands } }
  }

  #join(bytes: Uint8Array, from: number): void {
    let start = from
    if (this.#isJoining && this.#isBegin && start < bytes.length) {
      this.#isBegin = false
      start += this.#seam.leaveOut(bytes, start)
    }
    if (start < bytes.length) this.#output.outputs[0]!.write(bytes, start, bytes.length)
  }
}
