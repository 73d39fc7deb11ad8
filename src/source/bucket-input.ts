/** What lies in a bucket, as a source: an object by its name, or, by its record, a backup of a cluster:
 * the dumps of all shards as one. */
import { FileError } from '../errors.js'
import { parseRecord, RECORD_FILE } from '../repository/record.js'
import { openStore, splitPlace } from '../storage/open-store.js'
import type { StoredObject } from '../storage/store.js'
import type { ByteInput } from './byte-input.js'
import { joinDumps } from './shards.js'

const MAX_RECORD_BYTES = 64 << 20

/** `open` makes an input of the bytes of one object. */
export async function openBucketInput(
  name: string,
  open: (object: StoredObject) => Promise<ByteInput>,
  signal: AbortSignal | undefined,
): Promise<ByteInput> {
  const { outer, name: file } = splitPlace(name)
  const store = await openStore(outer, { signal })
  if (file !== RECORD_FILE) return await open(await store.open([file]))
  const record = parseRecord((await store.readText([file], MAX_RECORD_BYTES)) ?? '')
  if (record === undefined) {
    throw new FileError('ERR_NO_BACKUP', `${name} is no sound record of a backup`)
  }
  const dumps = record.files.map((each) => ({ path: each.file }))
  return await joinDumps(outer, dumps, async (path) => await open(await store.open([path])))
}
