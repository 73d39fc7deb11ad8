/** What goes wrong in a cluster that is written to: its slots move, its masters are killed. */
import { hasSlot, moveSlots, type ClusterNode } from './cluster.js'
import { waitFor } from './servers.js'

/** Those that own slots, as one that answers says. */
export async function mastersOf(nodes: readonly ClusterNode[]): Promise<readonly ClusterNode[]> {
  for (const node of nodes) {
    try {
      const text = String(await node.client.call('CLUSTER', 'NODES'))
      const ids = text
        .split('\n')
        .filter(
          (line) =>
            /\bmaster\b/.test(line) &&
            !line.includes('fail') &&
            / \d+(-\d+)?( |$)/.test(line.slice(60)),
        )
        .map((line) => line.slice(0, 40))
      return nodes.filter(({ id }) => ids.includes(id))
    } catch {
      // It is being restarted.
    }
  }
  throw new Error('nobody answers')
}

/** From whom of two has the first of them, to the other. False: the servers refused, as they may while one of
 * them is new in its office. */
export async function swapSlots(
  nodes: readonly ClusterNode[],
  range: readonly [number, number],
): Promise<boolean> {
  const [one, other] = await mastersOf(nodes)
  try {
    const [from, to] = (await hasSlot(one!, range[0])) ? [one!, other!] : [other!, one!]
    await moveSlots(from, to, range)
    return true
  } catch {
    return false
  }
}

/** The master is killed, its replica takes over, and the dead one comes back as a replica. False: it has none
 * that follows. */
export async function killMaster(nodes: readonly ClusterNode[], which: number): Promise<boolean> {
  const masters = await mastersOf(nodes)
  const master = masters[which % masters.length]!
  const text = String(await master.client.call('CLUSTER', 'NODES'))
  const line = text
    .split('\n')
    .find(
      (each) => each.includes(` ${master.id} `) && each.includes('slave') && !each.includes('fail'),
    )
  const replica = nodes.find(({ id }) => line?.startsWith(id) === true)
  if (replica === undefined) return false
  const isLinked = String(await replica.client.call('INFO', 'replication'))
  if (!isLinked.includes('master_link_status:up')) return false
  await master.kill('SIGKILL')
  await new Promise((resolve) => setTimeout(resolve, 300))
  await replica.client.call('CLUSTER', 'FAILOVER', 'TAKEOVER')
  await waitFor(async () => String(await replica.client.call('ROLE')).startsWith('master'), {
    what: 'the takeover',
  })
  await new Promise((resolve) => setTimeout(resolve, 1500))
  await master.restart()
  await waitFor(
    async () =>
      String(await master.client.call('INFO', 'replication')).includes('master_link_status:up'),
    { what: 'the old master to follow', timeoutMs: 30_000 },
  )
  return true
}
