/**
 * `sync --cluster`: the snapshots of all masters of a cluster, taken at once, in a directory that
 * appears whole: a dump a shard and `nodes.json`, as `redis-cli --cluster backup` names and writes them.
 *
 * Where slots were on the move, or a shard got another master meanwhile, a key may stand in two of the
 * dumps or in none: then all are taken again. Each dump is of its own moment; the moments lie as close
 * together as the masters' saves.
 */
import { join } from 'node:path'
import { writeFileAtomic } from '../../disk/atomic-file.js'
import { endingOf } from '../../disk/compression.js'
import { openOutput } from '../../disk/output/open-output.js'
import type { Output } from '../../disk/output/output.js'
import { WholeDirectory } from '../../disk/whole-directory.js'
import { ProtocolError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { allOrNone } from '../../topology/all-or-none.js'
import { isSameTopology, mastersOf, type ClusterNode } from '../../topology/cluster-nodes.js'
import {
  clusterSeeds,
  nameOfCluster,
  readCluster,
  refuseHoles,
  settingsAt,
  type ClusterSeeds,
} from '../../topology/cluster.js'
import { NODES_FILE, nodesText } from '../../source/nodes-file.js'
import type { ShardResult, SyncClusterOptions, SyncClusterResult, SyncProgress } from './options.js'
import { syncInto, type SyncIntoCall } from './run.js'

/** While slots or masters move. */
export const DEFAULT_ATTEMPTS = 3

/** `ending`: of the names of their files. */
type ShardsCall = Omit<SyncClusterOptions, 'output' | 'compress'> & { ending: string }

/** Where one of them goes, and on which way. */
export interface ShardOutput extends Pick<SyncIntoCall, 'newWalk' | 'canWait'> {
  output: Output
}

/** Where the dumps go: a directory, a folder of a store. */
export interface ShardOutputs {
  create(file: string, server: ServerSettings): Promise<ShardOutput>
  put(file: string, text: string): Promise<void>
  /** Forgets all of it: they are taken again. */
  clear(): Promise<void>
}

/**
 * Rejects with UsageError, LinkError, AuthError, ProtocolError (no cluster; it changes all the time;
 * slots without an owner), RdbError, FileError or AbortedError. Nothing is left then.
 */
export async function syncCluster(
  source: string | ClusterSeeds,
  options: SyncClusterOptions,
): Promise<SyncClusterResult> {
  const seeds = typeof source === 'string' ? clusterSeeds(source) : source
  const { compress, signal } = options
  let directory = new WholeDirectory(options.output)
  const pathOf = (file: string): string => join(directory.temporaryPath, file)
  try {
    const outputs: ShardOutputs = {
      create: async (file) => {
        const how = { compress, signal, neverWaits: true, direct: true }
        return { output: await openOutput(pathOf(file), how) }
      },
      put: async (file, text) => {
        writeFileAtomic(pathOf(file), text)
        await Promise.resolve()
      },
      clear: async () => {
        directory.discard()
        directory = await Promise.resolve(new WholeDirectory(options.output))
      },
    }
    const shards = await syncShards(seeds, outputs, { ...options, ending: endingOf(compress) })
    directory.commit()
    return { source: nameOfCluster(seeds), directory: options.output, shards }
  } finally {
    directory.discard()
  }
}

/** The same into what is open. Rejects as `syncCluster`; then the outputs are the caller's to discard. */
export async function syncShards(
  seeds: ClusterSeeds,
  outputs: ShardOutputs,
  options: ShardsCall,
): Promise<readonly ShardResult[]> {
  const { signal, onEvent } = options
  for (let attempt = 1; ; attempt += 1) {
    const before = await readCluster(seeds, signal)
    const masters = mastersOf(before)
    refuseHoles(seeds, masters, 'single nodes can be saved as servers')
    const shards = await takeAll(masters, before.via, outputs, options)
    const after = await readCluster(seeds, signal)
    if (isSameTopology(before, after)) {
      await outputs.put(NODES_FILE, nodesText(before))
      return shards
    }
    if (attempt >= DEFAULT_ATTEMPTS) throw alwaysChanges(seeds)
    const message =
      'slots or masters moved while the snapshots were taken: a key could stand in two of them, or ' +
      'in none; they are taken again'
    onEvent?.({ event: 'warning', message })
    await outputs.clear()
  }
}

async function takeAll(
  masters: readonly ClusterNode[],
  via: ServerSettings,
  outputs: ShardOutputs,
  options: ShardsCall,
): Promise<readonly ShardResult[]> {
  /** Bytes so far, and of those whose master told the length. */
  const done = new Map<string, number>()
  const totals = new Map<string, number | undefined>()
  const progress = (id: string, { done: bytes, total, phase, unit }: SyncProgress): void => {
    if (phase !== 'transfer') return
    done.set(id, bytes)
    totals.set(id, total)
    options.onProgress?.({ phase, done: sum(done), total: sumOfAll(totals, masters), unit })
  }
  return await allOrNone(masters, options.signal, async (node, signal) => {
    const file = fileNameOf(node, options.ending)
    const server = settingsAt(via, node.place)
    const { output, newWalk, canWait } = await outputs.create(file, server)
    const result = await syncInto(output, {
      server,
      newWalk,
      canWait,
      retries: options.retries,
      signal,
      isShard: true,
      onEvent: options.onEvent,
      onProgress: (each) => progress(node.id, each),
      onWire: options.onWire,
    })
    return { ...result, node: node.id, slots: node.slots, file }
  })
}

function sum(values: ReadonlyMap<string, number>): number {
  let all = 0
  for (const each of values.values()) all += each
  return all
}

/** Undefined where one of them is not known. */
function sumOfAll(
  totals: ReadonlyMap<string, number | undefined>,
  masters: readonly ClusterNode[],
): number | undefined {
  let all = 0
  for (const { id } of masters) {
    const total = totals.get(id)
    if (total === undefined) return undefined
    all += total
  }
  return all
}

/** As `redis-cli --cluster backup` names them. */
export function fileNameOf({ id, place }: ClusterNode, ending: string): string {
  // A colon of IPv6 is no letter for a name everywhere.
  return `redis-node-${place.host.replaceAll(':', '_')}-${place.port}-${id}.rdb${ending}`
}

export function alwaysChanges(seeds: ClusterSeeds): ProtocolError {
  return new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    `${nameOfCluster(seeds)}: slots or masters moved during each of ${DEFAULT_ATTEMPTS} attempts`,
    { retriable: true, hint: 'wait until the migration of slots is over' },
  )
}
