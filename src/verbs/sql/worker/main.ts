/**
 * The thread in which DuckDB runs, made into one text by build.mjs. It answers one query, and ends.
 *
 * A thread of its own since DuckDB waits for each stretch of a table's rows: the other one reads and
 * parses meanwhile, as it always does.
 */
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type * as duckdbModule from '@duckdb/node-api'
import { bytesOfPrintable } from '../../../bytes/printable.js'
import { keySlot } from '../../../topology/key-slot.js'
import type { FromWorker, ToWorker, WorkerStart } from '../protocol.js'
import { Answers } from './answers.js'
import { Database, textsOf, type Bindings } from './database.js'
import { SourceTables } from './tables.js'

/** Batches of rows that may be on their way. */
const MOST_AHEAD = 4
const INTERRUPT_MS = 20

const start = workerData as WorkerStart
const port = parentPort!
const tell = (message: FromWorker): void => port.postMessage(message)

/** Of the answer: batches on their way, and whether it is still wanted. */
const flow: { ahead: number; isStopped: boolean; onTaken?: () => void } = {
  ahead: 0,
  isStopped: false,
}

async function answer(db: Bindings, load: NodeJS.Require): Promise<void> {
  const database = await Database.open(db, start.settings)
  let again: NodeJS.Timeout | undefined
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'more') flow.ahead -= 1
    else {
      flow.isStopped = true
      database.interrupt()
      // One that comes between two steps of a query is forgotten.
      again ??= setInterval(() => database.interrupt(), INTERRUPT_MS)
    }
    flow.onTaken?.()
  })
  try {
    await database.run("set TimeZone = 'UTC'")
    await makeFunctions(database)
    await new SourceTables(start, database, tell).register()
    const result = await database.stream(start.query)
    const loadApi = (): typeof duckdbModule => load(start.duckdb) as typeof duckdbModule
    const answers = new Answers(database, result, loadApi)
    tell({ kind: 'columns', columns: answers.columns })
    for (;;) {
      // What is stopped is fetched, too, until DuckDB says so: its threads may be waiting for this one.
      const chunk = await db.fetch_chunk(result)
      if (chunk === null || db.data_chunk_get_size(chunk) === 0) return
      if (isStopped()) continue
      tell({ kind: 'rows', rows: answers.rowsOf(chunk) })
      await turn()
    }
  } finally {
    clearInterval(again)
    database.close()
  }
}

/** Waits until more rows may be sent. */
async function turn(): Promise<void> {
  flow.ahead += 1
  while (flow.ahead >= MOST_AHEAD && !isStopped()) {
    await new Promise<void>((resolve) => (flow.onTaken = resolve))
  }
}

function isStopped(): boolean {
  return flow.isStopped
}

/** `prefix(key)`, `prefix(key, depth)` and `slot(key)`. */
async function makeFunctions(database: Database): Promise<void> {
  await database.run(
    `create macro prefix (key) as substr(key, 1, instr(key, ':')),
       (key, depth) as regexp_extract(key, '^(?:[^:]*:){1,' || depth || '}')`,
  )
  const { db } = database
  const slot = db.create_scalar_function()
  db.scalar_function_set_name(slot, 'slot')
  db.scalar_function_add_parameter(slot, database.typeOf('VARCHAR'))
  db.scalar_function_set_return_type(slot, database.typeOf('INTEGER'))
  db.scalar_function_set_function(slot, (_info, input, output) => {
    const count = db.data_chunk_get_size(input)
    const keys = textsOf(db, db.data_chunk_get_vector(input, 0), count)
    // Of no key there is none: DuckDB sees to that.
    const slots = Int32Array.from(keys, (key) =>
      key === null ? 0 : keySlot(bytesOfPrintable(key)),
    )
    db.copy_data_to_vector(output, 0, slots.buffer, 0, slots.byteLength)
  })
  db.register_scalar_function(database.connection, slot)
}

async function run(): Promise<void> {
  try {
    const load = createRequire(start.duckdb)
    const db = load('@duckdb/node-bindings') as Bindings
    // Functions that give tables came with 1.5.
    if (typeof (db as Partial<Bindings>).create_table_function !== 'function') {
      tell({ kind: 'failed', message: `too old: ${db.library_version()}`, isOutdated: true })
    } else {
      await answer(db, load)
      tell({ kind: 'done' })
    }
  } catch (error) {
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
  } finally {
    port.close()
  }
}

void run()
