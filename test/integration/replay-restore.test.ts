/** RESTORE commands in a stream whose payloads are of another server than the target. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { runCli } from '../helpers/cli.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const pairs = [
  ['redis-8.6', 'redis-7.0'],
  ['valkey-9.1', 'redis-7.0'],
  ['redis-8.6', 'valkey-9.1'],
  ['redis-7.0', 'redis-8.6'],
] as const
const LATER_MS = 4_102_444_800_000

const dir = mkdtempSync(join(tmpdir(), 'rrep-restore-'))
const servers = new Map<string, TestServer>()
beforeAll(async () => {
  for (const prefix of new Set(pairs.flat())) {
    const binary = serverBinary(prefix)
    if (binary !== undefined) servers.set(prefix, await startServer({ binary }))
  }
})
afterAll(async () => {
  for (const server of servers.values()) await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** An AOF of RESTOREs of everything that the server holds. */
async function restores(from: TestServer, ...options: string[]): Promise<string> {
  const parts: Buffer[] = [encodeCommand('SELECT', '0')]
  for (const key of (await from.client.keys('*')).sort()) {
    const payload = await from.client.dumpBuffer(key)
    const ttl = key === 'timed' ? [String(LATER_MS)] : ['0']
    parts.push(encodeCommand('RESTORE', key, ...ttl, payload, ...options))
  }
  const file = join(dir, `${from.binary.name}.aof`)
  writeFileSync(file, Buffer.concat(parts))
  return file
}

async function fill({ client }: TestServer): Promise<void> {
  await client.flushall()
  const pipeline = client.pipeline()
  pipeline.set('string', 'value').set('timed', 'x').rpush('list', 'a', 'b')
  for (let i = 0; i < 700; i += 1) {
    pipeline
      .hset('large', `f${i}`, i)
      .zadd('zset', i / 8, `m${i}`)
      .sadd('set', `m${i}`)
    pipeline.xadd('stream', `${i + 1}-1`, 'f', 'v')
  }
  pipeline.hset('small', 'f', 'v').sadd('ints', 1, 2, 3)
  pipeline.xgroup('CREATE', 'stream', 'group', '0')
  pipeline.xreadgroup('GROUP', 'group', 'consumer', 'COUNT', 5, 'STREAMS', 'stream', '>')
  for (const [error] of (await pipeline.exec())!) if (error !== null) throw error
}

for (const [source, target] of pairs) {
  test(`payloads of ${source} into ${target}`, async ({ skip }) => {
    const from = servers.get(source)
    const to = servers.get(target)
    if (from === undefined || to === undefined) return skip(`no ${source} or ${target}`)
    await fill(from)
    await to.client.flushall()
    await to.client.set('string', 'is replaced')
    const file = await restores(from, 'REPLACE', 'ABSTTL')
    const { code, err } = await runCli(['replay', file, `127.0.0.1:${to.port}`])
    expect(err).not.toContain('failed')
    expect(code).toBe(0)
    expect(await to.client.pexpiretime('timed')).toBe(LATER_MS)
    await from.client.pexpireat('timed', LATER_MS)
    const same = await runCli(['diff', `127.0.0.1:${from.port}`, `127.0.0.1:${to.port}`])
    expect(same.out).toBe('')
    expect(same.code).toBe(0)
  })
}

test('times of fields inside of a payload do not run out while the target is behind', async ({
  skip,
}) => {
  const server = servers.get('redis-8.6') ?? servers.get('valkey-9.1')
  const target = serverBinary('redis-8.6') ?? serverBinary('valkey-9.1')
  if (server === undefined || target === undefined) return skip('no server with times of fields')
  await server.client.flushall()
  await server.client.hset('hash', { a: '1', b: '2' })
  const endMs = Date.now() + 150
  await server.client.call('HPEXPIREAT', 'hash', String(endMs), 'FIELDS', '1', 'a')
  const file = await restores(server)
  await waitFor(() => Date.now() > endMs, { what: 'the time of the field to pass' })
  // Later in the stream it is made to stay.
  writeFileSync(file, encodeCommand('HPERSIST', 'hash', 'FIELDS', '1', 'a'), { flag: 'a' })
  const other = await startServer({ binary: target })
  try {
    const { err, code } = await runCli(['replay', file, `127.0.0.1:${other.port}`])
    expect(err).not.toContain('failed')
    expect(code).toBe(0)
    expect(await other.client.hgetall('hash')).toEqual({ a: '1', b: '2' })
  } finally {
    await other.stop()
  }
})

test.each([
  ['IDLETIME', '4000', 'allkeys-lru'],
  ['FREQ', '77', 'allkeys-lfu'],
])('%s goes on with a payload that is written anew', async (option, value, policy) => {
  const [from, to] = [
    servers.get('redis-8.6') ?? servers.get('valkey-9.1'),
    servers.get('redis-7.0'),
  ]
  if (from === undefined || to === undefined) return
  await from.client.flushall()
  await from.client.rpush('list', 'a', 'b')
  await from.client.set('string', 'x')
  const file = await restores(from, option, value)
  await to.client.flushall()
  await to.client.config('SET', 'maxmemory-policy', policy)
  try {
    expect((await runCli(['replay', file, `127.0.0.1:${to.port}`])).code).toBe(0)
    for (const key of ['list', 'string']) {
      const found = Number(await to.client.call('OBJECT', option, key))
      expect(found).toBeGreaterThanOrEqual(Number(value))
      expect(found).toBeLessThan(Number(value) + 600)
    }
  } finally {
    await to.client.config('SET', 'maxmemory-policy', 'noeviction')
  }
})

test('a payload that is none is refused by the target and named', async () => {
  const to = servers.get('redis-7.0')!
  await to.client.flushall()
  const file = join(dir, 'broken.aof')
  const broken = Buffer.from('\x00\x05hello\x0e\x0012345678', 'latin1')
  writeFileSync(
    file,
    Buffer.concat([
      encodeCommand('SELECT', '0'),
      encodeCommand('RESTORE', 'broken', '0', broken),
      encodeCommand('SET', 'fine', '1'),
    ]),
  )
  const { code, err } = await runCli(['replay', file, `127.0.0.1:${to.port}`])
  expect(err).toMatch(/failed: db 0 broken.*RESTORE/)
  expect(code).toBe(7)
  expect(await to.client.get('fine')).toBe('1')
})
