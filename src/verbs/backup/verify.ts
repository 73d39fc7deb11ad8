/** Is a backup what its record says? Every byte is read: hashes, checksums, structure, keys. Of what is
 * encrypted, without an identity, the hashes. */
import { checkNewest, checkRecord, findBackup } from '../../repository/catalogue.js'
import { NODES_FILE } from '../../source/nodes-file.js'
import type { Progress } from '../../source/progress.js'
import { compareBytes, hashObject, notAsStored, readDump } from './files.js'
import type { VerifyResult } from './options.js'
import { prove } from './prove.js'
import { noIdentity } from '../../storage/age/streams.js'

export interface VerifyOptions {
  /** A server of our own loads it, and is compared with it; the proof is stored beside it. */
  prove?: boolean | undefined
  /** The redis-server or valkey-server for that. Default: one of PATH that loads it. */
  withServer?: string | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress<'check' | 'prove'>) => void) | undefined
}

/** `REPO[@SEL]`. Rejects with RdbError (it is not what was stored), TargetError ERR_NOT_PROVEN, FileError,
 * UsageError. */
export async function verifyBackup(
  selector: string,
  options: VerifyOptions = {},
): Promise<VerifyResult> {
  const backup = await findBackup(selector, options.signal)
  const { directory, record, store, path } = backup
  const wasRecordHashed = (await checkRecord(backup)) === 'whole'
  if (!selector.includes('@') || selector.endsWith('@latest')) await checkNewest(backup)
  const { identity, signal, onProgress } = options
  const wasContentRead = record.encryption === undefined || identity !== undefined
  if (options.prove === true && !wasContentRead) throw noIdentity(directory)
  let keys = 0
  for (const recorded of record.files) {
    const object = await store.open([...path, recorded.file])
    if (wasContentRead) {
      const found = await readDump(object, { identity, signal }, onProgress)
      compareBytes(object.name, found, recorded)
      if (found.keys !== recorded.keys) throw notAsStored(object.name, 'number of keys')
    } else compareBytes(object.name, await hashObject(object, signal), recorded)
    keys += recorded.keys
  }
  if (record.nodes !== undefined) {
    const object = await store.open([...path, NODES_FILE])
    compareBytes(object.name, await hashObject(object, signal), record.nodes)
  }
  const proof = options.prove === true ? await prove(backup, options) : undefined
  return { record, directory, keys, wasContentRead, wasRecordHashed, proof }
}
