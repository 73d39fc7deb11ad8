/** Dumps into clusters of three masters: every key where its slot is, and the ledger adds up. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { replay } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startCluster, type TestCluster } from '../helpers/cluster.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-replay-cluster-'))
const dump = join(dir, 'dump.rdb')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const KEYS = 3000
const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)

let source: TestServer
beforeAll(async () => {
  source = await startServer()
  const pipeline = source.client.pipeline()
  for (let i = 0; i < KEYS; i += 1) {
    if (i % 3 === 0) pipeline.set(`s:${i}`, `value ${i}`, 'EX', 10_000)
    else if (i % 3 === 1) pipeline.hset(`h:{${i % 50}}:${i}`, { a: '1', b: String(i) })
    else pipeline.rpush(`l:${i}`, 'x', 'y', String(i))
  }
  await pipeline.exec()
  await source.client.call(
    'FUNCTION',
    'LOAD',
    "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
  )
  await source.client.call('SAVE')
  copyFileSync(join(source.dir, 'dump.rdb'), dump)
})
afterAll(async () => await source.stop())

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!
  let cluster: TestCluster
  let first: string

  beforeAll(async () => {
    cluster = await startCluster(binary, { masters: 3, replicas: 0 })
    first = `127.0.0.1:${cluster.masters[0]!.port}`
  })
  beforeEach(async () => {
    for (const { client } of cluster.masters) {
      await client.flushall()
      await client.call('FUNCTION', 'FLUSH')
    }
  })
  afterAll(async () => await cluster.stop())

  const sizes = async (): Promise<number[]> =>
    await Promise.all(cluster.masters.map(async ({ client }) => await client.dbsize()))
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

  test('a node is recognised as one of a cluster, and all masters get their keys', async () => {
    const { code, out } = await runCli(['replay', dump, first, '--verify', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      complete: true,
      keys: { read: KEYS, written: KEYS, failed: 0, unknown: 0 },
      functions: { read: 1, written: 1, failed: 0 },
      verified: { same: true },
      target: { keys: KEYS },
    })
    const each = await sizes()
    expect(sum(each)).toBe(KEYS)
    expect(Math.min(...each)).toBeGreaterThan(KEYS / 6)
    for (const { client } of cluster.masters) {
      expect(await client.call('FUNCTION', 'LIST')).toHaveLength(1)
    }
    expect(await runCli(['diff', dump, `redis-cluster://${first}`])).toMatchObject({ code: 0 })
  })

  test('from a pipe, from the dumps of another cluster, renamed, and a dry run', async () => {
    const piped = await runCli(['replay', '-', `redis-cluster://${first}`, '--json'], {
      stdin: readFileSync(dump),
    })
    expect(piped.code).toBe(0)
    expect(sum(await sizes())).toBe(KEYS)
    const shards = join(dir, `${family}-shards`)
    expect((await runCli(['sync', '--cluster', first, '-o', shards])).code).toBe(0)
    const again = await runCli(['replay', shards, first, '--on-conflict', 'skip', '--json'])
    expect(JSON.parse(again.out)).toMatchObject({ keys: { read: KEYS, skipped: KEYS, written: 0 } })
    const renamed = await runCli([
      ...[
        'replay',
        dump,
        first,
        '--rewrite-key',
        's/^s:/t:/',
        '--match',
        's:*',
        '--json',
        '--on-conflict',
        'skip',
        '--on-conflict',
        'skip',
      ],
    ])
    expect(renamed.code).toBe(0)
    expect(sum(await sizes())).toBe(KEYS + KEYS / 3)
    const dry = await runCli(['replay', dump, first, '--dry-run', '--json'])
    expect(JSON.parse(dry.out)).toMatchObject({ dryRun: true, keys: { read: KEYS, failed: KEYS } })
  })

  test('keys in the way fail by name; all masters are emptied only where the cluster is named', async () => {
    await runCli(['replay', dump, first])
    const inTheWay = await runCli(['replay', dump, first, '--json'])
    expect(inTheWay.code).toBe(7)
    expect(JSON.parse(inTheWay.out)).toMatchObject({ keys: { read: KEYS, failed: KEYS } })
    const refused = await runCli(['replay', dump, first, '--empty-target', '--yes'])
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('all masters')])
    expect(sum(await sizes())).toBe(KEYS)
    const emptied = await runCli([
      ...['replay', dump, first, '--target-cluster', '--empty-target', '--yes', '--json'],
    ])
    expect(emptied.code).toBe(0)
    expect(JSON.parse(emptied.out)).toMatchObject({ keys: { written: KEYS, failed: 0 } })
  })

  test('other databases are named, damage ends it with what was written', async () => {
    const demo = await runCli(['replay', join(FIXTURES, 'demo/ecommerce.rdb'), first, '--json'])
    expect(demo.code).toBe(7)
    expect(JSON.parse(demo.out)).toMatchObject({ keys: { read: 4641, written: 4491, failed: 150 } })
    await expect(replay(dump, `redis-cluster://127.0.0.1:${source.port}`)).rejects.toMatchObject({
      code: 'ERR_NOT_A_CLUSTER',
    })
  })

  test('a master that is gone in the middle ends all of it, with the ledger', async () => {
    const running = runCli([
      ...[
        'replay',
        dump,
        first,
        '--rate',
        '100kb',
        '--retries',
        '0',
        '--json',
        '--connections',
        '3',
      ],
    ])
    const victim = cluster.masters[2]!
    await new Promise<void>((resolve) => {
      const look = setInterval(() => {
        void victim.client.dbsize().then((keys) => {
          if (keys === 0) return
          clearInterval(look)
          resolve()
        })
      }, 5)
    })
    await victim.kill('SIGKILL')
    const { code, out, err } = await running
    expect(code, err).not.toBe(0)
    expect(out, err).not.toBe('')
    const { keys } = JSON.parse(out) as {
      keys: {
        read: number
        written: number
        failed: number
        skipped: number
        expired: number
        unknown: number
      }
    }
    expect(keys.written + keys.failed + keys.skipped + keys.expired + keys.unknown).toBe(keys.read)
    await victim.restart()
  })
})
