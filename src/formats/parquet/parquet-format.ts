/**
 * Parquet: a row for each key with the columns of `--csv`, for pandas, DuckDB, Spark and their like. What
 * a key is and how large, not what it holds. Names stand in it as text, as rrep shows them everywhere:
 * UTF-8 as it is, other bytes as \xff. Written in groups of rows, so that memory stays flat.
 */
import { Buffer } from 'node:buffer'
import { KeyAnalysis } from '../../analyze/key-analysis.js'
import type { OutputBuffer } from '../../bytes/output-buffer.js'
import { InternalError } from '../../errors.js'
import { KeyColumns, type KeyBlock } from '../columns/key-columns.js'
import type { KeyFormat, KeyFormatCounts, KeyFormatRun, KeyWriter } from '../key-format.js'
import { columnsOf, SCHEMA } from './columns.js'
import type * as libraryModule from './parquet-library.js'

type Library = typeof libraryModule

/** Enough for readers to skip well and to compress well; each takes some 100 bytes while it is made. */
const ROWS_OF_GROUP = 1 << 15

let library: Library | undefined

export const PARQUET: KeyFormat = {
  extensions: ['parquet'],
  isBinary: true,
  walkBlobs: true,
  measuresMemory: true,
  isPacked: true,
  modules: 'row',
  functions: false,
  load: async () => {
    const loaded = await import('./parquet-library.js')
    // The command line's bundle of it is CommonJS, and comes as one value.
    library = 'default' in loaded ? (loaded.default as Library) : loaded
  },
  create: (run) => {
    if (library === undefined) throw new InternalError('a format that was not loaded')
    return new ParquetKeys(library, run)
  },
}

class ParquetKeys implements KeyWriter {
  readonly visitor: KeyAnalysis
  readonly #columns = new KeyColumns(ROWS_OF_GROUP, {
    onFull: (block) => this.#writeGroup(block),
  })
  readonly #out: OutputBuffer
  readonly #file: InstanceType<Library['ParquetWriter']>
  #tooSmall = 0

  constructor({ ByteWriter, ParquetWriter }: Library, run: KeyFormatRun) {
    const { out, wanted, isFree, minSizeBytes } = run
    this.#out = out
    const bytes = new ByteWriter()
    // Called behind each group of rows.
    const pass = (): void => {
      out.write(Buffer.from(bytes.buffer, 0, bytes.index))
      bytes.index = 0
    }
    this.#file = new ParquetWriter({
      writer: Object.assign(bytes, { flush: pass, finish: pass }),
      schema: SCHEMA,
      createdBy: 'rrep',
    })
    this.visitor = new KeyAnalysis({
      nowMs: 0,
      top: 0,
      ...(isFree ? { onStrings: this.#columns.addStrings } : { wantsKey: wanted }),
      ...(minSizeBytes > 0 ? { wantsMemory: (size) => this.#isLarge(size, minSizeBytes) } : {}),
      onKey: this.#columns.add,
    })
  }

  get counts(): KeyFormatCounts {
    const { keys, functions } = this.visitor
    const none = { commands: 0, losses: {}, inexactStrings: 0, unorderedValues: 0 }
    return { keys, tooSmall: this.#tooSmall, functions, ...none }
  }

  finish(): void {
    this.#columns.flush()
    void this.#file.finish()
    this.#out.flush()
  }

  #writeGroup(block: KeyBlock): KeyBlock {
    const columnData = columnsOf(block, this.#columns.types)
    void this.#file.write({ columnData, rowGroupSize: block.count })
    return block
  }

  #isLarge(bytes: number, minSizeBytes: number): boolean {
    if (bytes >= minSizeBytes) return true
    this.#tooSmall += 1
    return false
  }
}
