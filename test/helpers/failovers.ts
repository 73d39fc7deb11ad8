/** Failovers of a shard of a cluster, in all ways. */
import type { ClusterNode } from './cluster.js'
import { waitFor } from './servers.js'

export type FailoverWay = 'FAILOVER' | 'FORCE' | 'TAKEOVER' | 'KILLED'

/** Resolves when the replica leads and the other follows it. */
export async function failOver(
  master: ClusterNode,
  replica: ClusterNode,
  way: FailoverWay,
): Promise<void> {
  if (way === 'KILLED') await master.kill('SIGKILL')
  else await replica.client.call('CLUSTER', 'FAILOVER', ...(way === 'FAILOVER' ? [] : [way]))
  await waitFor(async () => (await roleOf(replica)) === 'master', {
    what: `the failover (${way})`,
    timeoutMs: 30_000,
  })
  if (way === 'KILLED') await master.restart()
  await waitFor(
    async () => {
      const info = await master.client.call('INFO', 'replication').catch(() => '')
      return /role:slave[^]*master_link_status:up/.test(String(info))
    },
    { what: 'the former master to follow', timeoutMs: 60_000 },
  )
}

async function roleOf(node: ClusterNode): Promise<string> {
  const role = (await node.client.call('ROLE').catch(() => [''])) as [string]
  return role[0]
}
