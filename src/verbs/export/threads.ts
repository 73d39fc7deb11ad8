/**
 * An export in several threads: each writes pieces of the dump as JSON, and they are joined in order. The
 * bytes are those that one thread writes.
 */
import type { Buffer } from 'node:buffer'
import type { RdbParser, RdbParserOptions } from '../../rdb/parser.js'
import type { PumpedRdb, RdbInput } from '../../source/rdb-input.js'
import { canReadInPieces, readInPieces } from '../threads/read-pieces.js'
import type { ExportTally } from '../threads/options.js'
import { addTallies, type ExportMemory, type ExportRun } from './export-run.js'
import type { ExportOptions } from './options.js'
import type { PartedOutput } from './parted-output.js'

const COMMA = 0x2c

/** Pieces of JSON stand by themselves; other forms count or choose as they go, or are read as fast as they
 * are cut. And with salvage, changes or several sources keys depend on those before them. */
export function goesInThreads(
  options: ExportOptions,
  rdb: RdbInput,
  { dependsOnOthers }: { dependsOnOthers: boolean },
): boolean {
  const { format = 'jsonl', threads } = options
  const isJson = format === 'jsonl' || format === 'json'
  return isJson && !dependsOnOthers && canReadInPieces(rdb, threads)
}

/** Joins what threads have written with what stands in front and behind. */
export class JoinedOutput {
  #tally: ExportTally | undefined
  /** Known already, of what comes next. */
  #skip = 0
  #isFirst = true
  #isJoining = false
  readonly #isArray: boolean
  readonly #output: PartedOutput

  constructor(options: ExportOptions, output: PartedOutput) {
    this.#isArray = options.format === 'json'
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
    const { format, strings = 'text', filter, signal } = options
    run.letOthersWrite()
    this.#isJoining = true
    const pumped = await readInPieces(
      rdb,
      {
        threads: options.threads ?? 1,
        sizes: options.pieceSizes,
        job: {
          kind: 'export',
          format: format === 'json' ? 'json' : 'jsonl',
          strings,
          filter,
          nowMs,
        },
        parser,
        signal,
        onProgress,
        bytes: (bytes) => {
          this.#join(bytes, 0)
          return this.#output.drain()
        },
        tally: (tally) => {
          this.#tally = this.#tally === undefined ? tally : addTallies(this.#tally, tally)
        },
        rest: (handedBytes) => {
          this.#skip = handedBytes
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
    return this.#tally === undefined ? own : addTallies(this.#tally, own)
  }

  /** A comma stands before every key: in an array the first has none. */
  #join(bytes: Uint8Array, from: number): void {
    let start = from
    if (this.#isJoining && this.#isFirst && start < bytes.length) {
      this.#isFirst = false
      if (this.#isArray && bytes[start] === COMMA) start += 1
    }
    if (start < bytes.length) this.#output.outputs[0]!.write(bytes, start, bytes.length)
  }
}
