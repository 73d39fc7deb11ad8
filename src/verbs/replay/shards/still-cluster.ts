/** A cluster in which nothing moves: no slot from node to node, and no master to another. */
import { ProtocolError } from '../../../errors.js'
import { DEFAULT_RETRIES } from '../../../net/server-settings.js'
import { sleep } from '../../../net/waiting.js'
import { isSameTopology, mastersOf, type ClusterNodes } from '../../../topology/cluster-nodes.js'
import { readCluster, type ClusterSeeds } from '../../../topology/cluster.js'
import { readSlotMigrations, type SlotMigrations } from '../../../topology/slot-migrations.js'

const LOOK_MS = 200
const LOOKS_PER_RETRY = 10

export interface ClusterLook {
  readonly nodes: ClusterNodes
  readonly migrations: SlotMigrations
}

interface LookOptions {
  retries?: number | undefined
  signal?: AbortSignal | undefined
}

/** When its nodes agree: while slots move they do not for moments. Rejects as `readCluster` does. */
export async function agreedCluster(
  seeds: ClusterSeeds,
  { retries = DEFAULT_RETRIES, signal }: LookOptions,
): ReturnType<typeof readCluster> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await readCluster(seeds, signal)
    } catch (error) {
      const passes = error instanceof ProtocolError && error.code === 'ERR_CLUSTER_CHANGES'
      if (!passes || attempt > LOOKS_PER_RETRY * Math.max(1, retries)) throw error
      await sleep(LOOK_MS, signal)
    }
  }
}

export async function lookAt(seeds: ClusterSeeds, options: LookOptions): Promise<ClusterLook> {
  const nodes = await agreedCluster(seeds, options)
  const masters = nodes.nodes.filter(({ isMaster, isUp }) => isMaster && isUp)
  return { nodes, migrations: await readSlotMigrations(nodes.via, masters, options.signal) }
}

/** Nothing has moved from one look to the other. */
export function isStill(a: ClusterLook, b: ClusterLook): boolean {
  return (
    isSameTopology(a.nodes, b.nodes) &&
    !b.migrations.isUnderWay &&
    a.migrations.state === b.migrations.state
  )
}

/** When nothing moves. Rejects with ProtocolError ERR_CLUSTER_CHANGES where it does all the time. */
export async function stillCluster(
  seeds: ClusterSeeds,
  options: LookOptions,
): Promise<ClusterLook> {
  const { retries = DEFAULT_RETRIES, signal } = options
  for (let attempt = 1; ; attempt += 1) {
    const look = await lookAt(seeds, options)
    if (look.nodes.openSlots.length === 0 && !look.migrations.isUnderWay) return look
    if (attempt > LOOKS_PER_RETRY * Math.max(1, retries)) throw alwaysMoves()
    await sleep(LOOK_MS, signal)
  }
}

/** The slots of the shard to which one of these nodes belongs. */
export function slotsOfMembers({ nodes }: ClusterLook, members: readonly string[]) {
  return mastersOf(nodes).find(({ id }) => members.includes(id))?.slots ?? []
}

export function alwaysMoves(): ProtocolError {
  return new ProtocolError('ERR_CLUSTER_CHANGES', 'slots or masters move all the time', {
    retriable: true,
    hint: 'wait until the migration of slots is over',
  })
}
