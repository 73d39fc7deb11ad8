/**
 * `tail --cluster -o` under load, with each family of servers: 20 slots to and fro in each round, rrep
 * killed and started again five times in each; at last a master killed in the middle of writes. Then the
 * archive is what the cluster holds, and at moments in between no write is missing or doubled.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterSeeds, diff, exportKeys } from '../../src/index.js'
import { moveSlots, startCluster, tagsOf } from '../helpers/cluster.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { serverBinary, waitFor, type ServerBinary } from '../helpers/servers.js'

const ROUNDS = Number(process.env['ROUNDS'] ?? 6)
const KILLS_PER_ROUND = 5
const MOVED: readonly [number, number] = [0, 19]
const SLOTS = [...Array.from({ length: 20 }, (_, i) => i), 3000, 6000, 7000, 11_000, 12_000]

export async function run(): Promise<void> {
  const only = process.env['FAMILY']
  for (const name of ['redis-7.0', 'redis-8.6', 'valkey-9.1']) {
    const binary = only === undefined || only === name ? serverBinary(name) : undefined
    if (binary !== undefined) await soak(binary)
  }
}

async function soak(binary: ServerBinary): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-cluster-'))
  const output = join(dir, 'archive')
  const cluster = await startCluster(binary, { masters: 3, replicas: 1 })
  const [a, b, c] = cluster.masters
  const begin = (): RrepProcess =>
    spawnRrep(['tail', '--cluster', `127.0.0.1:${b!.port}`, '-o', output, '--json'], {
      stdout: 'keep',
    })
  const countOf = (of: RrepProcess, event: string): number =>
    of.out().split(`"event":"${event}"`).length - 1
  const writer = startClusterWriter(b!.port, tagsOf(SLOTS))
  let rrep = begin()
  let gaps = 0
  let kills = 0
  const moments: number[] = []
  try {
    await waitFor(() => countOf(rrep, 'snapshot') >= 3, { what: 'three snapshots' })
    for (let round = 0; round < ROUNDS; round += 1) {
      moments.push(Date.now())
      await moveSlots(a!, b!, MOVED, [c!])
      const moving = moveSlots(b!, a!, MOVED, [c!])
      for (let kill = 0; kill < KILLS_PER_ROUND; kill += 1) {
        const killMs = Date.now() + 1500 * Math.random()
        await waitFor(() => Date.now() > killMs, { what: 'a moment' })
        gaps += countOf(rrep, 'gap')
        rrep.child.kill('SIGKILL')
        await rrep.ended
        kills += 1
        rrep = begin()
        if (kill === 1) moments.push(Date.now())
      }
      await moving
      await waitFor(() => countOf(rrep, 'continued') + countOf(rrep, 'full-resync') >= 3, {
        what: 'all to go on',
        timeoutMs: 60_000,
      })
    }
    const movedMs = Date.now()
    await waitFor(() => Date.now() > movedMs + 2000, { what: 'the moves to be behind' })
    await a!.kill('SIGKILL')
    await waitFor(() => countOf(rrep, 'master-changed') === 1, { what: 'the failover' })
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
    for (const unixMs of moments) await expectWhole(output, unixMs, binary)
    console.log(
      `${binary.name}: ${writer.writes} writes, ${2 * ROUNDS} moves of ${MOVED[1] + 1} slots, ` +
        `${kills} kills, ${same.b.keys} keys equal, ${moments.length} moments whole, ${gaps} gaps`,
    )
  } finally {
    await writer.stop()
    if (rrep.child.exitCode === null) rrep.child.kill('SIGKILL')
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** No key is missing or stands twice; each list has all numbers once, in order. */
async function expectWhole(path: string, unixMs: number, binary: ServerBinary): Promise<void> {
  const file = join(path, '..', 'moment.jsonl')
  await exportKeys(path, {
    output: file,
    format: 'jsonl',
    until: { unixMs },
    withServer: binary.server,
  })
  const text = readFileSync(file, 'utf8')
  const rows = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { key: string; value: string | string[] })
  assert.equal(rows.length, 2 * SLOTS.length)
  const state = new Map(rows.map(({ key, value }) => [key, value]))
  assert.equal(state.size, rows.length, 'a key stands twice')
  for (const tag of tagsOf(SLOTS)) {
    const list = state.get(`l:{${tag}}`)
    assert.ok(Array.isArray(list), `l:{${tag}} is missing`)
    list.forEach((value, i) => assert.equal(value, String(i + 1)))
    // In a slot that moves key by key the two may be of two shards, parts of a second apart.
    assert.ok(Math.abs(Number(state.get(`n:{${tag}}`)) - list.length) < 1000)
  }
}
