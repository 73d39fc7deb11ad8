/**
 * One connection to a DuckDB in memory, by the bindings alone: what the package around them adds takes
 * longer to load than all else to start. It is loaded only for values that need it (answers.ts).
 */
import type bindings from '@duckdb/node-bindings'

export type Bindings = typeof bindings
export type Connection = Awaited<ReturnType<Bindings['connect']>>
export type Result = Awaited<ReturnType<Bindings['execute_prepared_streaming']>>
export type Chunk = NonNullable<Awaited<ReturnType<Bindings['fetch_chunk']>>>
export type Vector = ReturnType<Bindings['data_chunk_get_vector']>
export type LogicalType = ReturnType<Bindings['column_logical_type']>

export class Database {
  readonly db: Bindings
  readonly connection: Connection
  readonly #database: Awaited<ReturnType<Bindings['open']>>

  static async open(db: Bindings, settings: Readonly<Record<string, string>>): Promise<Database> {
    const config = db.create_config()
    for (const [name, value] of Object.entries(settings)) db.set_config(config, name, value)
    const database = await db.open(':memory:', config)
    return new Database(db, database, await db.connect(database))
  }

  private constructor(
    db: Bindings,
    database: Awaited<ReturnType<Bindings['open']>>,
    connection: Connection,
  ) {
    this.db = db
    this.#database = database
    this.connection = connection
  }

  /** Rows of the last statement, as they come. Rejects with what DuckDB says. */
  async stream(sql: string): Promise<Result> {
    const { db, connection } = this
    const { extracted_statements: statements, statement_count: count } =
      await db.extract_statements(connection, sql)
    if (count === 0) throw new Error(db.extract_statements_error(statements))
    for (let index = 0; ; index += 1) {
      const prepared = await db.prepare_extracted_statement(connection, statements, index)
      try {
        if (index === count - 1) return await db.execute_prepared_streaming(prepared)
        await db.execute_prepared(prepared)
      } finally {
        db.destroy_prepare_sync(prepared)
      }
    }
  }

  async run(sql: string): Promise<void> {
    await this.db.query(this.connection, sql)
  }

  typeOf(name: keyof typeof bindings.Type): LogicalType {
    return this.db.create_logical_type(this.db.Type[name])
  }

  interrupt(): void {
    this.db.interrupt(this.connection)
  }

  close(): void {
    this.db.disconnect_sync(this.connection)
    this.db.close_sync(this.#database)
  }
}

/** Where a string of DuckDB's C API lies: 16 bytes, with up to 12 of them in itself. */
export const STRING_BYTES = 16
export const MOST_INLINE_BYTES = 12

/** Texts of a vector; null where it has none. */
export function textsOf(db: Bindings, vector: Vector, count: number): (string | null)[] {
  const view = db.vector_get_data(vector, STRING_BYTES * count)
  const bytes = Buffer.from(view.buffer, view.byteOffset, view.byteLength)
  const validity = new Validity(db, vector, count)
  const texts = new Array<string | null>(count)
  for (let row = 0; row < count; row += 1) {
    const at = STRING_BYTES * row
    if (!validity.has(row)) {
      texts[row] = null
      continue
    }
    const length = bytes.readUInt32LE(at)
    texts[row] =
      length <= MOST_INLINE_BYTES
        ? bytes.toString('utf8', at + 4, at + 4 + length)
        : Buffer.from(
            db.get_data_from_pointer(
              bytes.buffer as ArrayBuffer,
              bytes.byteOffset + at + 8,
              length,
            ),
          ).toString('utf8')
  }
  return texts
}

export class Validity {
  readonly #mask: Uint8Array | null

  constructor(db: Bindings, vector: Vector, count: number) {
    this.#mask = db.vector_get_validity(vector, 8 * Math.ceil(count / 64))
  }

  has(row: number): boolean {
    return this.#mask === null || (this.#mask[row >> 3]! & (1 << (row & 7))) !== 0
  }
}
