/** What is asked of sources in SQL, and what comes out. */
import type { KeyFilterOptions } from '../../source/key-filter.js'
import type { ReadOutcome } from '../inspect/options.js'
import type { OpenKeysOptions } from '../keys/open.js'
import type { SqlColumn, SqlValue } from './protocol.js'

export type { SqlColumn, SqlValue } from './protocol.js'

export interface SqlOptions extends Omit<OpenKeysOptions, 'isReadTwice'> {
  /** Of the keys. Names and databases choose among the commands, too. */
  filter?: KeyFilterOptions | undefined
  /** Goes on behind damage where that is safe: the run rejects behind its rows. */
  salvage?: boolean | undefined
  /** What DuckDB may use before it goes to disk, into a directory of its own in TMPDIR. Default 1 GiB. */
  memoryBytes?: number | undefined
  /** What the column `source` calls them, by place. Default: by path or address. */
  names?: readonly (string | undefined)[] | undefined
  /** Called whenever the keys of a source have been read to the end. */
  onRead?: ((outcome: SqlRead) => void) | undefined
}

export interface SqlRead extends ReadOutcome {
  /** Libraries of functions, which stand in no table. */
  readonly functions: number
  /** Values of modules in the table, by type. */
  readonly modules: Readonly<Record<string, number>>
}

/** Rows as they come, with the columns of all of them. */
export interface SqlRows {
  readonly columns: readonly SqlColumn[]
  readonly rows: readonly (readonly SqlValue[])[]
}
