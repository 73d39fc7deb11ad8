/**
 * `backup`: a snapshot, stored, checked, described; then, where it is asked for, older ones removed.
 *
 * The backup is a directory of plain dumps that redis-server loads without us. It appears whole, with its
 * record in it, and is never changed again. What goes wrong behind that does not make it worse.
 */
import { randomBytes } from 'node:crypto'
import { AbortedError, RrepError, UsageError } from '../../errors.js'
import { catalogueOf, removeUnborn } from '../../repository/catalogue.js'
import {
  backupId,
  isName,
  RECORD_FILE,
  writeRecord,
  type BackupFile,
  type BackupRecord,
  type DatabaseCount,
} from '../../repository/record.js'
import { isEmptyPolicy } from '../../repository/retention.js'
import { nameOfSource, readSource, type Source, type SourceName } from '../../source/classify.js'
import { findServer } from '../../source/scratch-server.js'
import { openStore } from '../../storage/open-store.js'
import { oldestThatLoad, type RdbMagic } from '../../servers/rdb-version.js'
import type { BackupOptions, BackupResult } from './options.js'
import { nameOfBackups } from './name.js'
import { prove } from './prove.js'
import { prune } from './prune.js'
import { packingOf } from './storing.js'
import { take, type Takings } from './take.js'

export type * from './options.js'
export type { BackupFile, BackupRecord } from '../../repository/record.js'
export type { RetentionPolicy } from '../../repository/retention.js'

const DEFAULT_GUARD = 0.5

/**
 * Of a server, a cluster, a dump, or an archive at a moment. Rejects with UsageError, LinkError, AuthError, ProtocolError, RdbError (the
 * snapshot is damaged), FileError or AbortedError; nothing is left of the backup then.
 */
export async function backup(source: SourceName, options: BackupOptions): Promise<BackupResult> {
  const opened = await readSource(source)
  if (options.moment === true && opened.kind !== 'cluster') {
    throw new UsageError('`moment` is for a cluster: what one server saves is of one moment')
  }
  if (options.strict === true && options.moment !== true) {
    throw new UsageError('`strict` needs `moment`')
  }
  const isLive = opened.kind === 'server' || opened.kind === 'cluster'
  if (isLive && options.until !== undefined) {
    throw new UsageError(`${nameOfSource(opened)} is live: its state is that of now`, {
      hint: 'a moment is for AOFs and archives',
    })
  }
  const store = await openStore(options.to, { signal: options.signal })
  const name = options.name ?? nameOfBackups(opened)
  if (!isName(name)) throw new UsageError(`a backup cannot be called ${JSON.stringify(name)}`)
  if (options.keep !== undefined && isEmptyPolicy(options.keep)) {
    throw new UsageError('a policy that keeps nothing is none')
  }
  // What cannot be made here is told before the master saves.
  const packing = await packingOf(options.compress, options.encryptTo)
  if (packing.isSealed && options.prove === true && options.identity === undefined) {
    throw new UsageError('to prove what is encrypted it must be read: that needs `identity`', {
      hint: 'or prove it where the identity is: `verifyBackup()`',
    })
  }
  if (options.prove === true && options.withServer === undefined) await findServer('redis')
  const share = options.guard ?? DEFAULT_GUARD
  const { backups: before, unfinished } = await catalogueOf(store, name)
  const startedAt = new Date()
  const id = backupId(startedAt, randomBytes(4).toString('hex'))
  if (options.dryRun !== true) await removeUnborn(store, name, unfinished)
  const folder = await store.createFolder([name, id])
  // Those that the guard held are no measure: else the second empty night would be as the first.
  const lastGood = before.findLast((each) => each.record.farFewerThan === undefined)?.record
  let record: BackupRecord
  try {
    const taken = await take(opened, folder, { ...options, packing })
    record = describe(taken, { id, name, startedAt, options, opened })
    const lastKeys = lastGood?.keys ?? 0
    if (share > 0 && record.keys < lastKeys * (1 - share)) record.farFewerThan = lastKeys
    if (options.dryRun === true) {
      return { record, directory: folder.place, guarded: undefined, pruned: [] }
    }
    await folder.commit(RECORD_FILE, writeRecord(record))
  } finally {
    await folder.discard()
  }
  const { farFewerThan } = record
  const isFarFewer = farFewerThan !== undefined
  const guarded = isFarFewer ? { before: farFewerThan, now: record.keys } : undefined
  const result: BackupResult = { record, directory: folder.place, guarded, pruned: [] }
  // The backup is none the worse for what goes wrong from here on.
  if (options.prove === true) {
    const stored = { ...result, atMs: startedAt.getTime(), provenAtMs: undefined }
    try {
      result.proof = await prove({ ...stored, store, path: [name, id] }, options)
    } catch (error) {
      result.proofError = passing(error)
    }
  }
  const { keep } = options
  if (keep === undefined || isFarFewer || result.proofError !== undefined) return result
  try {
    result.pruned = (await prune(options.to, { name, keep, signal: options.signal })).removed
  } catch (error) {
    result.pruneError = passing(error)
  }
  return result
}

function passing(error: unknown): RrepError {
  if (error instanceof RrepError && !(error instanceof AbortedError)) return error
  throw error
}

function describe(
  { dumps, nodes, moment }: Takings,
  facts: {
    id: string
    name: string
    startedAt: Date
    options: BackupOptions
    opened: Source
  },
): BackupRecord {
  const { options, opened } = facts
  const files: BackupFile[] = []
  const databases: Record<string, DatabaseCount> = {}
  const aux = new Map<string, string>()
  let usedMemory = 0
  let magic: RdbMagic | undefined
  for (const { file, dump, node, slots, ...taken } of dumps) {
    const { bytes, sha256, crc64, keys, expires } = dump
    const replOffset = node === undefined ? undefined : taken.replOffset
    files.push({ file, bytes, sha256, crc64, keys, expires, node, slots, replOffset })
    for (const [db, count] of Object.entries(dump.databases)) {
      const before = databases[db] ?? { keys: 0, expires: 0 }
      databases[db] = {
        keys: before.keys + count.keys,
        expires: before.expires + count.expires,
      }
    }
    for (const [field, value] of dump.aux) aux.set(field, value)
    usedMemory += Number(dump.aux.get('used-mem') ?? 0)
    if (magic === undefined || dump.magic.version > magic.version) magic = dump.magic
  }
  const [first] = dumps
  const isCluster = opened.kind === 'cluster'
  return {
    format: 1,
    id: facts.id,
    name: facts.name,
    source: nameOfSource(opened),
    startedAt: facts.startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    replid: first!.replid,
    replOffset: isCluster ? undefined : first!.replOffset,
    role: first!.role,
    serverVersion: first!.serverVersion ?? aux.get('valkey-ver') ?? aux.get('redis-ver'),
    rdbVersion: magic!.version,
    loadableBy: oldestThatLoad(magic!),
    keys: files.reduce((sum, each) => sum + each.keys, 0),
    expires: files.reduce((sum, each) => sum + each.expires, 0),
    databases,
    usedMemory: usedMemory > 0 ? usedMemory : undefined,
    tags: options.tags ?? [],
    files,
    isCluster,
    encryption: options.encryptTo === undefined ? undefined : 'age',
    nodes,
    moment,
  }
}
