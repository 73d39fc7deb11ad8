/**
 * Sources as functions that DuckDB reads tables from. It asks for a stretch of rows at a time and waits
 * for it: so this thread, and only this one, sleeps until the other has sent some.
 */
import { receiveMessageOnPort } from 'node:worker_threads'
import type * as duckdbModule from '@duckdb/node-api'
import type {
  DuckDBConnection,
  DuckDBDataChunk,
  DuckDBTableFunctionInfo,
  DuckDBType,
} from '@duckdb/node-api'
import { CONTROL, TABLES, type Block, type ColumnKind, type FromWorker } from '../protocol.js'
import type { WorkerStart } from '../protocol.js'
import { Vectors, type Bindings } from './vectors.js'

type Api = typeof duckdbModule

/** What DuckDB reads with at once: each takes its stretch while the others work. */
const THREADS = 8
const MANY_ROWS = 1_000_000

/** The rows of one reading of a table. */
class Scan {
  block: Block | undefined
  /** Rows of it that were taken. */
  taken = 0
  isEnded = false
  failure: string | undefined
  readonly queue: Block[] = []
  readonly id: number
  readonly columns: readonly number[]

  constructor(id: number, columns: readonly number[]) {
    this.id = id
    this.columns = columns
  }
}

export class SourceTables {
  readonly #start: WorkerStart
  readonly #api: Api
  readonly #db: Bindings
  readonly #vectors: Vectors
  readonly #control: Int32Array
  readonly #tell: (message: FromWorker) => void
  readonly #scans: Scan[] = []

  constructor(start: WorkerStart, api: Api, db: Bindings, tell: (message: FromWorker) => void) {
    this.#start = start
    this.#api = api
    this.#db = db
    this.#vectors = new Vectors(db)
    this.#control = new Int32Array(start.control)
    this.#tell = tell
  }

  /** Makes `rrep_rows(n)`, and the views that people name. */
  async register(connection: DuckDBConnection): Promise<void> {
    const { DuckDBTableFunction, INTEGER } = this.#api
    connection.registerTableFunction(
      DuckDBTableFunction.create({
        name: 'rrep_rows',
        parameterTypes: [INTEGER],
        supportsProjectionPushdown: true,
        bindFunction: (info) => {
          const table = Number(info.getParameter(0))
          for (const { name, kind } of this.#planOf(table)) {
            info.addResultColumn(name, this.#typeOf(kind))
          }
          // Nobody knows before it is read: many.
          info.setCardinality(MANY_ROWS, false)
          info.setBindData({ table })
        },
        initFunction: (info) => {
          const { table } = info.bindData as { table: number }
          const scan = new Scan(this.#scans.length, info.getColumnIndexes())
          this.#scans.push(scan)
          info.setInitData(scan)
          info.setMaxThreads(THREADS)
          this.#tell({ kind: 'scan', scan: scan.id, table, columns: scan.columns })
        },
        mainFunction: (info, chunk) => this.#read(info, chunk),
      }),
    )
    for (const table of ['keys', 'commands'] as const) {
      const parts = this.#start.tables.flatMap((each, index) => {
        if (each.table !== table) return []
        const source = this.#start.hasSources ? `${quoted(each.source)} as source, ` : ''
        return [`select ${source}* from rrep_rows(${index})`]
      })
      await connection.run(`create view ${table} as ${parts.join(' union all ')}`)
    }
  }

  #planOf(table: number): (typeof TABLES)['keys'] {
    return TABLES[this.#start.tables[table]!.table]
  }

  #typeOf(kind: ColumnKind): DuckDBType {
    const { BIGINT, INTEGER, LIST, TIMESTAMPTZ, VARCHAR } = this.#api
    const types = {
      integer: INTEGER,
      bigint: BIGINT,
      time: TIMESTAMPTZ,
      word: VARCHAR,
      text: VARCHAR,
      texts: LIST(VARCHAR),
    } as const
    return types[kind]
  }

  #read(info: DuckDBTableFunctionInfo, { chunk }: DuckDBDataChunk): void {
    const scan = info.initData as Scan
    const rows = this.#next(scan)
    if (typeof rows === 'string') {
      info.setError(rows)
      return
    }
    this.#db.data_chunk_set_size(chunk, rows)
    const { block, taken } = scan
    if (rows === 0 || block === undefined) return
    for (const [place, wanted] of scan.columns.entries()) {
      const column = block.columns[wanted]
      // What counts rows only asks for a column that no table has.
      if (column === undefined) continue
      this.#vectors.fill(this.#db.data_chunk_get_vector(chunk, place), column, taken, rows)
    }
    scan.taken += rows
  }

  /** How many rows can be taken now, 0 at the end; or why there are none. */
  #next(scan: Scan): number | string {
    // Several threads of DuckDB ask: what has ended has ended for each of them.
    if (scan.failure !== undefined) return scan.failure
    if (scan.isEnded) return 0
    if (scan.taken === scan.block?.rows) {
      scan.block = undefined
      this.#tell({ kind: 'taken', scan: scan.id })
    }
    while (scan.block === undefined) {
      if (Atomics.load(this.#control, CONTROL.STOP) === 1) return 'interrupted'
      const sent = Atomics.load(this.#control, CONTROL.SENT)
      this.#receive()
      scan.block = scan.queue.shift()
      scan.taken = 0
      if (scan.block === undefined) Atomics.wait(this.#control, CONTROL.SENT, sent)
    }
    scan.failure = scan.block.failure
    if (scan.failure !== undefined) return scan.failure
    scan.isEnded = scan.block.rows === 0
    return Math.min(this.#db.vector_size(), scan.block.rows - scan.taken)
  }

  #receive(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#start.blocks)
      if (received === undefined) return
      const block = received.message as Block
      this.#scans[block.scan]!.queue.push(block)
    }
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
