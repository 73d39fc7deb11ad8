/** cli-table3 and string-width, loaded when they are first needed: most runs draw no table. */
import { createRequire } from 'node:module'
import type { Table, TableConstructorOptions } from 'cli-table3'

const load = createRequire(import.meta.url)

export function createTable(options: TableConstructorOptions): Table {
  const Constructor = load('cli-table3') as new (options: TableConstructorOptions) => Table
  return new Constructor(options)
}

let widthOf: ((text: string) => number) | undefined

/** Cells of a terminal: two for wide characters, none for marks and escape sequences. */
export function stringWidth(text: string): number {
  widthOf ??= load('string-width') as (text: string) => number
  return widthOf(text)
}
