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
  let askedMs = 0
  await waitFor(
    async () => {
      if ((await roleOf(replica)) === 'master') return true
      // One that gets no votes in time is given up by the server.
      if (way !== 'KILLED' && Date.now() - askedMs > 6000) {
        askedMs = Date.now()
        const words = way === 'FAILOVER' ? [] : [way]
        await replica.client.call('CLUSTER', 'FAILOVER', ...words).catch(() => undefined)
      }
      return false
    },
    { what: `the failover (${way})`, timeoutMs: 60_000 },
  )
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
