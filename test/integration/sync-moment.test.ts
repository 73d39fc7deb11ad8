/** All shards of a real cluster at one moment: a client that writes to one after the other tells. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readRdb } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startCluster, tagsOf, type TestCluster } from '../helpers/cluster.js'
import { serverBinary } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-sync-moment-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!
  let cluster: TestCluster

  beforeAll(async () => {
    cluster = await startCluster(binary, { masters: 3, replicas: 0 })
  })
  afterAll(async () => await cluster.stop())

  test('what one client wrote to shard after shard is cut at one place', async () => {
    const tags = tagsOf([0, 6000, 12_000])
    let isOver = false
    const writer = (async () => {
      for (let n = 1; !isOver; n += 1) {
        for (const [i, node] of cluster.masters.entries()) {
          await node.client.set(`{${tags[i]!}}n`, String(n))
          if (n === 1) await node.client.set(`{${tags[i]!}}ttl`, 'x', 'EX', 3600)
        }
      }
    })()
    const output = join(dir, family)
    const { code, out, err } = await runCli([
      ...['sync', '--cluster', `127.0.0.1:${cluster.masters[1]!.port}`, '--moment', '--strict'],
      ...['--with-server', binary.server, '-o', output, '--json'],
    ])
    isOver = true
    await writer
    expect([code, err]).toEqual([0, ''])
    const told = JSON.parse(out) as { heldMs: number; fromMs: number; shards: { file: string }[] }
    expect(told.heldMs).toBeLessThan(500)
    expect(readdirSync(output).sort()).toEqual(
      ['nodes.json', ...told.shards.map(({ file }) => file)].sort(),
    )
    const counts: number[] = []
    for (const { file } of told.shards) {
      for await (const { key, value, expireAtMs } of readRdb(join(output, file))) {
        if (Buffer.isBuffer(value) && key.toString().endsWith('n'))
          counts.push(Number(value.toString()))
        else expect(Number(expireAtMs) - Date.now()).toBeLessThan(3_600_000)
      }
    }
    const [first, second, third] = counts as [number, number, number]
    expect(first).toBeGreaterThan(1)
    expect(second).toBeLessThanOrEqual(first)
    expect(third).toBeLessThanOrEqual(second)
    expect(third).toBeGreaterThanOrEqual(first - 1)
    const inspected = await runCli(['inspect', output, '--json'])
    expect(JSON.parse(inspected.out)).toMatchObject({ keys: 6, complete: true })
  })

  test('needs a cluster, and --strict needs it', async () => {
    const target = `127.0.0.1:${cluster.masters[0]!.port}`
    for (const args of [['--moment'], ['--cluster', '--strict']]) {
      const { code } = await runCli(['sync', target, '-o', join(dir, 'x'), ...args])
      expect(code).toBe(2)
    }
  })
})
