/**
 * The proof that a backup can be restored: a server of our own loads it, and what that holds is compared
 * with what is stored, key by key. The backup stays as it is; the proof is a file beside it.
 */
import { join } from 'node:path'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { ProtocolError, TargetError } from '../../errors.js'
import type { StoredBackup } from '../../repository/catalogue.js'
import { proofName, type Proof } from '../../repository/proof.js'
import type { BackupFile } from '../../repository/record.js'
import type { Progress } from '../../source/progress.js'
import { startScratchServer, type ScratchServer } from '../../source/scratch-server.js'
import { diff, type DiffResult } from '../diff/run.js'
import { magicOf, unpack } from './files.js'

export interface ProveOptions {
  /** The redis-server or valkey-server that loads it. Default: one of PATH that can. */
  withServer?: string | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress<'prove'>) => void) | undefined
}

/** Of a cluster each shard, one after the other. Rejects with TargetError ERR_NOT_PROVEN, RdbError (it is not
 * what was stored), ProtocolError (there is no server that loads it), FileError or AbortedError. */
export async function prove(backup: StoredBackup, options: ProveOptions): Promise<Proof> {
  const { record, store, path } = backup
  const proof: Proof = {
    provenAt: '',
    id: record.id,
    server: '',
    keys: 0,
    expired: 0,
    restoreMs: 0,
    compareMs: 0,
  }
  for (const file of record.files) await proveFile(backup, file, options, proof)
  const at = new Date()
  proof.provenAt = at.toISOString()
  await store.put([...path, proofName(at)], `${JSON.stringify(proof, undefined, 2)}\n`)
  return proof
}

async function proveFile(
  { directory: place, store, path }: StoredBackup,
  stored: BackupFile,
  options: ProveOptions,
  proof: Proof,
): Promise<void> {
  const { identity, signal, withServer } = options
  const file = [...path, stored.file]
  const directory = makeTemporaryDir('rrep-prove-')
  try {
    const startedMs = performance.now()
    const dump = join(directory, 'dump.rdb')
    await unpack(await store.open(file), dump, stored, { identity, signal })
    const server = await startedToLoad(place, async () =>
      startScratchServer({
        program: withServer,
        signal,
        rdb: { path: dump, magic: magicOf(dump) },
      }),
    )
    try {
      const loadedMs = performance.now()
      proof.restoreMs += Math.round(loadedMs - startedMs)
      proof.server = server.description
      const result = await diff(dump, server.settings, {
        signal,
        limit: 1,
        onProgress: ({ done, total, unit }) =>
          options.onProgress?.({ phase: 'prove', done, total, unit }),
      })
      checkSame(result, stored, place)
      proof.compareMs += Math.round(performance.now() - loadedMs)
      proof.keys += result.a.keys
      proof.expired += result.keysExpired
    } finally {
      await server.stop()
    }
  } finally {
    removeTemporaryDir(directory)
  }
}

/** A server that ends while it loads has proven the opposite. */
export async function startedToLoad(
  place: string,
  start: () => Promise<ScratchServer>,
): Promise<ScratchServer> {
  try {
    return await start()
  } catch (error) {
    if (!(error instanceof ProtocolError) || error.code !== 'ERR_SCRATCH_SERVER') throw error
    throw notProven(place, error.message, error)
  }
}

function checkSame(result: DiffResult, { keys }: BackupFile, place: string): void {
  if (result.a.keys !== keys) {
    throw notProven(place, `it holds ${result.a.keys} keys, and ${keys} were stored`)
  }
  if (!result.same) {
    throw notProven(place, `${result.keysDifferent} keys of the server that loaded it differ`)
  }
}

export function notProven(place: string, what: string, cause?: Error): TargetError {
  return new TargetError('ERR_NOT_PROVEN', `${place} is not proven: ${what}`, { cause })
}
