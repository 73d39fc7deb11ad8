/** Moves of slots that do not come to their end. */
import { hasSlot, moveSlots, type ClusterNode } from './cluster.js'
import { waitFor } from './servers.js'

/** Some of the keys come to the other node, and are taken back. */
export async function breakMove(
  from: ClusterNode,
  to: ClusterNode,
  [first, last]: readonly [number, number],
  how: 'cancelled' | 'failed',
): Promise<void> {
  const { version, name } = from.binary
  if (name.startsWith('valkey') && version >= '9') {
    const job = ['MIGRATESLOTS', 'SLOTSRANGE', first, last, 'NODE', to.id].map(String)
    await from.client.call('CLUSTER', ...job)
    if (how === 'failed') await cutLinks(from)
    await from.client.call('CLUSTER', 'CANCELSLOTMIGRATIONS').catch(() => undefined)
    await putBack(from, to, [first, last])
  } else if (name.startsWith('redis') && version >= '8.4') {
    const task = String(await to.client.call('CLUSTER', 'MIGRATION', 'IMPORT', first, last))
    if (how === 'failed') await cutLinks(from)
    await to.client.call('CLUSTER', 'MIGRATION', 'CANCEL', 'ID', task).catch(() => undefined)
    await putBack(from, to, [first, last])
  } else {
    for (let slot = first; slot <= last; slot += 1) await halfMove(from, to, slot)
  }
}

/** Where it was over before it could be broken. */
async function putBack(
  from: ClusterNode,
  to: ClusterNode,
  range: readonly [number, number],
): Promise<void> {
  const underWay = /"(state)","(?!completed|success|failed|cancell?ed)/
  const question = from.binary.name.startsWith('valkey')
    ? ['GETSLOTMIGRATIONS']
    : ['MIGRATION', 'STATUS', 'ALL']
  await waitFor(
    async () => {
      const told = [from, to].map(async (node) => await node.client.call('CLUSTER', ...question))
      return !underWay.test(JSON.stringify(await Promise.all(told)))
    },
    { what: 'the migration to be over' },
  )
  const settledMs = Date.now() + 300
  await waitFor(() => Date.now() > settledMs, { what: 'both to know' })
  if (await hasSlot(to, range[0])) await moveSlots(to, from, range)
}

/** What copies the slots breaks, and with it all that replicates. */
async function cutLinks(node: ClusterNode): Promise<void> {
  await node.client.call('CLIENT', 'KILL', 'TYPE', 'replica')
}

/** It stays open for a while, some keys here and some there; then it is ended, and undone. */
async function halfMove(from: ClusterNode, to: ClusterNode, slot: number): Promise<void> {
  await to.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id)
  await from.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id)
  await moveKeys(from, to, slot, 1)
  const openMs = Date.now() + 300
  await waitFor(() => Date.now() > openMs, { what: 'writes to both' })
  await moveSlots(from, to, [slot, slot])
  await moveSlots(to, from, [slot, slot])
}

async function moveKeys(
  from: ClusterNode,
  to: ClusterNode,
  slot: number,
  count: number,
): Promise<void> {
  const keys = (await from.client.call('CLUSTER', 'GETKEYSINSLOT', slot, count)) as string[]
  const where = ['127.0.0.1', to.port, '', 0, 5000, 'REPLACE', 'KEYS', ...keys]
  await from.client.call('MIGRATE', ...where.map(String))
}
