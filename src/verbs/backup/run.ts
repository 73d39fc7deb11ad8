/**
 * `backup`: a snapshot, stored, checked, described; then, where it is asked for, older ones removed.
 *
 * The backup is a directory of plain dumps that redis-server loads without us. It appears whole, with its
 * record in it, and is never changed again. What goes wrong behind that does not make it worse.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createCompressor, endingOf } from '../../disk/compression.js'
import { RrepError, UsageError } from '../../errors.js'
import { catalogueOf, removeUnborn } from '../../repository/catalogue.js'
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
import type { ServerSettings } from '../../net/server-settings.js'
import { openStore } from '../../storage/open-store.js'
import type { NewFolder } from '../../storage/store.js'
import type { Progress } from '../../source/progress.js'
import { syncShards } from '../sync/cluster.js'
import type { SyncResult } from '../sync/options.js'
import { syncInto } from '../sync/run.js'
import type { DumpFacts } from './files.js'
import type { BackupOptions, BackupResult } from './options.js'
import { prune } from './prune.js'
import { storeDump, type Storing } from './storing.js'

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
  const opened = await readSource(source)
  if (opened.kind !== 'server' && opened.kind !== 'cluster') {
    throw new UsageError(`${nameOfSource(opened)} is a file: a backup is taken of a server`, {
      hint: 'a dump that is there is copied as any file',
    })
  }
  const store = await openStore(options.to, { signal: options.signal })
  const name = options.name ?? defaultName(opened)
  if (!isName(name)) throw new UsageError(`a backup cannot be called ${JSON.stringify(name)}`)
  if (options.keep !== undefined && isEmptyPolicy(options.keep)) {
    throw new UsageError('a policy that keeps nothing is none')
  }
  // What cannot be made here is told before the master saves.
  if (options.compress !== undefined) createCompressor(options.compress).destroy()
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
    const taken = await take(opened, folder, options)
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
  const { keep } = options
  const result = { record, directory: folder.place, guarded, pruned: [] }
  if (keep === undefined || isFarFewer) return result
  try {
    return {
      ...result,
      pruned: (await prune(options.to, { name, keep, signal: options.signal })).removed,
    }
  } catch (error) {
    // The backup is none the worse for it.
    if (error instanceof RrepError) return { ...result, pruneError: error }
    throw error
  }
}

interface Takings {
  dumps: readonly Taken[]
  /** Of a cluster. */
  nodes: BackupRecord['nodes']
}

interface Taken {
  file: string
  result: SyncResult
  dump: DumpFacts
  node?: string
  slots?: BackupFile['slots']
}

async function take(
  source: LiveSource,
  folder: NewFolder,
  options: BackupOptions,
): Promise<Takings> {
  const { compress, retries, signal, onEvent } = options
  const common = { retries, signal, onEvent }
  const onProgress = ({ done, total, unit }: Progress): void =>
    options.onProgress?.({ phase: 'sync', done, total, unit })
  const store = async (file: string, server: ServerSettings): Promise<Storing> =>
    await storeDump(folder, file, server, options)
  if (source.kind === 'server') {
    const file = `dump.rdb${endingOf(compress)}`
    const { server } = source
    const { output, facts, ...way } = await store(file, server)
    const result = await syncInto(output, { ...common, ...way, server, onProgress })
    return { dumps: [{ file, result, dump: await facts() }], nodes: undefined }
  }
  const storings = new Map<string, Storing>()
  let nodes: BackupRecord['nodes']
  const shards = await syncShards(
    source.seeds,
    {
      create: async (file, server) => {
        const storing = await store(file, server)
        storings.set(file, storing)
        return storing
      },
      put: async (file, text) => {
        nodes = { bytes: Buffer.byteLength(text), sha256: sha256Of(text) }
        await folder.put(file, text)
      },
      clear: async () => {
        await folder.clear()
      },
    },
    { ...common, compress, onProgress },
  )
  const dumps: Taken[] = []
  for (const result of shards) {
    const { file, node, slots } = result
    dumps.push({ file, result, dump: await storings.get(file)!.facts(), node, slots })
  }
  return { dumps, nodes }
}

function describe(
  { dumps, nodes }: Takings,
  facts: {
    id: string
    name: string
    startedAt: Date
    options: BackupOptions
    opened: LiveSource
  },
): BackupRecord {
  const { options, opened } = facts
  const files: BackupFile[] = []
  const databases: Record<string, number> = {}
  let usedMemory = 0
  let rdbVersion = 0
  for (const { file, dump, node, slots } of dumps) {
    const { bytes, sha256, keys, expires } = dump
    files.push({ file, bytes, sha256, keys, expires, node, slots })
    for (const [db, count] of Object.entries(dump.databases)) {
      databases[db] = (databases[db] ?? 0) + count
    }
    usedMemory += Number(dump.aux.get('used-mem') ?? 0)
    rdbVersion = Math.max(rdbVersion, dump.rdbVersion)
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
    nodes,
  }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function defaultName(source: LiveSource): string {
  const address = source.kind === 'server' ? source.server.address : source.seeds[0]!.address
  if (address.name !== undefined) return address.name
  const host = address.transport === 'unix' ? (address.socketPath ?? 'socket') : address.host
  return `${host}-${address.port}`.replaceAll(/[^A-Za-z0-9._-]/g, '_')
}
