/**
 * Which master leads which shard, from one look at a cluster to the next. Servers before 7.2 do not
 * name shards: one is followed by the nodes that were in it, through failovers and moves of its slots.
 * Pure.
 */
import type { ClusterNode, ClusterNodes, SlotRanges } from './cluster-nodes.js'

export interface ClusterShard {
  /** The id of its first master that was seen: it stays, whoever leads the shard later. */
  readonly id: string
  /** Ids of the nodes in it, the master's included. */
  readonly members: readonly string[]
  /** Undefined: nobody leads it at the moment. */
  readonly master: ClusterNode | undefined
  readonly slots: SlotRanges
}

/**
 * Those there were, as they are now, without the ones that are gone, and the new ones.
 *
 * @param settled masters without slots that are new shards all the same: such a node may be a replica
 * that has not said so yet
 */
export function followShards(
  before: readonly ClusterShard[],
  { nodes }: ClusterNodes,
  settled: ReadonlySet<string> = new Set(),
): readonly ClusterShard[] {
  const masters = nodes.filter(({ isMaster }) => isMaster).sort(byRank)
  const taken = new Set<string>()
  const leads = before.map((shard) => {
    const own = masters.filter(({ id }) => shard.members.includes(id) && !taken.has(id))
    // An empty one that was deposed, and is not told yet whose replica it is, leads nobody.
    const lead = own.find(({ slots }) => slots.length > 0) ?? own.find(({ isUp }) => isUp)
    for (const { id, slots } of own) if (id === lead?.id || slots.length === 0) taken.add(id)
    return { shard, own, lead }
  })
  const followed = leads.flatMap(({ shard, own, lead }): readonly ClusterShard[] => {
    const heir = lead ?? masters.find((each) => !taken.has(each.id) && isHeir(each, shard))
    if (heir !== undefined) {
      taken.add(heir.id)
      return [ledBy(shard.id, heir, nodes, own)]
    }
    // Its master is down, and the replicas are still to choose.
    return own.length > 0 ? [{ ...shard, master: undefined }] : []
  })
  const fresh = masters.filter(
    ({ id, slots, isUp }) => !taken.has(id) && isUp && (slots.length > 0 || settled.has(id)),
  )
  return [...followed, ...fresh.map((master) => ledBy(master.id, master, nodes, []))].sort(
    (a, b) => (a.slots[0]?.[0] ?? Infinity) - (b.slots[0]?.[0] ?? Infinity),
  )
}

/** Those with slots first, and of these the newest. */
function byRank(a: ClusterNode, b: ClusterNode): number {
  return (
    Number(b.slots.length > 0) - Number(a.slots.length > 0) ||
    Number(b.isUp) - Number(a.isUp) ||
    b.configEpoch - a.configEpoch
  )
}

/** All that the shard had is with a node that nobody knew. */
function isHeir(node: ClusterNode, { slots }: ClusterShard): boolean {
  return slots.length > 0 && JSON.stringify(node.slots) === JSON.stringify(slots)
}

function ledBy(
  id: string,
  master: ClusterNode,
  nodes: readonly ClusterNode[],
  own: readonly ClusterNode[],
): ClusterShard {
  const spares = own.filter((each) => each.slots.length === 0).map((each) => each.id)
  const replicas = nodes.filter((each) => each.masterId === master.id).map((each) => each.id)
  return {
    id,
    members: [...new Set([master.id, ...replicas, ...spares])].sort(),
    master: master.isUp ? master : undefined,
    slots: master.slots,
  }
}
