/**
 * A live server into a cluster of two shards, with each family of servers: a counter and the list of its
 * values in every slot, written all the time, while slots of the target move, its masters are killed and
 * replaced, and rrep is killed, from the load on. At the end every counter and every list is whole.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterSeeds, diff } from '../../src/index.js'
import { keySlot, slotTags } from '../../src/topology/key-slot.js'
import { startCluster, type ClusterNode, type TestCluster } from '../helpers/cluster.js'
import { killMaster, mastersOf, swapSlots } from '../helpers/cluster-faults.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { startServer, waitFor, type ServerBinary, type TestServer } from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'

const KILLS_OF_RREP = Number(process.env['RREP_SOAK_KILLS'] ?? 30)
const KILLS_OF_MASTERS = Number(process.env['RREP_SOAK_MASTERS'] ?? 20)
const IS_MOVED = process.env['RREP_SOAK_MOVES'] !== '0'
const MOVED: readonly [number, number] = [100, 149]
const PER_TURN = 400

export async function run(): Promise<void> {
  for (const binary of soakedServers()) await soak(binary)
}

async function soak(binary: ServerBinary): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-cluster-target-'))
  const source = await startServer({
    binary,
    args: ['--repl-backlog-size', '256mb', '--repl-diskless-sync-delay', '0'],
  })
  const cluster = await startCluster(binary, { masters: 2, replicas: 2 })
  const nodes = [...cluster.masters, ...cluster.replicas]
  const seeds = `redis-cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
  const writer = startWriter(source)
  const begin = (end: readonly string[] = []): RrepProcess =>
    spawnRrep(
      [
        ...['replay', `127.0.0.1:${source.port}`, seeds, '--spool-dir', dir, ...end],
        ...['--on-conflict', 'replace', '--retries', '50', '--json'],
      ],
      { stdout: 'keep' },
    )
  await waitFor(() => writer.writes > 40_000, { what: 'something to load', timeoutMs: 60_000 })
  let rrep = begin()
  let killed = 0
  let failovers = 0
  let moves = 0
  const killRrep = async (): Promise<void> => {
    const { exitCode } = rrep.child
    assert.equal(exitCode, null, `rrep ended with ${String(exitCode)}: ${rrep.err()} ${rrep.out()}`)
    rrep.child.kill('SIGKILL')
    await rrep.ended
    killed += 1
    rrep = begin()
  }
  try {
    while (killed < KILLS_OF_RREP || failovers < KILLS_OF_MASTERS) {
      await pause(500 + Math.random() * 2500)
      if (killed < KILLS_OF_RREP) await killRrep()
      await pause(Math.random() * 2000)
      if (IS_MOVED && Math.random() < 0.5) {
        if (await swapSlots(nodes, MOVED)) moves += 1
      } else if (failovers < KILLS_OF_MASTERS) {
        if (await killMaster(nodes, failovers)) failovers += 1
      }
    }
    await writer.stop()
    // Writers that rest are no end before.
    rrep.child.kill('SIGKILL')
    await rrep.ended
    rrep = begin(['--until-quiet'])
    const { code } = await rrep.ended
    assert.equal(code, 0, `${rrep.err()} ${rrep.out()}`)
    const target = { kind: 'cluster', seeds: clusterSeeds(seeds) } as const
    const same = await diff(`127.0.0.1:${source.port}`, target)
    if (!same.same) await tellWrong(await mastersOf(nodes), writer.counts)
    assert.ok(same.same, `${binary.name}: ${JSON.stringify(same)}`)
    const whole = await expectWhole(source, writer.counts)
    console.log(
      `${binary.name}: ${writer.writes} writes, rrep killed ${killed} times, masters ${failovers} times, ` +
        `${moves} moves of ${MOVED[1] - MOVED[0] + 1} slots, ${same.a.keys} keys equal, ${whole} lists whole`,
    )
  } finally {
    await writer.stop()
    if (rrep.child.exitCode === null) rrep.child.kill('SIGKILL')
    await stop(source, cluster)
    rmSync(dir, { recursive: true, force: true })
  }
}

async function stop(source: TestServer, cluster: TestCluster): Promise<void> {
  await Promise.all([source.stop(), cluster.stop()])
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

/** Of every slot: what is applied twice, or not at all, shows. */
function startWriter(source: TestServer): {
  readonly writes: number
  readonly counts: Int32Array
  stop(): Promise<void>
} {
  const tags = slotTags()
  const counts = new Int32Array(tags.length)
  const client = source.newClient()
  let isOver = false
  let writes = 0
  const run = async (): Promise<void> => {
    for (let turn = 0; !isOver; turn += 1) {
      const pipeline = client.pipeline()
      for (let i = 0; i < PER_TURN; i += 1) {
        // Each in its turn at first, then some more often than others.
        const slot =
          turn * PER_TURN < tags.length
            ? (turn * PER_TURN + i) % tags.length
            : Math.floor(Math.random() ** 2 * tags.length)
        counts[slot] = counts[slot]! + 1
        pipeline.incr(`n:{${tags[slot]!}}`)
        pipeline.rpush(`l:{${tags[slot]!}}`, String(counts[slot]))
      }
      await pipeline.exec()
      writes += 2 * PER_TURN
      await pause(40)
    }
  }
  const running = run()
  return {
    get writes() {
      return writes
    },
    counts,
    stop: async () => {
      isOver = true
      await running
    },
  }
}

async function expectWhole(source: TestServer, counts: Int32Array): Promise<number> {
  let whole = 0
  for (const [slot, tag] of slotTags().entries()) {
    if (counts[slot] === 0) continue
    const list = await source.client.lrange(`l:{${tag}}`, 0, -1)
    assert.deepEqual(
      list,
      Array.from({ length: counts[slot]! }, (_, i) => String(i + 1)),
    )
    whole += 1
  }
  return whole
}

/** What is lost, what came twice, and what is left of ours. */
async function tellWrong(masters: readonly ClusterNode[], counts: Int32Array): Promise<void> {
  const examples: string[] = []
  let wrong = 0
  for (const node of masters) {
    const keys = await node.client.keys('*')
    examples.push(...keys.filter((key) => !/^[ln]:/.test(key)))
    for (const key of keys.filter((each) => each.startsWith('l:'))) {
      const count = counts[keySlot(Buffer.from(key))]!
      const list = (await node.client.lrange(key, 0, -1)).map(Number)
      if (list.length === count && list.every((n, i) => n === i + 1)) continue
      wrong += 1
      if (examples.length < 20) examples.push(`${key} of ${count}: ${list.join()}`)
    }
  }
  console.log(`${wrong} lists are wrong`, examples.join('\n'))
}
