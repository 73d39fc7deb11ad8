/** The files of a backup, read whole: what they are by their bytes. */
import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { fileError } from '../../disk/file-error.js'
import { AbortedError, RdbError } from '../../errors.js'
import { DEPTH, type Slice } from '../../rdb/visitor.js'
import { walkRdb } from '../../source/read-rdb.js'
import type { Progress } from '../../source/progress.js'

export interface DumpFacts {
  bytes: number
  sha256: string
  keys: number
  expires: number
  databases: Record<string, number>
  rdbVersion: number
  aux: ReadonlyMap<string, string>
}

/** Every byte of it is read and every value walked. Rejects with RdbError, FileError, AbortedError. */
export async function readDump(
  path: string,
  signal: AbortSignal | undefined,
  onProgress?: (progress: Progress<'check'>) => void,
): Promise<DumpFacts> {
  const databases: Record<string, number> = {}
  const aux = new Map<string, string>()
  let [keys, expires] = [0, 0]
  const { summary } = await walkRdb(
    path,
    {
      key: (header) => {
        keys += 1
        if (header.hasExpiry) expires += 1
        databases[header.dbnum] = (databases[header.dbnum] ?? 0) + 1
        return DEPTH.SKIP
      },
      aux: (field, value) => {
        aux.set(textOf(field), textOf(value))
      },
    },
    {
      signal,
      validate: true,
      onProgress: ({ done, total, unit }) => onProgress?.({ phase: 'check', done, total, unit }),
    },
  )
  const { bytes, sha256 } = await hashFile(path, signal)
  return { bytes, sha256, keys, expires, databases, rdbVersion: summary.version, aux }
}

function textOf({ bytes, start, end }: Slice): string {
  return bytes.toString('latin1', start, end)
}

/** Throws RdbError where the bytes are not those that the record says. */
export function compareBytes(
  path: string,
  found: { bytes: number; sha256: string },
  recorded: { bytes: number; sha256: string },
): void {
  if (found.bytes !== recorded.bytes) throw notAsStored(path, 'length')
  if (found.sha256 !== recorded.sha256) throw notAsStored(path, 'hash')
}

export function notAsStored(path: string, what: string): RdbError {
  const message = `it is not what was stored: another ${what}`
  return new RdbError('ERR_RDB_CORRUPT', { file: path }, message)
}

/** Hex. */
export async function hashFile(
  path: string,
  signal: AbortSignal | undefined,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal })
    return { bytes: statSync(path).size, sha256: hash.digest('hex') }
  } catch (error) {
    if (signal?.aborted === true) throw new AbortedError()
    throw fileError(path, 'read', error)
  }
}
