/** DuckDB is no part of rrep: 70 MB of machine code that few want. It is taken from where it is. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ProtocolError } from '../../errors.js'

const PACKAGE = '@duckdb/node-api'

/** The path to load it by: beside rrep, else from the directory at hand. Throws ProtocolError. */
export function findDuckdb(
  from: readonly string[] = [import.meta.url, join(process.cwd(), '_')],
): string {
  for (const place of from) {
    try {
      return createRequire(place).resolve(PACKAGE)
    } catch {
      // Not there: perhaps at the next.
    }
  }
  throw noDuckdb('DuckDB is not installed, and SQL is answered by it')
}

export function noDuckdb(message: string, cause?: unknown): ProtocolError {
  return new ProtocolError('ERR_NO_DUCKDB', message, {
    cause,
    hint: `npm install ${PACKAGE}, beside rrep or where you run it`,
  })
}
