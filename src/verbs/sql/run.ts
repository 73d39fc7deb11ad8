/**
 * `sql`: questions to the keys and commands of sources, answered by DuckDB in a thread of its own. Nothing
 * is loaded into it: each scan of a table reads its source anew, as rows are asked for, and only the
 * columns that the query looks at. What DuckDB must keep beyond its memory goes into a directory of its
 * own, which is gone at the end.
 */
import { MessageChannel, Worker } from 'node:worker_threads'
import { AbortedError, FileError, UsageError, type RrepError } from '../../errors.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { nameOfSource, readSource, type Source, type SourceName } from '../../source/classify.js'
import { scanCommands } from './command-scan.js'
import { Feed } from './feed.js'
import { findDuckdb, noDuckdb } from './find-duckdb.js'
import { KeySource } from './key-scan.js'
import type { SqlOptions, SqlRows } from './options.js'
import {
  CONTROL,
  type FromWorker,
  type SourceTable,
  type SqlColumn,
  type SqlValue,
  type ToWorker,
  type WorkerStart,
} from './protocol.js'
import { WORKER_TEXT } from './worker.generated.js'

export type * from './options.js'
export { findDuckdb } from './find-duckdb.js'

const DEFAULT_MEMORY_BYTES = 1 << 30
/** DuckDB looks up from its work far sooner. */
const MOST_PATIENCE_MS = 10_000

/**
 * Rows as they come; the first part may have none. Throws UsageError (what DuckDB says of the query),
 * ProtocolError (DuckDB is not there), and what the reading of a source rejects with.
 */
export async function* sql(
  names: SourceName | readonly SourceName[],
  query: string,
  options: SqlOptions = {},
): AsyncGenerator<SqlRows, void, undefined> {
  const duckdb = findDuckdb()
  const sources: Source[] = []
  for (const name of Array.isArray(names) ? (names as SourceName[]) : [names as SourceName]) {
    sources.push(await readSource(name))
  }
  if (sources.length === 0) throw new UsageError('a query needs a source')
  if (options.signal?.aborted === true) throw new AbortedError()
  const directory = makeTemporaryDir('rrep-sql-')
  try {
    const run = new SqlRun(sources, { query, duckdb, directory }, options)
    try {
      yield* run.rows()
    } finally {
      await run.end()
    }
  } finally {
    removeTemporaryDir(directory)
  }
}

interface Call {
  readonly query: string
  readonly duckdb: string
  readonly directory: string
}

class SqlRun {
  readonly #options: SqlOptions
  readonly #sources: readonly Source[]
  readonly #keys: readonly KeySource[]
  readonly #tables: readonly SourceTable[]
  readonly #blocks = new MessageChannel()
  readonly #control = new Int32Array(new SharedArrayBuffer(8))
  readonly #worker: Worker
  readonly #exited: Promise<void>
  readonly #halt = new AbortController()
  readonly #feeds = new Map<number, Feed>()
  readonly #scans: Promise<void>[] = []
  readonly #inbox: FromWorker[] = []
  #onMessage: (() => void) | undefined
  /** Of a source: it comes before what DuckDB says of it. */
  #failure: unknown
  /** Of a source that was salvaged. */
  #damage: RrepError | undefined

