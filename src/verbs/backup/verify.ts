/** Is a backup what its record says? Every byte is read: hashes, checksums, structure, keys. */
import { join } from 'node:path'
import { selectBackup } from '../../repository/catalogue.js'
import { NODES_FILE } from '../../source/nodes-file.js'
import type { Progress } from '../../source/progress.js'
import { compareBytes, hashFile, notAsStored, readDump } from './files.js'
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
  for (const recorded of record.files) {
    const path = join(directory, recorded.file)
    const found = await readDump(path, options.signal, options.onProgress)
    compareBytes(path, found, recorded)
    if (found.keys !== recorded.keys) throw notAsStored(path, 'number of keys')
    keys += found.keys
  }
  if (record.nodes !== undefined) {
    const path = join(directory, NODES_FILE)
    compareBytes(path, await hashFile(path, options.signal), record.nodes)
  }
  return { record, directory, keys }
}
