/** Is a backup what its record says? Every byte is read: hashes, checksums, structure, keys. */
import { join } from 'node:path'
import { RdbError } from '../../errors.js'
import { selectBackup } from '../../repository/catalogue.js'
import type { Progress } from '../../source/progress.js'
import { readDump } from './files.js'
import type { VerifyResult } from './options.js'

export interface VerifyOptions {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress<'check'>) => void) | undefined
}

/** `REPO[@SEL]`. Rejects with RdbError (it is not what was stored), FileError, UsageError. */
export async function verifyBackup(
  selector: string,
  options: VerifyOptions = {},
): Promise<VerifyResult> {
  const { directory, record } = selectBackup(selector)
  let keys = 0
  for (const { file, bytes, sha256, keys: recorded } of record.files) {
    const path = join(directory, file)
    const found = await readDump(path, options.signal, options.onProgress)
    const differs = found.bytes !== bytes ? 'length' : found.sha256 !== sha256 ? 'hash' : undefined
    if (differs !== undefined || found.keys !== recorded) {
      throw new RdbError(
        'ERR_RDB_CORRUPT',
        { file: path },
        `it is not what was stored: another ${differs ?? 'number of keys'}`,
      )
    }
    keys += found.keys
  }
  return { record, directory, keys }
}
