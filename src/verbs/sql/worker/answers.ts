/** Values of DuckDB as values of JavaScript that can be sent and shown. */
import type * as duckdbModule from '@duckdb/node-api'
import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api'
import type { SqlValue } from '../protocol.js'

type Api = typeof duckdbModule

export class Answers {
  readonly #api: Api

  constructor(api: Api) {
    this.#api = api
  }

  rowsOf(chunk: DuckDBDataChunk): SqlValue[][] {
    return chunk.getRows().map((row) => row.map((value) => this.#plain(value)))
  }

  #plain(value: DuckDBValue): SqlValue {
    if (typeof value !== 'object' || value === null) return value
    const {
      DuckDBListValue,
      DuckDBArrayValue,
      DuckDBStructValue,
      DuckDBMapValue,
      DuckDBDecimalValue,
      DuckDBTimestampTZValue,
    } = this.#api
    if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) {
      return value.items.map((each) => this.#plain(each))
    }
    if (value instanceof DuckDBStructValue) {
      return Object.fromEntries(
        Object.entries(value.entries).map(([name, each]) => [name, this.#plain(each)]),
      )
    }
    if (value instanceof DuckDBMapValue) {
      return value.entries.map(({ key, value: of }) => ({
        key: this.#plain(key),
        value: this.#plain(of),
      }))
    }
    if (value instanceof DuckDBDecimalValue) return Number(value.toString())
    if (value instanceof DuckDBTimestampTZValue) {
      // As rrep writes times: 2030-01-01T00:00:00.123Z.
      return value.toString().replace(' ', 'T').replace(/\+00$/, 'Z')
    }
    return value.toString()
  }
}
