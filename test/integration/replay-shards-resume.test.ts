/** `replay --cluster` killed and started again while slots move, while a shard comes, and while it goes: each
 * counter and each list is whole. The long runs are `npm run soak -- cluster-replay`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addMaster, moveSlots, removeMaster, startCluster, tagsOf } from '../helpers/cluster.js'
import type { ClusterNode, TestCluster } from '../helpers/cluster.js'
import { startClusterWriter, type ClusterWriter } from '../helpers/cluster-writer.js'
import { RestartingRrep } from '../helpers/restarting-rrep.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-shards-resume-'))
const SLOTS = [...Array.from({ length: 10 }, (_, i) => i), 3000, 6000, 12_000]
const CAUGHT_UP = 'caught up with the source'

let cluster: TestCluster
let target: TestServer
let writer: ClusterWriter
let rrep: RestartingRrep
beforeAll(async () => {
  const binary = serverBinary('redis-7.0')!
  cluster = await startCluster(binary, { masters: 3, replicas: 0 })
  target = await startServer({ binary })
  writer = startClusterWriter(cluster.masters[2]!.port, tagsOf(SLOTS))
  rrep = new RestartingRrep(
    ...['replay', '--cluster', `127.0.0.1:${cluster.masters[2]!.port}`],
    ...[`127.0.0.1:${target.port}`, '--until-quiet', '--spool-dir', dir],
  )
})
afterAll(async () => {
  await writer.stop()
  rrep.kill()
  await target.stop()
  await cluster.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function writes(count: number): Promise<void> {
  const before = writer.writes
  await waitFor(() => writer.writes > before + count, { what: 'writes' })
}

test('slots that move, a shard that comes and one that goes while nobody looks', async () => {
  const [a, b, c] = cluster.masters as [ClusterNode, ClusterNode, ClusterNode]
  await writes(300)
  rrep.start()
  await rrep.says(CAUGHT_UP)
  // Killed in the middle of a move; the second half of it, and the way back of a part, are missed.
  await moveSlots(a, b, [0, 4], [c])
  await rrep.killNow()
  await moveSlots(a, b, [5, 9], [c])
  await moveSlots(b, a, [7, 9], [c])
  await writes(100)
  rrep.start()
  await rrep.says(CAUGHT_UP)
  // A shard has come with keys.
  await rrep.killNow()
  const d = await addMaster(cluster)
  await moveSlots(b, d, [0, 3], [a, c])
  await writes(100)
  rrep.start()
  await rrep.says('a shard has come')
  await moveSlots(d, a, [0, 1], [b, c])
  await writes(100)
  // And goes.
  await rrep.killNow()
  await moveSlots(d, b, [2, 3], [a, c])
  await writes(100)
  await removeMaster(cluster, d)
  rrep.start()
  await rrep.says(CAUGHT_UP)
  await writer.stop()
  const { code, err } = await rrep.ended
  expect(code, err).toBe(0)
  expect(await target.client.dbsize()).toBe(2 * SLOTS.length)
  for (const tag of tagsOf(SLOTS)) {
    const list = await target.client.lrange(`l:{${tag}}`, 0, -1)
    expect(list).toEqual(list.map((_, i) => String(i + 1)))
    expect(await target.client.get(`n:{${tag}}`)).toBe(String(list.length))
  }
}, 90_000)
