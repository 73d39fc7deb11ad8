/** A relay of one shard of a cluster passed TRIMSLOTS and CLUSTER FLUSHSLOT on to replicas that cannot
 * execute them: they kept the keys that the shard had given away. */
import { afterEach, expect, test } from 'vitest'
import { moveSlots, startCluster, tagsOf, type ClusterNode } from '../helpers/cluster.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { follow, startServing, upstreamOf } from '../helpers/serving.js'

const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const SLOTS = Array.from({ length: 10 }, (_, i) => i)

async function keysOf(server: TestServer): Promise<string> {
  return (await server.client.keys('*')).sort().join()
}

const WAYS: readonly [string, (from: ClusterNode, to: ClusterNode) => Promise<unknown>, number][] =
  [
    ['redis-8.6', async (from, to) => await moveSlots(from, to, [0, 9]), 1],
    ['valkey-9.1', async (from) => await from.client.call('CLUSTER', 'FLUSHSLOT', '3'), 1],
  ]

test.each(WAYS.filter(([name]) => serverBinary(name) !== undefined))(
  '%s: a replica that is no node has what the shard has',
  async (name, move, deletions) => {
    const binary = serverBinary(name)!
    const cluster = await startCluster(binary, { masters: 2, replicas: 0 })
    stops.push(async () => await cluster.stop())
    const [a, b] = cluster.masters as [ClusterNode, ClusterNode]
    const tags = tagsOf([...SLOTS, 100])
    for (const tag of tags) await a.client.set(`{${tag}}key`, tag)
    const relay = await startServing({ source: { kind: 'server', server: upstreamOf(a) } })
    stops.push(async () => await relay.stop())
    const replica = await startServer({ binary })
    stops.push(async () => await replica.stop())
    await follow(replica, relay.port)
    expect(await keysOf(replica)).toBe(await keysOf(a))

    await move(a, b)
    await a.client.set(`{${tags.at(-1)!}}later`, '1')
    await waitFor(async () => (await keysOf(replica)) === (await keysOf(a)), {
      what: `the replica: ${JSON.stringify(relay.events)}`,
    })
    expect((await keysOf(a)).split(',')).toHaveLength(name === 'valkey-9.1' ? 11 : 2)
    expect(relay.count('upstream-deleted-slots')).toBe(deletions)
    expect(relay.count('full-resync')).toBe(1 + deletions)
    // And from then on by the stream, over a break too.
    await replica.client.call('CLIENT', 'KILL', 'TYPE', 'master')
    await a.client.set(`{${tags.at(-1)!}}last`, '1')
    await waitFor(async () => (await replica.client.exists(`{${tags.at(-1)!}}last`)) === 1, {
      what: 'the stream',
    })
    expect(await keysOf(replica)).toBe(await keysOf(a))
    expect(relay.count('full-resync')).toBe(1 + deletions)
  },
)
