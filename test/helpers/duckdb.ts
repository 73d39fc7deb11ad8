/** Rows that DuckDB gives for a query, as JSON has them. */
import { DuckDBInstance, type Json } from '@duckdb/node-api'

export async function duckRows(query: string): Promise<Record<string, Json>[]> {
  const database = await DuckDBInstance.create(':memory:')
  const connection = await database.connect()
  try {
    await connection.run("SET TimeZone = 'UTC'")
    return (await connection.runAndReadAll(query)).getRowObjectsJson()
  } finally {
    connection.closeSync()
    database.closeSync()
  }
}
