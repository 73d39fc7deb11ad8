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
import { WholeDirectory } from '../../disk/whole-directory.js'
import { ProtocolError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import {
  isSameTopology,
  mastersOf,
  slotsWithoutOwner,
  type ClusterNode,
  type ClusterNodes,
} from '../../topology/cluster-nodes.js'
import {
  clusterSeeds,
  nameOfCluster,
  readCluster,
  settingsAt,
  type ClusterSeeds,
} from '../../topology/cluster.js'
import type { SyncClusterOptions, SyncClusterResult, SyncResult } from './options.js'
import { sync } from './run.js'

const DEFAULT_ATTEMPTS = 3

/**
 * Rejects with UsageError, LinkError, AuthError, ProtocolError (no cluster; it changes all the time;
 * slots without an owner), RdbError, FileError or AbortedError. Nothing is left then.
 */
export async function syncCluster(
  source: string | ClusterSeeds,
  options: SyncClusterOptions,
): Promise<SyncClusterResult> {
  const seeds = typeof source === 'string' ? clusterSeeds(source) : source
  const { signal, onEvent } = options
  for (let attempt = 1; ; attempt += 1) {
    const before = await readCluster(seeds, signal)
    const masters = mastersOf(before)
    refuseHoles(seeds, masters)
    const directory = new WholeDirectory(options.output)
    try {
      const shards = await takeAll(masters, before.via, directory.temporaryPath, options)
      const after = await readCluster(seeds, signal)
      if (isSameTopology(before, after)) {
        const nodesFile = join(directory.temporaryPath, 'nodes.json')
        writeFileAtomic(nodesFile, nodesJson(before))
        directory.commit()
        return { source: nameOfCluster(seeds), directory: options.output, shards }
      }
    } finally {
      directory.discard()
    }
    if (attempt >= DEFAULT_ATTEMPTS) throw changes(seeds)
    const message =
      'slots or masters moved while the snapshots were taken: a key could stand in two of them, or ' +
      'in none; they are taken again'
    onEvent?.({ event: 'warning', message })
  }
}

async function takeAll(
  masters: readonly ClusterNode[],
  via: ServerSettings,
  directory: string,
  options: SyncClusterOptions,
): Promise<SyncClusterResult['shards']> {
  // One that fails ends the others: none of them is of use without it.
  const halt = new AbortController()
  const onAbort = (): void => halt.abort()
  options.signal?.addEventListener('abort', onAbort, { once: true })
  if (options.signal?.aborted === true) halt.abort()
  let failure: unknown
  const take = async (node: ClusterNode): Promise<SyncResult | undefined> => {
    try {
      return await sync(settingsAt(via, node.place), {
        output: join(directory, fileNameOf(node, options.compress)),
        compress: options.compress,
        retries: options.retries,
        signal: halt.signal,
        isShard: true,
        onEvent: options.onEvent,
        onProgress: (progress) => options.onProgress?.({ ...progress, node: node.id }),
        onWire: options.onWire,
      })
    } catch (error) {
      failure ??= error
      halt.abort()
      return undefined
    }
  }
  try {
    const results = await Promise.all(masters.map(take))
    if (failure !== undefined) throw failure as Error
    return results.map((result, i) => {
      const { id, slots } = masters[i]!
      return { ...result!, node: id, slots, file: fileNameOf(masters[i]!, options.compress) }
    })
  } finally {
    options.signal?.removeEventListener('abort', onAbort)
  }
}

function fileNameOf({ id, place }: ClusterNode, compress: SyncClusterOptions['compress']): string {
  const end = compress === undefined ? '' : compress.algorithm === 'gzip' ? '.gz' : '.zst'
  // A colon of IPv6 is no letter for a name everywhere.
  return `redis-node-${place.host.replaceAll(':', '_')}-${place.port}-${id}.rdb${end}`
}

/** As `redis-cli --cluster backup` writes it. */
function nodesJson({ nodes }: ClusterNodes): string {
  const rows = nodes.map(({ id, place, masterId, isMaster, slots, configEpoch }) => ({
    name: id,
    host: place.host,
    port: place.port,
    replicate: masterId ?? null,
    slots,
    slots_count: slots.reduce((sum, [first, last]) => sum + last - first + 1, 0),
    flags: isMaster ? 'master' : 'slave',
    current_epoch: configEpoch,
  }))
  return `${JSON.stringify(rows, undefined, 2)}\n`
}

function refuseHoles(seeds: ClusterSeeds, masters: readonly ClusterNode[]): void {
  const holes = slotsWithoutOwner(masters)
  const down = masters.find((each) => !each.isUp)
  if (holes === 0 && down === undefined) return
  const what =
    holes > 0
      ? `${holes} slots of the cluster have no owner`
      : `the master ${down!.place.host}:${down!.place.port} is down`
  throw new ProtocolError('ERR_CLUSTER_DOWN', `${what}: not all of it could be saved`, {
    retriable: true,
    hint: 'CLUSTER NODES of any node tells more; single nodes can be saved as servers',
    details: { cluster: nameOfCluster(seeds) },
  })
}

function changes(seeds: ClusterSeeds): ProtocolError {
  return new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    `${nameOfCluster(seeds)}: slots or masters moved during each of ${DEFAULT_ATTEMPTS} attempts`,
    { retriable: true, hint: 'wait until the migration of slots is over' },
  )
}
