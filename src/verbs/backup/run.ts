/**
 * `backup`: a snapshot, stored, checked, described; then, where it is asked for, older ones removed.
 *
 * The backup is a directory of plain dumps that redis-server loads without us. It appears whole, with its
 * record in it, and is never changed again. What goes wrong behind that does not make it worse.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, renameSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../../disk/atomic-file.js'
import { endingOf } from '../../disk/compression.js'
import { errnoOf, fileError } from '../../disk/file-error.js'
import { statOf } from '../../disk/stat.js'
import { WholeDirectory } from '../../disk/whole-directory.js'
import { syncDirectory } from '../../disk/write-all.js'
import { RrepError, UsageError } from '../../errors.js'
import { readCatalogue, refuseRemote, removeUnborn } from '../../repository/catalogue.js'
import {
  backupId,
  isName,
  RECORD_FILE,
  writeRecord,
  type BackupFile,
  type BackupRecord,
} from '../../repository/record.js'
import { isEmptyPolicy } from '../../repository/retention.js'
import { nameOfSource, readSource, type Source, type SourceName } from '../../source/classify.js'
import { NODES_FILE } from '../../source/nodes-file.js'
import { syncCluster } from '../sync/cluster.js'
import type { SyncResult } from '../sync/options.js'
import { sync } from '../sync/run.js'
import { hashFile, readDump } from './files.js'
import type { BackupOptions, BackupResult } from './options.js'
import { prune } from './prune.js'

export type * from './options.js'
export type { BackupFile, BackupRecord } from '../../repository/record.js'
export type { RetentionPolicy } from '../../repository/retention.js'

const DEFAULT_GUARD = 0.5

type LiveSource = Extract<Source, { kind: 'server' | 'cluster' }>

/**
 * Of a server or a cluster. Rejects with UsageError, LinkError, AuthError, ProtocolError, RdbError (the
 * snapshot is damaged), FileError or AbortedError; nothing is left of the backup then.
 */
export async function backup(source: SourceName, options: BackupOptions): Promise<BackupResult> {
  const opened = readSource(source)
  if (opened.kind !== 'server' && opened.kind !== 'cluster') {
    throw new UsageError(`${nameOfSource(opened)} is a file: a backup is taken of a server`, {
      hint: 'a dump that is there is copied as any file',
    })
  }
  refuseRemote(options.to)
  const name = options.name ?? defaultName(opened)
  if (!isName(name)) throw new UsageError(`a backup cannot be called ${JSON.stringify(name)}`)
  if (options.keep !== undefined && isEmptyPolicy(options.keep)) {
    throw new UsageError('a policy that keeps nothing is none')
  }
  const share = options.guard ?? DEFAULT_GUARD
  const before = statOf(options.to) === undefined ? [] : readCatalogue(options.to, name).backups
  const startedAt = new Date()
  const id = backupId(startedAt, randomBytes(4).toString('hex'))
  const place = join(options.to, name)
  const made = makeDirectories(options.to, place)
  if (options.dryRun !== true) removeUnborn(options.to, name)
  const directory = new WholeDirectory(join(place, id))
  // Those that the guard held are no measure: else the second empty night would be as the first.
  const lastGood = before.findLast((each) => each.record.farFewerThan === undefined)?.record
  let record: BackupRecord
  try {
    const taken = await take(opened, directory.temporaryPath, options)
    record = await describe(taken, directory.temporaryPath, {
      id,
      name,
      startedAt,
      options,
      opened,
    })
    const lastKeys = lastGood?.keys ?? 0
    if (share > 0 && record.keys < lastKeys * (1 - share)) record.farFewerThan = lastKeys
    if (options.dryRun === true) {
      return { record, directory: directory.targetPath, guarded: undefined, pruned: [] }
    }
    writeFileAtomic(join(directory.temporaryPath, RECORD_FILE), writeRecord(record))
    directory.commit()
  } finally {
    directory.discard()
    // They are empty again, unless somebody else began a backup there.
    if (options.dryRun === true) made.forEach(removeEmpty)
  }
  const { farFewerThan } = record
  const isFarFewer = farFewerThan !== undefined
  const guarded = isFarFewer ? { before: farFewerThan, now: record.keys } : undefined
  const { keep } = options
  const result = { record, directory: directory.targetPath, guarded, pruned: [] }
  if (keep === undefined || isFarFewer) return result
  try {
    return { ...result, pruned: prune(options.to, { name, keep }).removed }
  } catch (error) {
    // The backup is none the worse for it.
    if (error instanceof RrepError) return { ...result, pruneError: error }
    throw error
  }
}