  constructor(sources: readonly Source[], call: Call, options: SqlOptions) {
    this.#options = options
    this.#sources = sources
    this.#keys = sources.map((source) => new KeySource(source, options))
    this.#tables = (['keys', 'commands'] as const).flatMap((table) =>
      sources.map((source, index) => ({
        table,
        source: options.names?.[index] ?? nameOfSource(source),
      })),
    )
    this.#worker = new Worker(WORKER_TEXT, {
      eval: true,
      execArgv: [],
      workerData: this.#start(call),
      transferList: [this.#blocks.port2],
    })
    this.#worker.on('message', (message: FromWorker) => this.#take(message))
    this.#worker.on('error', (error) => {
      this.#failure ??= error
    })
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        resolve()
        this.#take({ kind: 'failed', message: 'DuckDB ended' })
      })
    })
    options.signal?.addEventListener('abort', this.#stop, { once: true })
  }

  async *rows(): AsyncGenerator<SqlRows, void, undefined> {
    let columns: readonly SqlColumn[] = []
    for (;;) {
      const message = await this.#next()
      switch (message.kind) {
        case 'columns':
          columns = message.columns
          yield { columns, rows: [] }
          break
        case 'rows':
          yield { columns, rows: message.rows satisfies readonly SqlValue[][] }
          this.#tell({ kind: 'more' })
          break
        case 'done':
          if (this.#damage !== undefined) throw this.#damage
          return
        case 'failed':
          throw this.#errorOf(message)
        case 'scan':
        case 'taken':
          // Taken when they came.
          break
      }
    }
  }

  /** Nothing of it is at work any more. */
  async end(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#stop)
    this.#stop()
    await Promise.all(this.#scans)
    const late = setTimeout(() => void this.#worker.terminate(), MOST_PATIENCE_MS)
    await this.#exited
    clearTimeout(late)
    this.#blocks.port1.close()
    for (const source of this.#keys) await source.close()
  }

  #start({ query, duckdb, directory }: Call): WorkerStart {
    return {
      query,
      duckdb,
      tables: this.#tables,
      hasSources: this.#sources.length > 1,
      blocks: this.#blocks.port2,
      control: this.#control.buffer,
      settings: {
        memory_limit: `${this.#options.memoryBytes ?? DEFAULT_MEMORY_BYTES}B`,
        temp_directory: directory,
        // Nothing is fetched from anywhere.
        autoinstall_known_extensions: 'false',
        autoload_known_extensions: 'false',
      },
    }
  }

  /** Whatever is at work ends soon. */
  readonly #stop = (): void => {
    this.#halt.abort()
    Atomics.store(this.#control, CONTROL.STOP, 1)
    Atomics.add(this.#control, CONTROL.SENT, 1)
    Atomics.notify(this.#control, CONTROL.SENT)
    this.#tell({ kind: 'stop' })
  }

  #tell(message: ToWorker): void {
    this.#worker.postMessage(message)
  }

  #take(message: FromWorker): void {
    if (message.kind === 'scan') {
      this.#scans.push(this.#scan(message.scan, message.table, message.columns))
    } else if (message.kind === 'taken') {
      this.#feeds.get(message.scan)?.taken()
    } else {
      this.#inbox.push(message)
      this.#onMessage?.()
    }
  }

  async #next(): Promise<FromWorker> {
    for (;;) {
      const message = this.#inbox.shift()
      if (message !== undefined) return message
      await new Promise<void>((resolve) => (this.#onMessage = resolve))
    }
  }

  /** Never rejects: what went wrong is told by the query. */
  async #scan(scan: number, table: number, columns: readonly number[]): Promise<void> {
    const { signal } = this.#halt
    const feed = new Feed(scan, this.#blocks.port1, this.#control, signal)
    this.#feeds.set(scan, feed)
    const index = table % this.#sources.length
    try {
      if (this.#tables[table]!.table === 'keys') {
        const outcome = await this.#keys[index]!.scan(feed, columns, signal)
        this.#options.onRead?.(outcome)
        if (outcome.error !== undefined) {
          if (this.#options.salvage !== true) throw outcome.error
          this.#damage ??= outcome.error
        }
      } else {
        await scanCommands(this.#sources[index]!, feed, columns, { ...this.#options, signal })
      }
      feed.end()
    } catch (error) {
      if (!signal.aborted) this.#failure ??= error
      feed.fail('the source failed')
    }
  }

  #errorOf({ message, isOutdated }: Extract<FromWorker, { kind: 'failed' }>): unknown {
    if (this.#options.signal?.aborted === true) return new AbortedError()
    if (this.#failure !== undefined) return this.#failure
    if (isOutdated === true) return noDuckdb(`DuckDB is ${message}`)
    if (/^Out of Memory Error|No space left|Could not (read|write)/i.test(message)) {
      return new FileError('ERR_DATABASE', `DuckDB: ${message.split('\n')[0]!}`, {
        hint: 'give it more memory, or a TMPDIR with more room',
      })
    }
    return new UsageError(onOneLine(message))
  }
}

/** As `… (line 1: select nope from keys)`: without the drawing under it. */
function onOneLine(message: string): string {
  return message
    .replace(/^Failed to extract statements: /, '')
    .replace(/\n+LINE (\d+): *(.*)\n[\s\S]*$/, ' (line $1: $2)')
    .replace(/\s*\n\s*/g, ' ')
    .trim()
}
