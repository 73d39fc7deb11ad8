/**
 * `tail --cluster -o` under load, with each family of servers, while the masters of all shards are failed over:
 * as they should be, by force, by takeover, killed, frozen and thawed; and killed and back without their
 * data. After each round the archives are what the cluster holds; what a failover lost that had come is
 * told, and lies beside them. `RREP_SOAK_SERVERS=redis-8.6`: of these alone.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterSeeds, diff } from '../../src/index.js'
import { startCluster, tagsOf } from '../helpers/cluster.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { failOver, restartEmpty, type FailoverWay } from '../helpers/failovers.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { waitFor, type ServerBinary } from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'

const ROUNDS = Number(process.env['ROUNDS'] ?? 20)
const ALL = ['FAILOVER', 'FORCE', 'TAKEOVER', 'KILLED', 'FROZEN', 'EMPTY'] as const
const WAYS = ALL.filter((way) => (process.env['WAYS'] ?? way).includes(way))
/** Of each slot's writer: the machine is for what is tested. */
const EVERY_MS = 30
const SLOTS = Array.from({ length: 60 }, (_, i) => 20 + 270 * i)

interface Told {
  readonly event: string
  readonly writes?: number
  readonly file?: string
}

export async function run(): Promise<void> {
  for (const binary of soakedServers()) await soak(binary)
}

async function soak(binary: ServerBinary): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-cluster-failover-'))
  const output = join(dir, 'archive')
  const cluster = await startCluster(binary, { masters: 3, replicas: 3 })
  const shards = cluster.masters.map((master, i) => ({ master, replica: cluster.replicas[i]! }))
  const { port } = cluster.masters[0]!
  const seeds = clusterSeeds(`127.0.0.1:${port}`)
  const writer = startClusterWriter(port, tagsOf(SLOTS), EVERY_MS)
  const rrep = spawnRrep(['tail', '--cluster', `127.0.0.1:${port}`, '-o', output, '--json'], {
    stdout: 'keep',
  })
  const told = (event: string): readonly Told[] =>
    rrep
      .out()
      .split('\n')
      .filter((line) => line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line) as Told)
  const resumed = (): number => told('continued').length + told('snapshot').length
  let empty = 0
  try {
    await waitFor(() => told('snapshot').length >= 3, { what: 'the snapshots' })
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [i, way] of WAYS.entries()) {
        const shard = shards[(round + i) % shards.length]!
        const { master, replica } = shard
        const gone = resumed()
        const isEmpty = way === 'EMPTY' && (await restartEmpty(master, replica))
        if (way !== 'EMPTY') await failOver(master, replica, way satisfies FailoverWay)
        if (isEmpty) empty += 1
        else Object.assign(shard, { master: replica, replica: master })
        const before = writer.writes
        await waitFor(() => writer.writes > before + 500, { what: 'writes behind it' })
        // A second failover before it has gone on would leave nobody who knows where it was.
        await waitFor(() => resumed() > gone, { what: 'rrep to go on', timeoutMs: 90_000 })
      }
      await writer.pause()
      await expectSame(round)
      writer.resume()
    }
    await writer.stop()
    const losses = told('writes-lost')
    for (const { writes, file } of losses) {
      assert.ok(writes === undefined || writes > 0)
      assert.ok(file === undefined || existsSync(file), `${file ?? ''} is not there`)
    }
    const [snapshots, gaps] = [told('snapshot').length, told('gap').length]
    rrep.child.kill('SIGINT')
    assert.equal((await rrep.ended).code, 130)
    const lost = losses.reduce((sum, { writes }) => sum + (writes ?? 0), 0)
    console.log(
      `${binary.name}: ${writer.writes} writes, ${ROUNDS} of each of ${WAYS.join(', ')}: the archives were what ` +
        `the cluster held after each round; ${losses.length} of them lost ${lost} writes that had come, all told; ` +
        `${snapshots - 3} further snapshots, ${gaps} gaps, ${empty} masters back empty`,
    )
    // Only where a master lost all of its data.
    assert.equal(snapshots - 3, empty)
  } catch (error) {
    console.log(rrep.out().slice(-4000))
    throw error
  } finally {
    await writer.stop()
    if (rrep.child.exitCode === null) rrep.child.kill('SIGKILL')
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }

  async function expectSame(round: number): Promise<void> {
    const deadlineMs = Date.now() + 60_000
    for (;;) {
      const { same } = await diff({ kind: 'cluster', seeds }, output, {
        withServer: binary.server,
      })
      if (same) return
      if (Date.now() > deadlineMs)
        throw new Error(`after round ${round} the archives are not the same`)
    }
  }
}
