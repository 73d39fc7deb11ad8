/**
 * `replay --cluster` into one server under load, with each family of servers: 50 slots to and fro in each of
 * ten rounds, in the way that the servers have, a migration that is cancelled and one that fails in each,
 * rrep killed three times in each and started again. Then every counter and every list of its values is
 * whole, and source and target are the same. `RREP_SOAK_SERVERS=redis-8.6`: of these alone.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterSeeds, diff } from '../../src/index.js'
import { moveSlots, startCluster, tagsOf, type ClusterNode } from '../helpers/cluster.js'
import { breakMove } from '../helpers/cluster-moves.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { RestartingRrep } from '../helpers/restarting-rrep.js'
import { startServer, waitFor, type ServerBinary, type TestServer } from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'

const ROUNDS = Number(process.env['ROUNDS'] ?? 10)
const KILLS_PER_ROUND = 3
const CAUGHT_UP = 'caught up with the source'
const MOVED: readonly [number, number] = [0, 49]
const SLOTS = [
  ...Array.from({ length: 50 }, (_, i) => i),
  ...Array.from({ length: 30 }, (_, i) => 60 + 540 * i),
]

export async function run(): Promise<void> {
  for (const binary of soakedServers()) await moves(binary)
}

async function moves(binary: ServerBinary): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-cluster-replay-'))
  const cluster = await startCluster(binary, { masters: 3, replicas: 0 })
  const target = await startServer({ binary })
  const [a, b, c] = cluster.masters as [ClusterNode, ClusterNode, ClusterNode]
  const rrep = new RestartingRrep(
    ...['replay', '--cluster', `127.0.0.1:${c.port}`, `127.0.0.1:${target.port}`],
    ...['--until-quiet', '--spool-dir', dir],
  )
  const writer = startClusterWriter(c.port, tagsOf(SLOTS))
  try {
    await waitFor(() => writer.writes > 1000, { what: 'writes before' })
    rrep.start()
    await rrep.says(CAUGHT_UP)
    for (let round = 0; round < ROUNDS; round += 1) {
      const killing = Promise.allSettled([killNowAndThen(rrep)])
      await moveSlots(a, b, MOVED, [c])
      await breakMove(b, a, [40, 44], 'cancelled')
      await moveSlots(b, a, MOVED, [c])
      await breakMove(a, b, [45, 49], 'failed')
      const [killed] = await killing
      if (killed.status === 'rejected') throw new Error('rrep ended', { cause: killed.reason })
      await rrep.says(CAUGHT_UP)
    }
    await writer.stop()
    const stoppedMs = performance.now()
    const { code, err } = await rrep.ended
    assert.equal(code, 0, err)
    const seconds = ((performance.now() - stoppedMs) / 1000).toFixed(1)
    const keys = await expectWhole(target, c.port, binary)
    console.log(
      `${binary.name}: ${writer.writes} writes, ${2 * ROUNDS} moves of ${MOVED[1] + 1} slots, ` +
        `${rrep.kills} kills; ${keys} keys whole and the same, ${seconds} s after the last write`,
    )
  } finally {
    await writer.stop()
    rrep.kill()
    await target.stop()
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Each list has all numbers once and in order, its counter says how many, and the cluster has the same. */
async function expectWhole(
  target: TestServer,
  port: number,
  binary: ServerBinary,
): Promise<number> {
  for (const tag of tagsOf(SLOTS)) {
    const list = await target.client.lrange(`l:{${tag}}`, 0, -1)
    const wrong = list.findIndex((value, i) => value !== String(i + 1))
    assert.equal(wrong, -1, `${binary.name}: l:{${tag}} has ${list[wrong]!} at ${wrong}`)
    assert.equal(await target.client.get(`n:{${tag}}`), String(list.length))
  }
  const { same, b } = await diff(
    { kind: 'cluster', seeds: clusterSeeds(`127.0.0.1:${port}`) },
    `127.0.0.1:${target.port}`,
  )
  assert.ok(same, `${binary.name}: source and target differ`)
  return b.keys
}

/** At random moments, each time in another part of what there is to do. */
async function killNowAndThen(rrep: RestartingRrep): Promise<void> {
  for (let kill = 0; kill < KILLS_PER_ROUND; kill += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 1500))
    await rrep.killAndStart()
  }
}
