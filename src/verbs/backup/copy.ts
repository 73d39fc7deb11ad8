/** A backup into another repository: the same bytes, compared with the record while they pass. */
import {
  catalogueOf,
  checkRecord,
  findBackup,
  type StoredBackup,
} from '../../repository/catalogue.js'
import { RECORD_FILE, writeRecord, type BackupRecord } from '../../repository/record.js'
import { NODES_FILE } from '../../source/nodes-file.js'
import type { Progress } from '../../source/progress.js'
import { openStore } from '../../storage/open-store.js'
import type { NewFolder } from '../../storage/store.js'
import { compareBytes, hashObject, notAsStored } from './files.js'

export interface CopyOptions {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress<'copy'>) => void) | undefined
}

export interface CopyResult {
  record: BackupRecord
  from: string
  directory: string
  /** False: it was there already. */
  copied: boolean
}

/** A small file: names and slots of a cluster's nodes. */
const MAX_NODES_BYTES = 64 << 20

/** `REPO[@SEL]` into the repository `to`, under the same name and id. Rejects with RdbError (it is not what
 * was stored), FileError, UsageError or AbortedError; nothing is left there then. */
export async function copyBackup(
  selector: string,
  to: string,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const backup = await findBackup(selector, options.signal)
  const { record } = backup
  await checkRecord(backup)
  const store = await openStore(to, { signal: options.signal })
  const place = [record.name, record.id]
  const result = { record, from: backup.directory, directory: store.pathOf(place) }
  const { backups } = await catalogueOf(store, record.name)
  if (backups.some((each) => each.record.id === record.id)) return { ...result, copied: false }
  const folder = await store.createFolder(place)
  try {
    await copyFiles(backup, folder, options)
    await folder.commit(RECORD_FILE, writeRecord(record))
  } finally {
    await folder.discard()
  }
  return { ...result, copied: true }
}

async function copyFiles(
  { store, path, record }: StoredBackup,
  folder: NewFolder,
  { signal, onProgress }: CopyOptions,
): Promise<void> {
  const total = record.files.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  for (const stored of record.files) {
    const object = await store.open([...path, stored.file])
    const output = await folder.create(stored.file, { expectedBytes: stored.bytes })
    try {
      const found = await hashObject(object, signal, async (chunk) => {
        output.write(chunk)
        await output.drain()
        done += chunk.length
        onProgress?.({ phase: 'copy', done, total, unit: 'bytes' })
      })
      compareBytes(object.name, found, stored)
      await output.finish()
    } catch (error) {
      output.discard()
      throw error
    }
  }
  if (record.nodes === undefined) return
  const from = [...path, NODES_FILE]
  compareBytes(store.pathOf(from), await hashObject(await store.open(from), signal), record.nodes)
  const text = await store.readText(from, MAX_NODES_BYTES)
  if (text === undefined) throw notAsStored(store.pathOf(from), 'length')
  await folder.put(NODES_FILE, text)
}
