/**
 * What the thread that runs DuckDB and the one that reads sources say to each other. Rows come in blocks
 * of columns; those of keys lie in memory that both see.
 */
import type { MessagePort } from 'node:worker_threads'

export type ColumnKind = 'integer' | 'bigint' | 'time' | 'word' | 'text' | 'texts'

export interface ColumnPlan {
  readonly name: string
  readonly kind: ColumnKind
}

export type TableName = 'keys' | 'commands'

/** In the order of the blocks' columns. */
export const TABLES: Readonly<Record<TableName, readonly ColumnPlan[]>> = {
  keys: [
    { name: 'database', kind: 'integer' },
    { name: 'type', kind: 'word' },
    { name: 'key', kind: 'text' },
    { name: 'size_in_bytes', kind: 'bigint' },
    { name: 'encoding', kind: 'word' },
    { name: 'num_elements', kind: 'bigint' },
    { name: 'len_largest_element', kind: 'bigint' },
    { name: 'expiry', kind: 'time' },
  ],
  commands: [
    { name: 'time', kind: 'time' },
    { name: 'offset', kind: 'bigint' },
    { name: 'db', kind: 'integer' },
    { name: 'command', kind: 'text' },
    { name: 'key', kind: 'text' },
    { name: 'args', kind: 'texts' },
    { name: 'bytes', kind: 'bigint' },
  ],
}

/** One column of a block. */
export type Column =
  | { readonly kind: 'integer'; readonly values: Int32Array }
  /** NaN, and what is negative where `isCount`, stand for NULL. Time: unix ms. */
  | { readonly kind: 'bigint' | 'time'; readonly values: Float64Array; readonly isCount?: boolean }
  /** Places in `words`, each of which has 12 bytes at most. */
  | {
      readonly kind: 'word'
      readonly values: Uint8Array | Uint16Array
      readonly words: readonly string[]
    }
  /** UTF-8, one behind another. */
  | {
      readonly kind: 'text'
      readonly bytes: Uint8Array
      readonly ends: Uint32Array
      /** 1: NULL. */
      readonly nulls?: Uint8Array
    }
  /** Lists: `listEnds` count texts. */
  | {
      readonly kind: 'texts'
      readonly bytes: Uint8Array
      readonly ends: Uint32Array
      readonly listEnds: Uint32Array
    }

/** By their places; undefined: it was not asked for. No rows: the end. */
export interface Block {
  readonly scan: number
  readonly rows: number
  readonly columns: readonly (Column | undefined)[]
  /** The source failed: the query does, too. */
  readonly failure?: string
}

export interface SourceTable {
  readonly table: TableName
  /** As the column `source` says it. */
  readonly source: string
}

export interface WorkerStart {
  /** Where the package `@duckdb/node-api` lies. */
  readonly duckdb: string
  readonly query: string
  readonly tables: readonly SourceTable[]
  /** A column `source` tells them apart. */
  readonly hasSources: boolean
  readonly settings: Readonly<Record<string, string>>
  /** Blocks come here. */
  readonly blocks: MessagePort
  /** Two Int32: see CONTROL. */
  readonly control: SharedArrayBuffer
}

/** Places in `control`. */
export const CONTROL = {
  /** Counts the blocks that were sent: what waits for one is woken by it. */
  SENT: 0,
  /** 1: whatever is at work, it is to end. */
  STOP: 1,
} as const

export type FromWorker =
  /** A table is read: its wanted columns, by place. */
  | { kind: 'scan'; scan: number; table: number; columns: readonly number[] }
  /** A block of the scan is used up. */
  | { kind: 'taken'; scan: number }
  | { kind: 'columns'; columns: readonly SqlColumn[] }
  | { kind: 'rows'; rows: SqlValue[][] }
  | { kind: 'done' }
  | { kind: 'failed'; message: string; isOutdated?: boolean }

export type ToWorker =
  /** Rows were taken: more may come. */
  { kind: 'more' } | { kind: 'stop' }

export interface SqlColumn {
  readonly name: string
  /** As DuckDB calls it. */
  readonly type: string
}

/** Of times, intervals and the like their text; NULL is null. */
export type SqlValue =
  null | boolean | number | bigint | string | SqlValue[] | { [name: string]: SqlValue }
