/** Live servers, AOFs and archives into clusters: each command where its slot is, once. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { diff, finishReplay, replay, type ReplayEvent, type ReplayResult } from '../../src/index.js'
import { startCluster, type TestCluster } from '../helpers/cluster.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-replay-cluster-live-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!
  let cluster: TestCluster
  let source: TestServer
  let first: string

  beforeAll(async () => {
    ;[cluster, source] = await Promise.all([
      startCluster(binary, { masters: 3, replicas: 0 }),
      startServer({ binary, args: ['--repl-diskless-sync-delay', '0'] }),
    ])
    first = `127.0.0.1:${cluster.masters[0]!.port}`
  })
  beforeEach(async () => {
    await source.client.flushall()
    await source.client.call('FUNCTION', 'FLUSH')
    for (const { client } of cluster.masters) {
      await client.flushall()
      await client.call('FUNCTION', 'FLUSH')
    }
  })
  afterAll(async () => {
    await Promise.all([cluster.stop(), source.stop()])
  })

  const keysOf = async (): Promise<number> => {
    const sizes = await Promise.all(
      cluster.masters.map(async ({ client }) => await client.dbsize()),
    )
    return sizes.reduce((a, b) => a + b, 0)
  }

  /** While it is streaming, `work` is done at the source; then until quiet, and compared. */
  const follow = async (work: () => Promise<unknown>): Promise<ReplayResult> => {
    const events: ReplayEvent[] = []
    let failure: unknown
    const running = replay(`127.0.0.1:${source.port}`, first, {
      untilQuiet: true,
      verify: true,
      spoolDir: dir,
      onEvent: (event) => events.push(event),
    })
    running.catch((error: unknown) => (failure = error))
    await waitFor(
      () => failure !== undefined || events.some(({ event }) => event === 'caught-up'),
      {
        what: 'the stream',
      },
    )
    await work()
    return await running
  }

  test('a live server: each command where its slot is, once, and nothing of ours is left', async () => {
    const { client } = source
    await client.flushall()
    await fill(client)
    const result = await follow(async () => {
      await client.incr('before')
      await client.flushall()
      await fill(client)
      await writeMany(client)
      await writeOverSlots(client)
    })
    expect(result.ledger.failures).toEqual([])
    expect(result).toMatchObject({ complete: true, stopped: false, verified: { same: true } })
    expect(result.ledger.notes).toMatchObject({
      'transactions over several slots, of each slot by itself': 2,
    })
    expect(await keysOf()).toBe(await client.dbsize())
    for (const node of cluster.masters) {
      expect(await node.client.call('FUNCTION', 'LIST')).toHaveLength(1)
    }
  })

  test.runIf(family === families[0])('what a killed run left is put right', async () => {
    const { client } = source
    for (let i = 0; i < 50; i += 1) await client.set(`k:${i}`, 'x', 'EX', 5000)
    const args = ['--spool-dir', join(dir, 'killed')]
    const rrep = spawnRrep(['replay', `127.0.0.1:${source.port}`, first, ...args])
    await waitFor(() => rrep.err().includes('caught up') || rrep.child.exitCode !== null, {
      what: 'the stream',
      timeoutMs: 60_000,
    })
    rrep.child.kill('SIGKILL')
    await rrep.ended
    expect(await keysOf()).toBeGreaterThan(16_384)
    const finished = await finishReplay(first)
    expect(finished).toMatchObject({ checkpoint: { phase: 'stream' }, expiries: 50, expired: 0 })
    expect(await keysOf()).toBe(50)
    const same = await diff(`127.0.0.1:${source.port}`, `redis-cluster://${first}`, {
      ttlToleranceMs: 5000,
    })
    expect(same.same).toBe(true)
    expect(await finishReplay(first)).toMatchObject({ checkpoint: undefined, expiries: 0 })
  })

  test.runIf(family === families[0])('an append-only file with its base', async () => {
    const { client } = source
    for (let i = 0; i < 300; i += 1) await client.rpush(`l:${i}`, 'a')
    await client.config('SET', 'appendonly', 'yes')
    await waitFor(
      async () => (await client.info('persistence')).includes('aof_rewrite_in_progress:0'),
      { what: 'the base' },
    )
    for (let i = 0; i < 900; i += 1) await client.rpush(`l:${i % 300}`, String(i))
    await client.mset('a', '1', 'b', '2', 'c', '3')
    await client.config('SET', 'appendonly', 'no')
    const aof = join(source.dir, 'appendonlydir')
    const result = await replay(aof, first, { withServer: binary.server, verify: true })
    expect(result.ledger.failures).toEqual([])
    expect(result).toMatchObject({ complete: true, verified: { same: true } })
    expect(result.ledger.keys.written).toBe(300)
    expect(await keysOf()).toBe(303)
  })
})

async function fill(client: Redis): Promise<void> {
  const pipeline = client.pipeline()
  for (let i = 0; i < 500; i += 1) pipeline.rpush(`l:${i}`, 'a')
  pipeline.set('gone', 'x', 'PX', 3_000_000)
  pipeline.mset('a', '1', 'b', '2', 'c', '3')
  pipeline.sadd('s1', 'x', 'y')
  pipeline.sadd('s2', 'y', 'z')
  pipeline.rpush('q1', '1', '2', '3')
  pipeline.zadd('z1', 1, 'a', 2, 'b')
  pipeline.zadd('z2', 3, 'b', 4, 'c')
  await pipeline.exec()
}

async function writeMany(client: Redis): Promise<void> {
  const pipeline = client.pipeline()
  for (let i = 0; i < 5000; i += 1) {
    pipeline.incr(`n:${i % 700}`)
    pipeline.rpush(`l:${i % 700}`, String(i))
  }
  pipeline.set('t', 'x', 'EX', 10_000)
  await pipeline.exec()
  await client.multi().incr('m:1').incr('m:2').incr('m:3').exec()
}

/** Keys in several slots, and none at all. */
async function writeOverSlots(client: Redis): Promise<void> {
  await client.mset('d', '4', 'e', '5', 'f', '6')
  await client.msetnx('g', '7', 'h', '8')
  await client.del('a', 'b', 'nokey')
  await client.pexpire('c', 5_000_000)
  await client.rename('c', 'c2')
  await client.copy('d', 'd2')
  await client.call('COPY', 'e', 'd2', 'REPLACE')
  await client.sunionstore('su', 's1', 's2')
  await client.sinterstore('si', 's1', 's2', 'missing')
  await client.smove('s1', 's2', 'x')
  await client.lmove('q1', 'q2', 'LEFT', 'RIGHT')
  await client.rpoplpush('q1', 'q2')
  await client.zunionstore('zu', 2, 'z1', 'z2')
  await client.call('ZRANGESTORE', 'zr', 'z2', '0', '-1')
  await client.bitop('XOR', 'bo', 'd', 'e')
  await client.pfadd('p1', 'a', 'b')
  await client.pfadd('p2', 'c')
  await client.pfmerge('p3', 'p1', 'p2')
  await client.sort('q2', 'ALPHA', 'STORE', 'sorted')
  await client.geoadd('geo', 13.36, 38.11, 'Palermo')
  const near = ['FROMLONLAT', '15', '37', 'BYRADIUS', '200', 'km']
  await client.call('GEOSEARCHSTORE', 'geo2', 'geo', ...near)
  const code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
  await client.call('FUNCTION', 'LOAD', code)
  await client.multi().mset('t1', '1', 't2', '2').rename('t1', 't3').incr('t2').exec()
}
