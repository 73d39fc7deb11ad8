/**
 * A live cluster of three shards into one of two, under load: 50 slots to and fro in each round in both of
 * them, in the way that their servers have, rrep killed three times in each round, and a master of the target.
 * At the end every counter and every list of its values is whole, and both are the same.
 * `RREP_SOAK_PAIRS=redis-8.6:valkey-9.1`: of these alone, with commas between. `ROUNDS`.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clusterSeeds, diff } from '../../src/index.js'
import { moveSlots, startCluster, tagsOf, type ClusterNode } from '../helpers/cluster.js'
import { killMaster, mastersOf, swapSlots } from '../helpers/cluster-faults.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { RestartingRrep } from '../helpers/restarting-rrep.js'
import { serverBinary, waitFor, type ServerBinary } from '../helpers/servers.js'

const ROUNDS = Number(process.env['ROUNDS'] ?? 10)
const KILLS_PER_ROUND = 3
const PAIRS =
  process.env['RREP_SOAK_PAIRS'] ??
  'redis-7.0:redis-7.0,redis-8.6:redis-8.6,valkey-9.1:valkey-9.1,redis-7.0:valkey-9.1,redis-7.0:redis-8.6'
const BURST_MS = 100
const CAUGHT_UP = 'caught up with the source'
/** Some of them on the move in both at once. */
const MOVED: readonly [number, number] = [0, 49]
const MOVED_THERE: readonly [number, number] = [25, 74]
const SLOTS = [
  ...Array.from({ length: 75 }, (_, i) => i),
  ...Array.from({ length: 25 }, (_, i) => 90 + 650 * i),
]

export async function run(): Promise<void> {
  for (const pair of PAIRS.split(',')) {
    const [from, to] = pair.split(':').map((name) => serverBinary(name))
    if (from !== undefined && to !== undefined) await soak(from, to)
  }
}

async function soak(from: ServerBinary, to: ServerBinary): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-cluster-to-cluster-'))
  const source = await startCluster(from, { masters: 3, replicas: 0 })
  const target = await startCluster(to, { masters: 2, replicas: 2 })
  const nodes = [...target.masters, ...target.replicas]
  const seeds = `redis-cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
  const [a, b, c] = source.masters as [ClusterNode, ClusterNode, ClusterNode]
  const words = ['replay', `redis-cluster://127.0.0.1:${c.port}`, seeds, '--spool-dir', dir]
  const rrep = new RestartingRrep(...words, '--until-quiet', '--retries', '50')
  const writer = startClusterWriter(c.port, tagsOf(SLOTS))
  const counts = { moves: 0, masters: 0 }
  let isOver = false
  /** They would be faster than whoever follows them beside all the servers on one machine. */
  const rests = async (): Promise<void> => {
    while (!isOver) {
      await writer.pause()
      await sleep(3 * BURST_MS)
      writer.resume()
      await sleep(BURST_MS)
    }
  }
  try {
    await waitFor(() => writer.writes > 1000, { what: 'writes before' })
    rrep.start()
    await rrep.says(CAUGHT_UP)
    const resting = rests()
    for (let round = 0; round < ROUNDS; round += 1) {
      const work = [
        killNowAndThen(rrep),
        (async () => {
          await moveSlots(a, b, MOVED, [c])
          await moveSlots(b, a, MOVED, [c])
        })(),
        (async () => {
          if (await swapSlots(nodes, MOVED_THERE)) counts.moves += 1
          if (await killMaster(nodes, round)) counts.masters += 1
          if (await swapSlots(nodes, MOVED_THERE)) counts.moves += 1
        })(),
      ]
      const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected')
      if (failed?.status === 'rejected') throw new Error('a round failed', { cause: failed.reason })
      await rrep.says(CAUGHT_UP, 300_000)
    }
    isOver = true
    await resting
    await writer.stop()
    const { code, err } = await rrep.ended
    assert.equal(code, 0, err)
    const keys = await expectWhole(nodes, c.port, seeds)
    console.log(
      `${from.name} into ${to.name}: ${writer.writes} writes, ${2 * ROUNDS} and ${counts.moves} moves of 50 ` +
        `slots, ${rrep.kills} kills of rrep, ${counts.masters} of masters; ${keys} keys whole and the same`,
    )
  } finally {
    isOver = true
    await writer.stop()
    rrep.kill()
    await Promise.all([source.stop(), target.stop()])
    rmSync(dir, { recursive: true, force: true })
  }
}

async function expectWhole(
  nodes: readonly ClusterNode[],
  port: number,
  seeds: string,
): Promise<number> {
  for (const { client } of await mastersOf(nodes)) {
    for (const key of await client.keys('l:*')) {
      const list = await client.lrange(key, 0, -1)
      const wrong = list.findIndex((value, i) => value !== String(i + 1))
      assert.equal(wrong, -1, `${key} has ${list[wrong]!} at ${wrong} of ${list.length}`)
      assert.equal(await client.get(`n${key.slice(1)}`), String(list.length))
    }
  }
  const { same, b } = await diff(
    { kind: 'cluster', seeds: clusterSeeds(`127.0.0.1:${port}`) },
    { kind: 'cluster', seeds: clusterSeeds(seeds) },
  )
  assert.ok(same, 'source and target differ')
  return b.keys
}

/** At random moments. */
async function killNowAndThen(rrep: RestartingRrep): Promise<void> {
  for (let kill = 0; kill < KILLS_PER_ROUND; kill += 1) {
    await sleep(50 + Math.random() * 2500)
    await rrep.killAndStart()
  }
}
