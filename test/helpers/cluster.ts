/** A real cluster of few nodes on loopback, made by hand: quicker than `--cluster create`, and with
 * as few masters and replicas as a test needs. */
import { freePort, startServer, waitFor, type ServerBinary, type TestServer } from './servers.js'

export const CLUSTER_SLOTS = 16_384

export interface ClusterNode extends TestServer {
  id: string
  busPort: number
}

export interface TestCluster {
  /** Each owns an equal share of the slots, in order. */
  masters: ClusterNode[]
  /** One of each of the first masters, as many as were asked for. */
  replicas: ClusterNode[]
  stop(): Promise<void>
}

export async function startCluster(
  binary: ServerBinary,
  counts: { masters: number; replicas: number },
): Promise<TestCluster> {
  const nodes = await Promise.all(
    Array.from({ length: counts.masters + counts.replicas }, () => startNode(binary)),
  )
  const masters = nodes.slice(0, counts.masters)
  const replicas = nodes.slice(counts.masters)
  const share = Math.ceil(CLUSTER_SLOTS / counts.masters)
  for (const [i, node] of masters.entries()) {
    const last = Math.min(CLUSTER_SLOTS, (i + 1) * share) - 1
    await node.client.call('CLUSTER', 'ADDSLOTSRANGE', i * share, last)
    await node.client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
  }
  for (const node of nodes.slice(1)) {
    await nodes[0]!.client.call('CLUSTER', 'MEET', '127.0.0.1', node.port, node.busPort)
  }
  await waitForAll(nodes, 'all nodes to know each other', async (node) => {
    const text = String(await node.client.call('CLUSTER', 'NODES'))
    return nodes.every(({ id }) => text.includes(id)) && !text.includes('handshake')
  })
  for (const [i, node] of replicas.entries()) {
    await node.client.call('CLUSTER', 'REPLICATE', masters[i]!.id)
  }
  // Without full coverage a node's state is ok before it has heard who owns what.
  await waitForAll(
    nodes,
    'the cluster to be up, and all to know the owner of each slot',
    async (node) => {
      const text = String(await node.client.call('CLUSTER', 'INFO'))
      return (
        text.includes('cluster_state:ok') &&
        text.includes(`cluster_slots_assigned:${CLUSTER_SLOTS}`)
      )
    },
  )
  await waitForAll(replicas, 'the replicas to follow', async (node) =>
    String(await node.client.call('INFO', 'replication')).includes('master_link_status:up'),
  )
  return {
    masters,
    replicas,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

async function startNode(binary: ServerBinary): Promise<ClusterNode> {
  // The port of the bus is given too: the usual one, 10,000 higher, may be another's.
  const busPort = await freePort()
  const server = await startServer({
    binary,
    args: [
      ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf'],
      ...['--cluster-node-timeout', '2000', '--cluster-port', String(busPort)],
      ...['--cluster-require-full-coverage', 'no', '--repl-ping-replica-period', '1'],
    ],
  })
  const id = String(await server.client.call('CLUSTER', 'MYID'))
  return Object.assign(server, { id, busPort })
}

async function waitForAll(
  nodes: readonly ClusterNode[],
  what: string,
  holds: (node: ClusterNode) => Promise<boolean>,
): Promise<void> {
  await waitFor(async () => (await Promise.all(nodes.map(holds))).every(Boolean), { what })
}