interface Taken {
  file: string
  result: SyncResult
  node?: string
  slots?: BackupFile['slots']
}

async function take(
  source: LiveSource,
  directory: string,
  options: BackupOptions,
): Promise<readonly Taken[]> {
  const { compress, retries, signal, onEvent, onProgress } = options
  const common = { compress, retries, signal, onEvent }
  if (source.kind === 'server') {
    const file = `dump.rdb${endingOf(compress)}`
    const result = await sync(source.server, {
      ...common,
      output: join(directory, file),
      onProgress: ({ done, total, unit }) => onProgress?.({ phase: 'sync', done, total, unit }),
    })
    return [{ file, result }]
  }
  const output = join(directory, 'shards')
  const { shards } = await syncCluster(source.seeds, {
    ...common,
    output,
    onProgress: ({ done, total, unit }) => onProgress?.({ phase: 'sync', done, total, unit }),
  })
  // Beside the record, as redis-cli would have them.
  for (const name of readdirSync(output)) renameSync(join(output, name), join(directory, name))
  rmdirSync(output)
  return shards.map((result) => ({
    file: result.file,
    result,
    node: result.node,
    slots: result.slots,
  }))
}

async function describe(
  taken: readonly Taken[],
  directory: string,
  facts: {
    id: string
    name: string
    startedAt: Date
    options: BackupOptions
    opened: LiveSource
  },
): Promise<BackupRecord> {
  const { options, opened } = facts
  const files: BackupFile[] = []
  const databases: Record<string, number> = {}
  let usedMemory = 0
  let rdbVersion = 0
  for (const { file, node, slots } of taken) {
    const dump = await readDump(join(directory, file), options.signal, options.onProgress)
    const { bytes, sha256, keys, expires } = dump
    files.push({ file, bytes, sha256, keys, expires, node, slots })
    for (const [db, count] of Object.entries(dump.databases)) {
      databases[db] = (databases[db] ?? 0) + count
    }
    usedMemory += Number(dump.aux.get('used-mem') ?? 0)
    rdbVersion = Math.max(rdbVersion, dump.rdbVersion)
  }
  const [first] = taken
  const isCluster = opened.kind === 'cluster'
  return {
    format: 1,
    id: facts.id,
    name: facts.name,
    source: nameOfSource(opened),
    startedAt: facts.startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    replid: isCluster ? undefined : first!.result.replid,
    replOffset: isCluster ? undefined : first!.result.replOffset,
    serverVersion: first!.result.serverVersion,
    rdbVersion,
    keys: files.reduce((sum, each) => sum + each.keys, 0),
    expires: files.reduce((sum, each) => sum + each.expires, 0),
    databases,
    usedMemory: usedMemory > 0 ? usedMemory : undefined,
    tags: options.tags ?? [],
    files,
    isCluster,
    nodes: isCluster ? await hashFile(join(directory, NODES_FILE), options.signal) : undefined,
  }
}

function defaultName(source: LiveSource): string {
  const address = source.kind === 'server' ? source.server.address : source.seeds[0]!.address
  if (address.name !== undefined) return address.name
  const host = address.transport === 'unix' ? (address.socketPath ?? 'socket') : address.host
  return `${host}-${address.port}`.replaceAll(/[^A-Za-z0-9._-]/g, '_')
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOTEMPTY') throw fileError(path, 'write', error)
  }
}

/** Those that were made, the innermost first. */
function makeDirectories(repository: string, place: string): readonly string[] {
  const made: string[] = []
  for (const path of [repository, place]) {
    if (statOf(path)?.isDirectory() === true) continue
    try {
      mkdirSync(path, { mode: 0o700 })
      made.unshift(path)
      syncDirectory(join(path, '..'))
    } catch (error) {
      throw fileError(path, 'write', error)
    }
  }
  return made
}
