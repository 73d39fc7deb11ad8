/**
 * `restore REPO[@SEL] DIR`: a data directory that redis-server starts on, whatever its `appendonly` says.
 * A dump.rdb alone is ignored in silence by a server with `appendonly yes`, and an append-only file by one
 * with `no`: so both are there, with the same content.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { shareFile } from '../../disk/share-file.js'
import { writeFileAtomic } from '../../disk/atomic-file.js'
import { WholeDirectory } from '../../disk/whole-directory.js'
import { ProtocolError, UsageError } from '../../errors.js'
import { findServer } from '../../source/scratch-server.js'
import { magicOf, unpack } from '../backup/files.js'
import { checkIncrements } from '../../archive/check.js'
import { momentOf, type Until } from '../../archive/moment.js'
import { openArchive } from '../../archive/reader.js'
import { isFarArchive } from '../../source/fetched-archive.js'
import { findArchive, findBackup } from '../../repository/catalogue.js'
import { exportState } from '../backup/take.js'
import type { BackupRecord } from '../../repository/record.js'

export interface RestoreOptions {
  /** Default both. */
  form?: 'both' | 'rdb' | 'aof' | undefined
  /** Of an archive: its state at this moment. Default: its end. */
  until?: Until
  /** The redis-server or valkey-server that an archive's commands are applied in. Default: that of PATH. */
  withServer?: string | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  signal?: AbortSignal | undefined
}

export interface RestoreResult {
  /** Undefined of an archive. */
  record: BackupRecord | undefined
  keys: number
  /** Where the backup lies. */
  from: string
  directory: string
  /** In the directory. */
  files: readonly string[]
  /** The servers on PATH are too old for it: in words. */
  warning: string | undefined
}

const BASE = 'appendonly.aof.1.base.rdb'
const INCR = 'appendonly.aof.1.incr.aof'

/** Into a directory that is absent or empty, and appears whole. Rejects with FileError,
 * UsageError, RdbError (the backup is not what was stored). */
export async function restoreTo(
  selector: string,
  target: string,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  const { form = 'both', identity, until, withServer, signal } = options
  const archive = await findArchive(selector, { signal, until })
  const backup = archive === undefined ? await findBackup(selector, signal) : undefined
  if (backup?.record.isCluster === true) {
    const { record, directory: from } = backup
    throw new UsageError(`${record.id} is of a cluster: its shards are no data of one server`, {
      hint: `its directory ${from} can be loaded into a cluster or a server: \`replay()\``,
    })
  }
  const directory = new WholeDirectory(target)
  const place = (name: string): string => join(directory.temporaryPath, name)
  const files: string[] = []
  let keys: number
  let warning: string | undefined
  try {
    const dump = place('dump.rdb')
    if (backup === undefined) {
      const { directory: path } = archive!
      const source = { kind: 'directory' as const, path }
      // What is fetched from a bucket is compared as it comes.
      if (!isFarArchive(source)) await checkNeeded(path, until, signal)
      keys = await exportState(source, dump, { until, withServer, signal })
    } else {
      const { record, store, path } = backup
      const [stored] = record.files
      await unpack(await store.open([...path, stored!.file]), dump, stored!, { identity, signal })
      keys = record.keys
    }
    warning = await tooOldFor(dump)
    if (form !== 'aof') files.push('dump.rdb')
    if (form !== 'rdb') {
      const set = place('appendonlydir')
      mkdirSync(set, { mode: 0o700 })
      // Servers replace such files, and never write into them.
      shareFile(dump, join(set, BASE))
      writeFileAtomic(join(set, INCR), '')
      const manifest = `file ${BASE} seq 1 type b\nfile ${INCR} seq 1 type i\n`
      writeFileAtomic(join(set, 'appendonly.aof.manifest'), manifest)
      files.push('appendonlydir')
    }
    if (form === 'aof') rmSync(dump)
    directory.commit()
  } finally {
    directory.discard()
  }
  const from = (archive ?? backup!).directory
  return { record: backup?.record, keys, from, directory: target, files, warning }
}

async function checkNeeded(
  path: string,
  until: Until,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { increments } = openArchive(path).at(momentOf(until))
  const only = new Set(increments.map((each) => basename(each.path)))
  await checkIncrements(path, { only, signal })
}

async function tooOldFor(dump: string): Promise<string | undefined> {
  const magic = magicOf(dump)
  try {
    await findServer(magic.family, magic)
    return undefined
  } catch (error) {
    if (!(error instanceof ProtocolError) || error.code !== 'ERR_NO_SERVER') throw error
    // None at all: it will be started elsewhere.
    return error.details['tooOld'] === '' ? undefined : error.message
  }
}
