/** Is a backup what its record says? Every byte is read: hashes, checksums, structure, keys. */
import { findBackup } from '../../repository/catalogue.js'
import { NODES_FILE } from '../../source/nodes-file.js'
import type { Progress } from '../../source/progress.js'
import { compareBytes, hashObject, notAsStored, readDump } from './files.js'
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
  const { directory, record, store, path } = await findBackup(selector, options.signal)
  const { signal, onProgress } = options
  let keys = 0
  for (const recorded of record.files) {
    const object = await store.open([...path, recorded.file])
    const found = await readDump(object, signal, onProgress)
    compareBytes(object.name, found, recorded)
    if (found.keys !== recorded.keys) throw notAsStored(object.name, 'number of keys')
    keys += found.keys
  }
  if (record.nodes !== undefined) {
    const object = await store.open([...path, NODES_FILE])
    compareBytes(object.name, await hashObject(object, signal), record.nodes)
  }
  return { record, directory, keys }
}
