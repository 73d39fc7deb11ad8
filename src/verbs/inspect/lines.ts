/** `inspect`, a line for each key in file order, as it is read: for spreadsheets, cut and awk. */
import { CSV_HEADER, CsvRows } from '../../formats/csv.js'
import { KeyRows, RowBuffer } from '../../formats/key-lines.js'
import { JsonKeyLines } from '../../formats/json-key-lines.js'
import { Buffer } from 'node:buffer'
import type { InspectResult, InspectRowsOptions } from './options.js'
import type { SourceName } from '../../source/classify.js'
import { inspect } from './run.js'

export type { InspectRowsOptions } from './options.js'

/** Throws as `inspect` does; damage is in the result, behind the rows before it. */
export async function inspectRows(
  source: SourceName,
  options: InspectRowsOptions,
): Promise<InspectResult> {
  const { format, write, ...rest } = options
  const isCsv = format === 'csv'
  const common = { ...rest, top: 0, prefixDepth: 0, walkElements: isCsv }
  if (format === 'json') {
    const lines = new JsonKeyLines()
    const drain = () => (lines.hasRows ? lines.flush(write) : undefined)
    const result = await inspect(source, { ...common, onKey: lines.add, drain })
    await lines.flush(write)
    return result
  }
  const rows = new RowBuffer(isCsv ? new CsvRows() : new KeyRows())
  if (isCsv) await write(Buffer.from(CSV_HEADER))
  const result = await inspect(source, {
    ...common,
    onKey: rows.add,
    onStrings: rows.addStrings,
    drain: () => (rows.hasRows ? rows.flush(write) : undefined),
  })
  await rows.flush(write)
  return result
}
