/** cli-table3, loaded when the first table is drawn: most runs draw none. */
import { createRequire } from 'node:module'
import type { Table, TableConstructorOptions } from 'cli-table3'

const load = createRequire(import.meta.url)

export function createTable(options: TableConstructorOptions): Table {
  const Constructor = load('cli-table3') as new (options: TableConstructorOptions) => Table
  return new Constructor(options)
}
