/** A dump split by hash slot: the parts are the whole, and a real cluster loads them. */
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportKeys } from '../../src/verbs/export/run.js'
import { runCli } from '../helpers/cli.js'
import { startCluster, type TestCluster } from '../helpers/cluster.js'
import { parseStates, sortStates, type KeyState } from '../helpers/fixtures.js'
import { serverBinary } from '../helpers/servers.js'

const FIXTURES = join(import.meta.dirname, '../../fixtures')
const DEMO = join(FIXTURES, 'demo/ecommerce.rdb')
const FUNCTIONS = join(FIXTURES, 'redis-7.0/functions.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-split-'))
let cluster: TestCluster
beforeAll(async () => {
  cluster = await startCluster(serverBinary('redis-7.0')!, { masters: 3, replicas: 0 })
})
afterAll(async () => {
  await cluster.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function states(file: string): Promise<KeyState[]> {
  return parseStates((await runCli(['export', file, '--strings', 'base64', '-q'])).out)
}

async function slotOf(key: string): Promise<number> {
  const name = Buffer.from(key, 'base64')
  return Number(await cluster.masters[0]!.client.call('CLUSTER', 'KEYSLOT', name))
}

test('into equal shares: together the whole, each key where CLUSTER KEYSLOT says', async () => {
  const result = await runCli(['export', DEMO, '--split', '5', '-o', join(dir, 'part.rdb')])
  expect(result.code).toBe(0)
  const files = Array.from({ length: 5 }, (_, i) => join(dir, `part-${i}.rdb`))
  const parts = await Promise.all(files.map(states))
  expect(sortStates(parts.flat())).toEqual(sortStates(await states(DEMO)))
  for (const [i, part] of parts.entries()) {
    expect(part.length).toBeGreaterThan(100)
    for (const { key } of part.slice(0, 50)) {
      expect(Math.floor((await slotOf(key)) / (16_384 / 5))).toBe(i)
    }
  }
})

test('for the shards of a live cluster, which loads them', async () => {
  const ports = cluster.masters.map(({ port }) => port)
  const node = `127.0.0.1:${ports[0]}`
  const args = ['--db', '0', '--for', 'redis-7.0', '--split', node, '-o', join(dir, 'shard.rdb')]
  const result = await runCli(['export', DEMO, FUNCTIONS, ...args])
  expect(result.code).toBe(0)
  for (const master of cluster.masters) {
    copyFileSync(join(dir, `shard-${master.id}.rdb`), join(master.dir, 'dump.rdb'))
    expect(await master.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
    const libraries = (await master.client.call('FUNCTION', 'LIST')) as unknown[]
    expect(libraries.length).toBeGreaterThan(0)
  }
  const held = await Promise.all(cluster.masters.map(async ({ client }) => await client.dbsize()))
  const all = [...(await states(DEMO)), ...(await states(FUNCTIONS))]
  // What was past its time is gone.
  const live = all.filter(
    ({ db, expireAt }) => db === 0 && (expireAt === null || expireAt > Date.now()),
  )
  expect(held.reduce((sum, each) => sum + each, 0)).toBe(live.length)
  for (const { key } of live.filter((_, i) => i % 40 === 0)) {
    const [first, second, third] = await Promise.all(
      cluster.masters.map(async ({ client }) => {
        return await client.call('EXISTS', Buffer.from(key, 'base64')).catch(() => 'MOVED')
      }),
    )
    expect([first, second, third].filter((each) => each === 1)).toHaveLength(1)
  }
})

test('as nodes.json has it; slots without an owner and streams are refused, nothing stays', async () => {
  const ids = ['a'.repeat(40), 'b'.repeat(40)]
  const nodes = join(dir, 'nodes.json')
  const write = (last: number): void =>
    writeFileSync(
      nodes,
      JSON.stringify([
        {
          name: ids[0],
          slots: [
            [0, 99],
            [8000, last],
          ],
        },
        { name: ids[1], slots: [[100, 7999]] },
        { name: 'c'.repeat(40), slots: [] },
      ]),
    )
  write(16_383)
  const result = await exportKeys(DEMO, {
    output: join(dir, 'n.rdb.gz'),
    format: 'rdb',
    compress: { algorithm: 'gzip' },
    split: { nodesFile: nodes },
  })
  expect(result.parts.map(({ file }) => file)).toEqual(ids.map((id) => join(dir, `n-${id}.rdb.gz`)))
  const parts = await Promise.all(result.parts.map(async ({ file }) => await states(file)))
  expect(sortStates(parts.flat())).toEqual(sortStates(await states(DEMO)))
  expect(parts.map((part) => part.length)).toEqual(result.parts.map((part) => part.keysWritten))

  write(16_000)
  const before = readdirSync(dir)
  const holes = await runCli(['export', DEMO, '--split', nodes, '-o', join(dir, 'h.rdb')])
  expect(holes.code).toBe(2)
  expect(holes.err).toContain('383 slots have no owner')
  expect((await runCli(['export', DEMO, '--split', '2', '--format', 'rdb', '-o', '-'])).code).toBe(
    2,
  )
  expect(readdirSync(dir)).toEqual(before)
})
