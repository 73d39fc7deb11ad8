/**
 * Sources as functions that DuckDB reads tables from. It asks for a stretch of rows at a time and waits
 * for it: so this thread, and only this one, sleeps until the other has sent some.
 */
import { receiveMessageOnPort } from 'node:worker_threads'
import {
  CONTROL,
  TABLES,
  type Block,
  type ColumnKind,
  type FromWorker,
  type WorkerStart,
} from '../protocol.js'
import type { Bindings, Chunk, Database, LogicalType } from './database.js'
import { Vectors } from './vectors.js'

type ReadInfo = Parameters<Bindings['function_get_init_data']>[0]

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
  readonly #database: Database
  readonly #db: Bindings
  readonly #vectors: Vectors
  readonly #control: Int32Array
  readonly #tell: (message: FromWorker) => void
  readonly #scans: Scan[] = []

  constructor(start: WorkerStart, database: Database, tell: (message: FromWorker) => void) {
    this.#start = start
    this.#database = database
    this.#db = database.db
    this.#vectors = new Vectors(database.db)
    this.#control = new Int32Array(start.control)
    this.#tell = tell
  }

  /** Makes `rrep_rows(n)`, and the views that people name. */
  async register(): Promise<void> {
    const db = this.#db
    const made = db.create_table_function()
    db.table_function_set_name(made, 'rrep_rows')
    db.table_function_add_parameter(made, this.#database.typeOf('INTEGER'))
    db.table_function_supports_projection_pushdown(made, true)
    db.table_function_set_bind(made, (info) => {
      const table = db.get_int32(db.bind_get_parameter(info, 0))
      for (const { name, kind } of TABLES[this.#start.tables[table]!.table]) {
        db.bind_add_result_column(info, name, this.#typeOf(kind))
      }
      // Nobody knows before it is read: many.
      db.bind_set_cardinality(info, MANY_ROWS, false)
      db.bind_set_bind_data(info, { table })
    })
    db.table_function_set_init(made, (info) => {
      const { table } = db.init_get_bind_data(info) as { table: number }
      const columns = Array.from({ length: db.init_get_column_count(info) }, (_, index) =>
        db.init_get_column_index(info, index),
      )
      const scan = new Scan(this.#scans.length, columns)
      this.#scans.push(scan)
      db.init_set_init_data(info, scan)
      db.init_set_max_threads(info, THREADS)
      this.#tell({ kind: 'scan', scan: scan.id, table, columns })
    })
    db.table_function_set_function(made, (info, chunk) => this.#read(info, chunk))
    db.register_table_function(this.#database.connection, made)
    for (const table of ['keys', 'commands'] as const) {
      const parts = this.#start.tables.flatMap((each, index) => {
        if (each.table !== table) return []
        const source = this.#start.hasSources ? `${quoted(each.source)} as source, ` : ''
        return [`select ${source}* from rrep_rows(${index})`]
      })
      await this.#database.run(`create view ${table} as ${parts.join(' union all ')}`)
    }
  }

  #typeOf(kind: ColumnKind): LogicalType {
    const varchar = this.#database.typeOf('VARCHAR')
    switch (kind) {
      case 'integer':
        return this.#database.typeOf('INTEGER')
      case 'bigint':
        return this.#database.typeOf('BIGINT')
      case 'time':
        return this.#database.typeOf('TIMESTAMP_TZ')
      case 'word':
      case 'text':
        return varchar
      case 'texts':
        return this.#db.create_list_type(varchar)
    }
  }

  #read(info: ReadInfo, chunk: Chunk): void {
    const scan = this.#db.function_get_init_data(info) as Scan
    const rows = this.#next(scan)
    if (typeof rows === 'string') {
      this.#db.function_set_error(info, rows)
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
