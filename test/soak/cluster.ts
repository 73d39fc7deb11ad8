/**
 * `tail --cluster -o` under load, with each family of servers: 20 slots to and fro in each round, migrations
 * that are cancelled and that fail, a shard that comes and goes, rrep killed and started again five times
 * in each; at last a master killed in the middle of writes. Then the archive is what the cluster holds,
 * and at the moments of the kills no write is missing or doubled.
 */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterSeeds, diff, exportKeys } from '../../src/index.js'
import {
  addMaster,
  moveSlots,
  removeMaster,
  startCluster,
  tagsOf,
  type ClusterNode,
  type TestCluster,
} from '../helpers/cluster.js'
import { breakMove } from '../helpers/cluster-moves.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { waitFor, type ServerBinary } from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'

const ROUNDS = Number(process.env['ROUNDS'] ?? 6)
const KILLS_PER_ROUND = 5
/** Of each slot's writer: the machine is for what is tested. */
const EVERY_MS = 10
const MOVED: readonly [number, number] = [0, 19]
const SLOTS = [...Array.from({ length: 20 }, (_, i) => i), 3000, 6000, 7000, 11_000, 12_000]

export async function run(): Promise<void> {
  for (const binary of soakedServers()) await soak(binary)
}

async function soak(binary: ServerBinary): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-cluster-'))
  const output = join(dir, 'archive')
  const cluster = await startCluster(binary, { masters: 3, replicas: 1 })
  const [a, b] = cluster.masters
  const begin = (): RrepProcess =>
    spawnRrep(['tail', '--cluster', `127.0.0.1:${b!.port}`, '-o', output, '--json'], {
      stdout: 'keep',
    })
  const countOf = (of: RrepProcess, event: string): number =>
    of.out().split(`"event":"${event}"`).length - 1
  const writer = startClusterWriter(b!.port, tagsOf(SLOTS), EVERY_MS)
  let rrep = begin()
  let gaps = 0
  let kills = 0
  const moments: number[] = []
  try {
    // A busy machine is no failover.
    await nodeTimeout(cluster, 20_000)
    await waitFor(() => countOf(rrep, 'snapshot') >= 3, { what: 'three snapshots' })
    // A moment near a kill is some seconds before it, and that long it must have been there.
    await new Promise((resolve) => setTimeout(resolve, 5000))
    const moves = new Moves(cluster)
    for (let round = 0; round < ROUNDS; round += 1) {
      const moving = moves.round()
      for (let kill = 0; kill < KILLS_PER_ROUND; kill += 1) {
        await moment()
        // Half of them where slots have just changed hands, which is told then and not yet noted.
        if (kill % 2 === 1) await moves.next()
        gaps += countOf(rrep, 'gap')
        moments.push(Date.now())
        rrep.child.kill('SIGKILL')
        await rrep.ended
        kills += 1
        rrep = begin()
      }
      await moving
      await waitFor(() => countOf(rrep, 'continued') + countOf(rrep, 'full-resync') >= 3, {
        what: 'all to go on',
        timeoutMs: 60_000,
      })
      moments.push(Date.now())
    }
    const movedMs = Date.now()
    await waitFor(() => Date.now() > movedMs + 2000, { what: 'the moves to be behind' })
    await nodeTimeout(cluster, 2000)
    const changes = countOf(rrep, 'master-changed')
    await a!.kill('SIGKILL')
    await waitFor(() => countOf(rrep, 'master-changed') > changes, {
      what: 'the failover',
      timeoutMs: 90_000,
    })
    const failedOver = writer.writes
    await waitFor(() => writer.writes > failedOver + 2000, { what: 'writes behind it' })
    await writer.stop()
    const seeds = clusterSeeds(`127.0.0.1:${b!.port}`)
    const compare = async () =>
      await diff({ kind: 'cluster', seeds }, output, { withServer: binary.server })
    let same = await compare()
    const deadlineMs = Date.now() + 60_000
    while (!same.same && Date.now() < deadlineMs) same = await compare()
    gaps += countOf(rrep, 'gap')
    rrep.child.kill('SIGINT')
    assert.equal((await rrep.ended).code, 130)
    assert.ok(same.same, `${binary.name}: the archive is not what the cluster holds`)
    const broken: string[] = []
    for (const unixMs of moments) {
      const problem = await wholeAt(output, unixMs, binary)
      if (problem !== undefined) broken.push(`at ${unixMs}: ${problem}`)
    }
    if (broken.length > 0) console.log(readFileSync(join(output, 'nodes.json'), 'utf8'))
    assert.deepEqual(broken, [])
    console.log(
      `${binary.name}: ${writer.writes} writes, ${moves.told()}, ${kills} kills, ` +
        `${same.b.keys} keys equal, ${moments.length} moments whole, ${gaps} gaps`,
    )
  } catch (error) {
    console.log(`${rrep.out().slice(-4000)}\n${rrep.err().slice(-2000)}`)
    throw error
  } finally {
    await writer.stop()
    if (rrep.child.exitCode === null) rrep.child.kill('SIGKILL')
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function nodeTimeout({ masters, replicas }: TestCluster, ms: number): Promise<void> {
  for (const { client } of [...masters, ...replicas]) {
    await client.call('CONFIG', 'SET', 'cluster-node-timeout', ms)
  }
}

async function moment(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 300 + 1200 * Math.random()))
}

