/**
 * `sync --cluster --moment`, with each family of servers: a client writes a number to one shard after the
 * other, each after the reply of the one before. A cut is broken where a later shard is ahead of an
 * earlier one: never with `strict`. Without it each shard is as it was between the two times that are
 * told. Beside it slots are resharded by `valkey-cli` with rrep attached to every node.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { clusterSeeds, readRdb, syncMoment, type SyncMomentResult } from '../../src/index.js'
import { startCluster, tagsOf, type ClusterNode, type TestCluster } from '../helpers/cluster.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { waitFor, type ServerBinary } from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'

const SERVERS = ['redis-7.0', 'redis-8.6', 'valkey-8.1', 'valkey-9.1']
const CUTS = Number(process.env['SOAK_CUTS'] ?? 40)
/** Two clocks of one machine, read one after the other. */
const CLOCK_MS = 0.5

export async function run(): Promise<void> {
  for (const binary of soakedServers(SERVERS)) {
    const parts = process.env['SOAK_PARTS'] ?? 'cuts,reshard'
    if (parts.includes('cuts')) await cuts(binary)
    if (parts.includes('reshard') && binary.family === 'valkey') await reshard(binary)
  }
}

async function cuts(binary: ServerBinary): Promise<void> {
  const cluster = await startCluster(binary, { masters: 3, replicas: 0 })
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-moment-'))
  const writer = startWriter(cluster)
  try {
    const seeds = clusterSeeds(`127.0.0.1:${cluster.masters[0]!.port}`)
    for (const strict of [true, false]) {
      let broken = 0
      let worst = 0
      let outside = 0
      const spreads: number[] = []
      const holds: number[] = []
      for (let i = 0; i < CUTS; i += 1) {
        const output = join(dir, `${strict ? 'strict' : 'plain'}-${i}`)
        const made = await syncMoment(seeds, { output, strict, withServer: binary.server })
        const counts = await countsOf(output, made)
        const [a, b, c] = counts as [number, number, number]
        if (b > a || c > b) broken += 1
        worst = Math.max(worst, b - a, c - b)
        spreads.push(made.toMs - made.fromMs)
        if (made.heldMs !== undefined) holds.push(made.heldMs)
        if (!counts.every((count, at) => writer.isBetween(at, count, made))) outside += 1
        rmSync(output, { recursive: true })
      }
      const [spread, hold] = [spreads, holds].map((each) => [median(each), Math.max(0, ...each)])
      console.log(
        `${binary.name}: ${strict ? 'strict' : 'without'}: ${broken} of ${CUTS} cuts broken, worst by ` +
          `${Math.max(0, worst)} writes; ${outside} outside of what is told; told precision ` +
          `${spread![0]!.toFixed(2)} ms (median), ${spread![1]!.toFixed(2)} ms (most)` +
          (strict ? `; held for ${hold![0]!.toFixed(1)} ms, ${hold![1]!.toFixed(1)} ms` : ''),
      )
      assert.equal(outside, 0)
      if (strict) assert.equal(broken, 0)
    }
  } finally {
    await writer.stop()
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function countsOf(output: string, { shards }: SyncMomentResult): Promise<readonly number[]> {
  const counts: number[] = []
  for (const { file } of shards) {
    for await (const { value } of readRdb(join(output, file))) {
      if (Buffer.isBuffer(value)) counts.push(Number(value.toString()))
    }
  }
  assert.equal(counts.length, 3)
  return counts
}

function startWriter(cluster: TestCluster): {
  isBetween(shard: number, count: number, told: { fromMs: number; toMs: number }): boolean
  stop(): Promise<void>
} {
  const tags = tagsOf([0, 6000, 12_000])
  /** By shard and number: when it was sent, and when it was answered. */
  const sent: number[][] = [[], [], []]
  const answered: number[][] = [[], [], []]
  let isOver = false
  const done = (async () => {
    for (let n = 1; !isOver; n += 1) {
      for (const [i, node] of cluster.masters.entries()) {
        sent[i]![n] = nowMs()
        await node.client.set(`{${tags[i]!}}n`, String(n))
        answered[i]![n] = nowMs()
      }
    }
  })()
  return {
    isBetween: (shard, count, { fromMs, toMs }) =>
      sent[shard]![count]! <= toMs + CLOCK_MS &&
      (answered[shard]![count + 1] ?? Infinity) >= fromMs - CLOCK_MS,
    stop: async () => {
      isOver = true
      await done
    },
  }
}

/** By `valkey-cli`, to and fro, with `tail`, `tail -o` and `serve` at every node. */
async function reshard(binary: ServerBinary): Promise<void> {
  const cluster = await startCluster(binary, { masters: 3, replicas: 3 })
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-reshard-'))
  const nodes = [...cluster.masters, ...cluster.replicas]
  const runs = nodes.flatMap((node, i) => [
    spawnRrep(['tail', at(node), '--json'], { stdout: 'keep' }),
    spawnRrep(['tail', at(node), '-o', join(dir, String(i)), '--json'], { stdout: 'keep' }),
    spawnRrep(['serve', at(node), '--listen', '127.0.0.1:0'], { stdout: 'keep' }),
  ])
  try {
    for (const node of cluster.masters) {
      await waitFor(
        async () =>
          (await node.client.info('replication')).includes('connected_slaves:4') &&
          !/state=wait_bgsave|state=send_bulk/.test(await node.client.info('replication')),
        { what: 'three of ours at each master', timeoutMs: 60_000 },
      )
    }
    const tags = tagsOf(Array.from({ length: 20 }, (_, i) => i))
    const [a, b] = cluster.masters as [ClusterNode, ClusterNode, ClusterNode]
    for (const tag of tags) await a.client.set(`{${tag}}key`, tag)
    const times: number[] = []
    for (const [from, to] of [
      [a, b],
      [b, a],
      [a, b],
    ] as const) {
      const sinceMs = performance.now()
      const args = [
        ...['--cluster', 'reshard', at(a), '--cluster-from', from.id, '--cluster-to', to.id],
        ...['--cluster-slots', '20', '--cluster-yes'],
      ]
      const { stdout } = await promisify(execFile)(binary.cli, args)
      assert.doesNotMatch(stdout, /NOREPLICAS|\[ERR\]|error/i)
      times.push(performance.now() - sinceMs)
    }
    const check = await promisify(execFile)(binary.cli, ['--cluster', 'check', at(a)])
    assert.match(check.stdout, /All 16384 slots covered/)
    console.log(
      `${binary.name}: valkey-cli --cluster reshard with ${runs.length} rreps attached: 20 slots in ` +
        `${times.map((ms) => Math.round(ms)).join(', ')} ms, exit 0, check: all slots covered`,
    )
  } finally {
    for (const { child, ended } of runs) {
      child.kill('SIGKILL')
      await ended
    }
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

function at({ port }: ClusterNode): string {
  return `127.0.0.1:${port}`
}

function nowMs(): number {
  return performance.timeOrigin + performance.now()
}

function median(values: readonly number[]): number {
  return [...values].sort((x, y) => x - y)[values.length >> 1] ?? 0
}
