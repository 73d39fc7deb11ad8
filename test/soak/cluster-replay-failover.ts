/**
 * `replay --cluster` into one server under load, with each family of servers, while the masters of all shards
 * are failed over: as they should be, by force, by takeover, and killed. Writes that are lost in the source
 * are lost in the target: at the end both are the same. `RREP_SOAK_SERVERS=redis-8.6`: of these alone.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterSeeds, diff } from '../../src/index.js'
import { startCluster, tagsOf } from '../helpers/cluster.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { failOver, type FailoverWay } from '../helpers/failovers.js'
import { RestartingRrep } from '../helpers/restarting-rrep.js'
import { startServer, waitFor, type ServerBinary } from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'

const ROUNDS = Number(process.env['ROUNDS'] ?? 5)
const WAYS: readonly FailoverWay[] = ['FAILOVER', 'FORCE', 'TAKEOVER', 'KILLED']
const SLOTS = Array.from({ length: 60 }, (_, i) => 20 + 270 * i)

export async function run(): Promise<void> {
  for (const binary of soakedServers()) await soak(binary)
}

async function soak(binary: ServerBinary): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-failover-'))
  const cluster = await startCluster(binary, { masters: 3, replicas: 3 })
  const target = await startServer({ binary })
  const marks = tagsOf([1, 6000, 12_000])
  const shards = cluster.masters.map((master, i) => ({
    ...{ master, replica: cluster.replicas[i]!, mark: `mark:{${marks[i]!}}` },
  }))
  const port = cluster.masters[0]!.port
  const rrep = new RestartingRrep(
    ...['replay', '--cluster', `127.0.0.1:${port}`, `127.0.0.1:${target.port}`],
    ...['--until-quiet', '--spool-dir', dir],
  )
  const writer = startClusterWriter(port, tagsOf(SLOTS))
  let lost = 0
  let rounds = 0
  try {
    await waitFor(() => writer.writes > 1000, { what: 'writes before' })
    rrep.start()
    await rrep.says('caught up with the source')
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const way of WAYS) {
        for (const shard of shards) {
          const { master, replica } = shard
          await failOver(master, replica, way)
          Object.assign(shard, { master: replica, replica: master })
          const before = writer.writes
          await waitFor(() => writer.writes > before + 500, { what: 'writes behind it' })
          // A second failover before it has gone on would leave nobody who knows where it was.
          rounds += 1
          await replica.client.set(shard.mark, String(rounds))
          await waitFor(
            async () => (await target.client.get(shard.mark)) === String(rounds) || rrep.hasEnded,
            { what: 'rrep to go on', timeoutMs: 90_000 },
          )
          if (rrep.hasEnded) throw new Error('rrep has ended')
        }
        if (way !== 'KILLED') continue
        lost += rrep.said.split('a failover lost').length - 1
        await rrep.killAndStart()
        await rrep.says('caught up with the source')
      }
    }
    await writer.stop()
    const { code, err } = await rrep.ended
    assert.equal(code, 0, err)
    lost += err.split('a failover lost').length - 1
    const seeds = clusterSeeds(`127.0.0.1:${port}`)
    const { same, b } = await diff({ kind: 'cluster', seeds }, `127.0.0.1:${target.port}`)
    assert.ok(same, `${binary.name}: source and target differ`)
    assert.equal(b.keys, 2 * SLOTS.length + shards.length)
    console.log(
      `${binary.name}: ${writer.writes} writes, ${3 * ROUNDS} failovers of each of ${WAYS.join(', ')}, ` +
        `${lost} of them lost writes that had come; ${b.keys} keys the same`,
    )
  } catch (error) {
    console.log(rrep.said.slice(-3000))
    throw error
  } finally {
    await writer.stop()
    rrep.kill()
    await target.stop()
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}