/** Of 20 slots between two masters and a third one, which comes for them and goes again. */
class Moves {
  readonly #cluster: TestCluster
  readonly #moved = new EventEmitter()
  #whole = 0
  #broken = 0
  #added = 0

  constructor(cluster: TestCluster) {
    this.#cluster = cluster
  }

  async round(): Promise<void> {
    const [a, b, c] = this.#cluster.masters as [ClusterNode, ClusterNode, ClusterNode]
    const move = async (from: ClusterNode, to: ClusterNode, others: ClusterNode[]) => {
      await moveSlots(from, to, MOVED, others)
      this.#whole += 1
      this.#moved.emit('moved')
    }
    await move(a, b, [c])
    await breakMove(b, a, [0, 4], 'cancelled')
    await move(b, a, [c])
    await breakMove(a, b, [5, 9], 'failed')
    this.#broken += 2
    const added = await addMaster(this.#cluster)
    try {
      await move(a, added, [b, c])
      await move(added, a, [b, c])
      this.#added += 1
    } finally {
      await removeMaster(this.#cluster, added)
      this.#moved.emit('moved')
    }
  }

  /** Resolves at the end of the one that is under way, or of the round. */
  async next(): Promise<void> {
    await Promise.race([once(this.#moved, 'moved'), moment()])
  }

  told(): string {
    return (
      `${this.#whole} moves of ${MOVED[1] + 1} slots, ${this.#broken} that were broken, ` +
      `${this.#added} shards added and removed`
    )
  }
}

/** What is wrong, if anything: no key is missing or stands twice; each list has all numbers once, in order. */
async function wholeAt(
  path: string,
  unixMs: number,
  binary: ServerBinary,
): Promise<string | undefined> {
  const file = join(path, '..', 'moment.jsonl')
  await exportKeys(path, {
    output: file,
    format: 'jsonl',
    until: { unixMs },
    withServer: binary.server,
  })
  const text = readFileSync(file, 'utf8').trim()
  const rows = (text === '' ? [] : text.split('\n')).map(
    (line) => JSON.parse(line) as { key: string; value: string | string[] },
  )
  const state = new Map(rows.map(({ key, value }) => [key, value]))
  if (state.size !== rows.length) return `${rows.length - state.size} keys stand twice`
  const missing: string[] = []
  for (const [i, tag] of tagsOf(SLOTS).entries()) {
    const list = state.get(`l:{${tag}}`)
    const count = Number(state.get(`n:{${tag}}`))
    if (!Array.isArray(list) || Number.isNaN(count)) missing.push(`${SLOTS[i]!}`)
    else if (!list.every((value, n) => value === String(n + 1)))
      return `slot ${SLOTS[i]!}: ${list.length} numbers`
    // In a slot that moves key by key the two may be of two shards, parts of a second apart.
    else if (Math.abs(count - list.length) >= 1000)
      return `slot ${SLOTS[i]!}: ${count} and ${list.length}`
  }
  return missing.length > 0 ? `nothing of slots ${missing.join(' ')}` : undefined
}
