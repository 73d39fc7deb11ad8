/** Failovers of a shard of a cluster, in all ways. */
import type { ClusterNode } from './cluster.js'
import { waitFor } from './servers.js'

export type FailoverWay = 'FAILOVER' | 'FORCE' | 'TAKEOVER' | 'KILLED' | 'FROZEN'

/** Resolves when the replica leads and the other follows it. */
export async function failOver(
  master: ClusterNode,
  replica: ClusterNode,
  way: FailoverWay,
): Promise<void> {
  const isAsked = way !== 'KILLED' && way !== 'FROZEN'
  if (way === 'KILLED') await master.kill('SIGKILL')
  if (way === 'FROZEN') process.kill(master.pid, 'SIGSTOP')
  let askedMs = 0
  try {
    await waitFor(
      async () => {
        if ((await roleOf(replica)) === 'master') return true
        // One that gets no votes in time is given up by the server.
        if (isAsked && Date.now() - askedMs > 6000) {
          askedMs = Date.now()
          const words = way === 'FAILOVER' ? [] : [way]
          await replica.client.call('CLUSTER', 'FAILOVER', ...words).catch(() => undefined)
        }
        return false
      },
      { what: `the failover (${way})`, timeoutMs: 60_000 },
    )
  } finally {
    if (way === 'FROZEN') process.kill(master.pid, 'SIGCONT')
  }
  if (way === 'KILLED') await master.restart()
  await untilFollowing(master)
}

/** The master dies and is back before anybody notices, without its data, which its replica then loses too.
 * False: somebody noticed, and the replica leads. */
export async function restartEmpty(master: ClusterNode, replica: ClusterNode): Promise<boolean> {
  await master.kill('SIGKILL')
  await master.restart()
  let isEmpty = false
  await waitFor(
    async () => {
      isEmpty = await isFollowing(replica)
      return (await isFollowing(master)) || (isEmpty && (await isWhole(master)))
    },
    { what: 'one of the two to follow the other', timeoutMs: 60_000 },
  )
  return isEmpty
}

async function isWhole(node: ClusterNode): Promise<boolean> {
  const info = await node.client.call('CLUSTER', 'INFO').catch(() => '')
  return String(info).includes('cluster_state:ok')
}

async function untilFollowing(node: ClusterNode): Promise<void> {
  await waitFor(async () => await isFollowing(node), {
    what: 'the former master to follow',
    timeoutMs: 60_000,
  })
}

async function isFollowing(node: ClusterNode): Promise<boolean> {
  const info = await node.client.call('INFO', 'replication').catch(() => '')
  return /role:slave[^]*master_link_status:up/.test(String(info))
}

async function roleOf(node: ClusterNode): Promise<string> {
  const role = (await node.client.call('ROLE').catch(() => [''])) as [string]
  return role[0]
}
