/** A real cluster of few nodes on loopback, made by hand: quicker than `--cluster create`, and with
 * as few masters and replicas as a test needs. */
import { keySlot } from '../../src/topology/key-slot.js'
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

/** A master without slots, which all know. */
export async function addMaster({ masters, replicas }: TestCluster): Promise<ClusterNode> {
  const node = await startNode(masters[0]!.binary)
  await masters[0]!.client.call('CLUSTER', 'MEET', '127.0.0.1', node.port, node.busPort)
  await waitForAll([...masters, ...replicas, node], 'all to know the new one', async (each) => {
    const text = String(await each.client.call('CLUSTER', 'NODES'))
    const isKnown = [...masters, ...replicas, node].every(({ id }) => text.includes(id))
    const info = String(await each.client.call('CLUSTER', 'INFO'))
    return isKnown && !text.includes('handshake') && info.includes('cluster_state:ok')
  })
  return node
}

/** One without slots, which all forget. */
export async function removeMaster(
  { masters, replicas }: TestCluster,
  gone: ClusterNode,
): Promise<void> {
  const others = [...masters, ...replicas].filter((node) => node !== gone)
  await gone.client.call('CLUSTER', 'RESET', 'HARD')
  for (const node of others) await node.client.call('CLUSTER', 'FORGET', gone.id)
  await gone.stop()
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
      ...['--repl-backlog-size', '64mb'],
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

/** Moves the slots with all their keys, while clients go on, in the way that the servers have. */
export async function moveSlots(
  from: ClusterNode,
  to: ClusterNode,
  [first, last]: readonly [number, number],
  others: readonly ClusterNode[] = [],
): Promise<void> {
  const { version, name } = from.binary
  if (name.startsWith('valkey') && version >= '9') {
    await from.client.call(
      'CLUSTER',
      ...['MIGRATESLOTS', 'SLOTSRANGE', first, last, 'NODE', to.id].map(String),
    )
    await waitFor(async () => await hasSlot(to, first), { what: 'the job to be done' })
  } else if (name.startsWith('redis') && version >= '8.4') {
    const task = String(await to.client.call('CLUSTER', 'MIGRATION', 'IMPORT', first, last))
    await waitFor(
      async () => {
        const status = await to.client.call('CLUSTER', 'MIGRATION', 'STATUS', 'ID', task)
        return JSON.stringify(status).includes('completed')
      },
      { what: 'the task to be done' },
    )
    // One that does not know yet refuses to take them back.
    await waitFor(async () => !(await hasSlot(from, first)), { what: 'both to know' })
  } else {
    for (let slot = first; slot <= last; slot += 1) await moveSlot(from, to, slot, others)
  }
}

/** By SETSLOT and MIGRATE. */
async function moveSlot(
  from: ClusterNode,
  to: ClusterNode,
  slot: number,
  others: readonly ClusterNode[],
): Promise<void> {
  await to.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id)
  await from.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id)
  for (;;) {
    const keys = (await from.client.call('CLUSTER', 'GETKEYSINSLOT', slot, 10)) as string[]
    if (keys.length === 0) break
    const where = ['127.0.0.1', to.port, '', 0, 5000, 'REPLACE', 'KEYS', ...keys]
    await from.client.call('MIGRATE', ...where.map(String))
  }
  for (const node of [to, from, ...others]) {
    await node.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id).catch((error: unknown) => {
      // With its last slot a master becomes a replica by itself, if it heard of it before us.
      if (!String(error).includes('only with masters')) throw error
    })
  }
}

/** By its own word. */
export async function hasSlot(node: ClusterNode, slot: number): Promise<boolean> {
  const slots = (await node.client.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
  return slots.some(
    ([first, last, [, port]]) => first <= slot && slot <= last && port === node.port,
  )
}

/** Texts whose hash slots are these, in this order: what stands in braces puts a key there. */
export function tagsOf(slots: readonly number[]): readonly string[] {
  const found = new Map<number, string>()
  const wanted = new Set(slots)
  for (let n = 0; found.size < wanted.size; n += 1) {
    const tag = n.toString(36)
    const slot = keySlot(Buffer.from(tag))
    if (wanted.has(slot) && !found.has(slot)) found.set(slot, tag)
  }
  return slots.map((slot) => found.get(slot)!)
}
