/** The snapshot itself, into the folder of a backup: of a server, of all shards of a cluster, of a file. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { Output } from '../../disk/output/output.js'
import { RrepError, TargetError, UsageError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { BackupFile, BackupRecord } from '../../repository/record.js'
import { nameOfSource, type Source, type StoredSource } from '../../source/classify.js'
import type { SnapshotWalk } from '../../source/snapshot-walk.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { NODES_FILE } from '../../source/nodes-file.js'
import type { Progress } from '../../source/progress.js'
import type { NewFolder } from '../../storage/store.js'
import type { ClusterSeeds } from '../../topology/cluster.js'
import { quickLook, type QuickLook } from '../doctor/quick.js'
import { exportKeys, type ExportOptions } from '../export/run.js'
import { syncShards } from '../sync/cluster.js'
import { syncMoment } from '../sync/moment.js'
import { syncInto } from '../sync/run.js'
import type { DumpFacts } from './files.js'
import type { BackupOptions } from './options.js'
import { storeDump, type Packing, type Storing } from './storing.js'

export interface Takings {
  dumps: readonly Taken[]
  /** Of a cluster. */
  nodes: BackupRecord['nodes']
  moment?: BackupRecord['moment']
}

export interface Taken {
  file: string
  dump: DumpFacts
  replid?: string | undefined
  replOffset?: number | undefined
  serverVersion?: string | undefined
  role?: BackupRecord['role']
  node?: string | undefined
  slots?: BackupFile['slots']
}

export interface TakeOptions extends BackupOptions {
  packing: Packing
}

export async function take(
  source: Source,
  folder: NewFolder,
  options: TakeOptions,
): Promise<Takings> {
  const { packing, retries, signal, onEvent } = options
  const common = { retries, signal, onEvent }
  const onProgress = ({ done, total, unit }: Progress): void =>
    options.onProgress?.({ phase: 'sync', done, total, unit })
  if (source.kind === 'cluster') {
    const way = options.moment === true ? takeMoment : takeCluster
    return await way(source.seeds, folder, options)
  }
  const file = `dump.rdb${packing.ending}`
  if (source.kind === 'server') {
    const { server } = source
    const role = await roleOf(server, options)
    const { output, facts, ...way } = await storeDump(folder, file, server, options)
    const result = await syncInto(output, { ...common, ...way, server, onProgress })
    const { replid, replOffset, serverVersion } = result
    const dump = await facts()
    return { dumps: [{ file, dump, replid, replOffset, serverVersion, role }], nodes: undefined }
  }
  const storing = await storeDump(folder, file, undefined, options)
  await takeFile(source, storing, options)
  return { dumps: [{ file, dump: await storing.facts() }], nodes: undefined }
}

async function takeCluster(
  seeds: ClusterSeeds,
  folder: NewFolder,
  options: TakeOptions,
): Promise<Takings> {
  const { packing, retries, signal, onEvent } = options
  const storings = new Map<string, Storing>()
  let nodes: BackupRecord['nodes']
  const shards = await syncShards(
    seeds,
    {
      create: async (file, server) => {
        const storing = await storeDump(folder, file, server, options)
        storings.set(file, storing)
        return storing
      },
      put: async (_file, text) => {
        nodes = await putNodes(folder, text)
      },
      clear: async () => {
        await folder.clear()
      },
    },
    {
      ...{ retries, signal, onEvent, ending: packing.ending },
      onProgress: ({ done, total, unit }) =>
        options.onProgress?.({ phase: 'sync', done, total, unit }),
    },
  )
  const dumps: Taken[] = []
  for (const { file, node, slots, serverVersion } of shards) {
    const dump = await storings.get(file)!.facts()
    dumps.push({ file, dump, node, slots, serverVersion, role: 'master' })
  }
  return { dumps, nodes }
}

