/**
 * Parquet by DuckDB, where that is installed: a third of the work of the writer that rrep brings along, for
 * the same rows. Only what is plain goes this way: one source into a file. Whatever DuckDB cannot do, and
 * what is damaged, is left to that writer, which tells what is wrong as ever.
 */
import { fstatSync } from 'node:fs'
import { fileError } from '../../disk/file-error.js'
import { placeOf } from '../../disk/place.js'
import { WholeFile } from '../../disk/whole-file.js'
import { InputError, InternalError, RrepError } from '../../errors.js'
import type { Source } from '../../source/classify.js'
import type { SqlRead } from '../sql/options.js'
import type { ExportOptions, ExportResult } from './options.js'

const COLUMNS =
  'database, type, key, size_in_bytes, encoding, num_elements, len_largest_element, expiry'
/** As many as the other writer puts into a group: memory stays flat. */
const ROWS_OF_GROUP = 1 << 15

/** Undefined: it goes the other way. Rejects as the reading of the source does, with FileError or
 * AbortedError. */
export async function parquetByDuckdb(
  sources: readonly Source[],
  options: ExportOptions,
): Promise<ExportResult | undefined> {
  const { output, sink, format, salvage, withoutDuckdb } = options
  const [source] = sources
  const isPlain = sources.length === 1 && (source?.kind === 'file' || source?.kind === 'directory')
  if (format !== 'parquet' || !isPlain || salvage === true || withoutDuckdb === true)
    return undefined
  if (typeof output !== 'string' || output === '' || sink !== undefined) return undefined
  const place = placeOf(output)
  // Changes of keys are refused there.
  if (place.kind !== 'file' || isChanged(options)) return undefined
  const { findDuckdb, sql } = await import('../sql/run.js')
  try {
    findDuckdb()
  } catch {
    return undefined
  }
  const file = new WholeFile(place.path)
  try {
    let read: SqlRead | undefined
    let keysWritten = 0
    for await (const { rows } of sql(source, copyInto(file.temporaryPath), {
      ...options,
      onRead: (outcome) => (read = outcome),
    })) {
      for (const [count] of rows) keysWritten = Number(count)
    }
    if (read === undefined) throw new InternalError('DuckDB has written what it has not read')
    const { size } = fstatSync(file.openFd())
    await file.commit()
    return resultOf(read, { keysWritten, writtenBytes: size })
  } catch (error) {
    file.discard()
    if (isForOthers(error)) return undefined
    throw error instanceof RrepError ? error : fileError(output, 'write', error)
  }
}

function isChanged({ mapDb, rewriteKey, transform, scrub, split, lzf }: ExportOptions): boolean {
  return [mapDb, rewriteKey, transform, scrub, split, lzf].some((each) => each !== undefined)
}

/** The file is there, and its owner's alone. */
function copyInto(path: string): string {
  const form = `format parquet, compression snappy, row_group_size ${ROWS_OF_GROUP}`
  return `copy (select ${COLUMNS} from keys) to '${path.replaceAll("'", "''")}' (${form}, use_tmp_file false)`
}

function isForOthers(error: unknown): boolean {
  if (error instanceof InputError) return true
  if (!(error instanceof RrepError)) return false
  return error.code === 'ERR_NO_DUCKDB' || error.code === 'ERR_DATABASE'
}

function resultOf(
  read: SqlRead,
  written: { keysWritten: number; writtenBytes: number },
): ExportResult {
  const { rdbVersion, checksum, keysRead, functions, modules, notices } = read
  const { trailingBytes, commandsLeftOut, built, file } = read
  return {
    ...{ source: file, format: 'parquet', rdbVersion, checksum, keysRead },
    ...written,
    keysFiltered: keysRead - written.keysWritten,
    ...{ keysDropped: 0, scrubbed: undefined, keysInConflict: 0, commands: 0 },
    ...{ functions, parts: [], modules, losses: {}, inexactStrings: 0, unorderedValues: 0 },
    ...{ notices, trailingBytes, commandsLeftOut, built },
    ...{ lost: [], lostRegions: 0, lostBytes: 0, error: undefined },
  }
}
