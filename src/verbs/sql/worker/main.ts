/**
 * The thread in which DuckDB runs, made into one text by build.mjs. It answers one query, and ends.
 *
 * A thread of its own since DuckDB waits for each stretch of a table's rows: the other one reads and
 * parses meanwhile, as it always does.
 */
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type * as duckdbModule from '@duckdb/node-api'
import type { DuckDBConnection, DuckDBResult } from '@duckdb/node-api'
import { bytesOfPrintable } from '../../../bytes/printable.js'
import { keySlot } from '../../../topology/key-slot.js'
import type { FromWorker, ToWorker, WorkerStart } from '../protocol.js'
import { Answers } from './answers.js'
import { SourceTables } from './tables.js'
import type { Bindings } from './vectors.js'

type Api = typeof duckdbModule

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

async function answer(api: Api, db: Bindings): Promise<void> {
  const database = await api.DuckDBInstance.create(':memory:', start.settings)
  const connection = await database.connect()
  let again: NodeJS.Timeout | undefined
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'more') flow.ahead -= 1
    else {
      flow.isStopped = true
      connection.interrupt()
      // One that comes between two steps of a query is forgotten.
      again ??= setInterval(() => connection.interrupt(), INTERRUPT_MS)
    }
    flow.onTaken?.()
  })
  try {
    await connection.run("set TimeZone = 'UTC'")
    await makeFunctions(connection, api)
    await new SourceTables(start, api, db, tell).register(connection)
    await send(await connection.stream(start.query), new Answers(api))
  } finally {
    clearInterval(again)
    connection.closeSync()
    database.closeSync()
  }
}

/** `prefix(key)`, `prefix(key, depth)` and `slot(key)`. */
async function makeFunctions(connection: DuckDBConnection, api: Api): Promise<void> {
  await connection.run(
    `create macro prefix (key) as left(key, instr(key, ':')),
       (key, depth) as regexp_extract(key, '^(?:[^:]*:){1,' || depth || '}')`,
  )
  connection.registerScalarFunction(
    api.DuckDBScalarFunction.create({
      name: 'slot',
      parameterTypes: [api.VARCHAR],
      returnType: api.INTEGER,
      mainFunction: (_info, input, output) => {
        const keys = input.getColumnValues(0) as (string | null)[]
        for (const [row, key] of keys.entries()) {
          output.setItem(row, key === null ? null : keySlot(bytesOfPrintable(key)))
        }
        output.flush()
      },
    }),
  )
}

function isStopped(): boolean {
  return flow.isStopped
}

async function send(result: DuckDBResult, answers: Answers): Promise<void> {
  const types = result.columnTypes()
  tell({
    kind: 'columns',
    columns: result
      .deduplicatedColumnNames()
      .map((name, index) => ({ name, type: types[index]!.toString() })),
  })
  for (;;) {
    const chunk = await result.fetchChunk()
    if (chunk === null || chunk.rowCount === 0 || flow.isStopped) return
    tell({ kind: 'rows', rows: answers.rowsOf(chunk) })
    flow.ahead += 1
    while (flow.ahead >= MOST_AHEAD && !isStopped()) {
      await new Promise<void>((resolve) => (flow.onTaken = resolve))
    }
  }
}

async function run(): Promise<void> {
  try {
    const require = createRequire(start.duckdb)
    const api = require(start.duckdb) as Api
    const db = require('@duckdb/node-bindings') as Bindings
    // Functions that give tables came with 1.5.
    if (typeof (api as Partial<Api>).DuckDBTableFunction !== 'function') {
      tell({ kind: 'failed', message: `too old: ${api.version()}`, isOutdated: true })
    } else {
      await answer(api, db)
      tell({ kind: 'done' })
    }
  } catch (error) {
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
  } finally {
    port.close()
  }
}

void run()