/** All shards at one moment, which their streams come to on this machine first. */
async function takeMoment(
  seeds: ClusterSeeds,
  folder: NewFolder,
  options: TakeOptions,
): Promise<Takings> {
  const { packing, strict, withServer, retries, signal, onEvent } = options
  const temporary = makeTemporaryDir('rrep-backup-')
  try {
    const output = join(temporary, 'cluster')
    const { shards, fromMs, toMs } = await syncMoment(seeds, {
      ...{ output, strict, withServer, retries, signal, onEvent },
      onProgress: ({ done, total, unit }) =>
        options.onProgress?.({ phase: 'sync', done, total, unit }),
    })
    const dumps: Taken[] = []
    for (const { file: plain, node, slots, replOffset } of shards) {
      const file = `${plain}${packing.ending}`
      const storing = await storeDump(folder, file, undefined, options)
      await takeFile({ kind: 'file', path: join(output, plain) }, storing, options)
      dumps.push({ file, dump: await storing.facts(), node, slots, replOffset, role: 'master' })
    }
    const nodes = await putNodes(folder, readFileSync(join(output, NODES_FILE), 'utf8'))
    return { dumps, nodes, moment: { from: timeText(fromMs), to: timeText(toMs) } }
  } finally {
    removeTemporaryDir(temporary)
  }
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}

async function putNodes(folder: NewFolder, text: string): Promise<BackupRecord['nodes']> {
  await folder.put(NODES_FILE, text)
  const sha256 = createHash('sha256').update(text).digest('hex')
  return { bytes: Buffer.byteLength(text), sha256 }
}

/** Undefined where it may not be asked. Throws UsageError for one node of a cluster. */
async function roleOf(
  server: ServerSettings,
  { node, signal, onEvent }: BackupOptions,
): Promise<BackupRecord['role']> {
  let looked: QuickLook
  try {
    looked = await quickLook(server, signal)
  } catch (error) {
    // Whoever can replicate is told what is wrong by the link.
    if (error instanceof RrepError && error.code !== 'ERR_ABORTED') return undefined
    throw error
  }
  const { place, info, checks } = looked
  if (info.get('cluster_enabled') === '1' && node !== true) {
    throw new UsageError(`${place} is one node of a cluster: this would be its shard alone`, {
      hint: 'all shards are `cluster`; `node` means this one',
    })
  }
  for (const { state, subject, text } of checks) {
    if (state !== 'warning' && state !== 'failure') continue
    onEvent?.({ event: 'warning', message: `${place}: ${subject}: ${text}` })
  }
  const role = info.get('role')
  return role === 'master' ? 'master' : role === 'slave' ? 'replica' : undefined
}

/** A dump, or the state of an archive at a moment: as one dump with a checksum. */
async function takeFile(
  source: StoredSource,
  { output, newWalk }: Storing,
  options: BackupOptions,
): Promise<void> {
  const { until, withServer, stdin, identity, signal } = options
  const walk = newWalk?.()
  try {
    await exportState(source, writableTo(output, walk), {
      ...{ until, withServer, stdin, identity, signal },
      onProgress: ({ done, total, unit }) =>
        options.onProgress?.({ phase: 'sync', done, total, unit }),
    })
    await output.finish()
  } catch (error) {
    output.discard()
    throw error
  }
}

/** The state of a moment as one dump; rejects with TargetError where it is not known. Returns its keys. */
export async function exportState(
  source: StoredSource,
  output: string | Writable,
  options: Omit<ExportOptions, 'format' | 'output'>,
): Promise<number> {
  const result = await exportKeys(source, { ...options, format: 'rdb', output })
  if (result.built?.complete === false) {
    throw new TargetError(
      'ERR_STATE_INCOMPLETE',
      `not everything in ${nameOfSource(source)} could be applied in ${result.built.server}: its state is not known`,
    )
  }
  return result.keysWritten
}

function writableTo(output: Output, walk: SnapshotWalk | undefined): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      try {
        walk?.push(chunk)
        output.write(chunk)
      } catch (error) {
        done(error as Error)
        return
      }
      const waiting = output.drain()
      if (waiting === undefined) done()
      else waiting.then(() => done(), done)
    },
  })
}
