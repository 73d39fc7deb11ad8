/** diff against real servers: each planted difference is found, equal states are the same. */
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  diff,
  type Difference,
  type DiffOptions,
  type DiffResult,
} from '../../../src/verbs/diff/run.js'
import { runCli } from '../../helpers/cli.js'
import { rdbFixtures } from '../../helpers/fixtures.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../../helpers/servers.js'

const LATER_MS = 4_102_444_800_000

const scratch = mkdtempSync(join(tmpdir(), 'rrep-diff-test-'))
let server: TestServer
beforeAll(async () => {
  server = await startServer()
  // Where diff keeps what it needs for a while.
  process.env['TMPDIR'] = scratch
})
afterAll(async () => {
  await server.stop()
  rmSync(scratch, { recursive: true, force: true })
})

async function saved(from: TestServer, name: string): Promise<string> {
  // The child that served a sync may take a moment to end.
  await waitFor(
    async () => (await from.client.info('persistence')).includes('bgsave_in_progress:0'),
    {
      what: 'no save under way',
    },
  )
  await from.client.call('SAVE')
  const file = join(from.dir, name)
  copyFileSync(join(from.dir, 'dump.rdb'), file)
  return file
}

async function compare(
  a: string,
  b: string,
  options: Partial<DiffOptions> = {},
): Promise<{ result: DiffResult; found: Difference[] }> {
  const found: Difference[] = []
  const result = await diff(
    { kind: 'file', path: a },
    { kind: 'file', path: b },
    { onDifference: (each) => found.push({ ...each, key: Buffer.from(each.key) }), ...options },
  )
  return { result, found }
}

async function fill(target: TestServer): Promise<void> {
  const { client } = target
  await client.flushall()
  const pipeline = client.pipeline()
  for (let index = 0; index < 500; index += 1) {
    pipeline.set(`string:${index}`, `value ${index}`)
    pipeline.sadd('set', `member ${index}`)
    pipeline.hset('hash', `field ${index}`, index)
    pipeline.zadd('zset', index / 8, `member ${index}`)
    pipeline.rpush('list', `element ${index}`)
    pipeline.xadd('stream', `${index + 1}-1`, 'field', `value ${index}`)
  }
  pipeline.call('SET', 'timed', 'value', 'PXAT', String(LATER_MS))
  pipeline.set('big', Buffer.alloc(3 << 20, 'x'))
  pipeline.xgroup('CREATE', 'stream', 'group', '0')
  pipeline.xreadgroup('GROUP', 'group', 'consumer', 'COUNT', 10, 'STREAMS', 'stream', '>')
  await pipeline.exec()
}

interface Planted {
  what: string
  commands: (string | number | Buffer)[][]
  kind: Difference['kind']
  key: string
}

const PLANTED: Planted[] = [
  { what: 'a member', commands: [['SREM', 'set', 'member 77']], kind: 'value', key: 'set' },
  { what: 'a field', commands: [['HSET', 'hash', 'field 9', 10]], kind: 'value', key: 'hash' },
  {
    what: 'a score',
    commands: [['ZADD', 'zset', 1.0000001, 'member 8']],
    kind: 'value',
    key: 'zset',
  },
  { what: 'a byte', commands: [['SETRANGE', 'big', 2_000_001, 'y']], kind: 'value', key: 'big' },
  {
    what: 'an order',
    commands: [['LMOVE', 'list', 'list', 'LEFT', 'RIGHT']],
    kind: 'value',
    key: 'list',
  },
  {
    what: 'an expiry',
    commands: [['PEXPIREAT', 'timed', LATER_MS + 1001]],
    kind: 'ttl',
    key: 'timed',
  },
  { what: 'no expiry', commands: [['PERSIST', 'timed']], kind: 'ttl', key: 'timed' },
  {
    what: 'a pending entry',
    commands: [['XACK', 'stream', 'group', '3-1']],
    kind: 'value',
    key: 'stream',
  },
  {
    what: 'the consumer of a pending entry',
    commands: [['XCLAIM', 'stream', 'group', 'other', 0, '3-1', 'RETRYCOUNT', 1, 'JUSTID']],
    kind: 'value',
    key: 'stream',
  },
  { what: 'a missing key', commands: [['DEL', 'string:9']], kind: 'missing-in-b', key: 'string:9' },
  { what: 'a new key', commands: [['SET', 'new', '1']], kind: 'missing-in-a', key: 'new' },
  {
    what: 'a type',
    commands: [
      ['DEL', 'string:1'],
      ['RPUSH', 'string:1', 'value 1'],
    ],
    kind: 'type',
    key: 'string:1',
  },
  {
    what: 'a highest deleted id',
    commands: [['XSETID', 'stream', '500-1', 'ENTRIESADDED', 500, 'MAXDELETEDID', '400-0']],
    kind: 'stream-counters',
    key: 'stream',
  },
]

describe('planted differences', () => {
  test.each(PLANTED)('$what is found, and nothing else', async ({ commands, kind, key }) => {
    await fill(server)
    const a = await saved(server, 'a.rdb')
    for (const [name, ...args] of commands) await server.client.call(String(name), ...args)
    const b = await saved(server, 'b.rdb')
    const { result, found } = await compare(a, b)
    expect(found.map((each) => [each.kind, each.key.toString()])).toEqual([[kind, key]])
    // Counters are beside the data: a note.
    const isNote = kind === 'stream-counters'
    expect(result).toMatchObject({
      same: isNote,
      keysDifferent: isNote ? 0 : 1,
      differences: { [kind]: 1 },
    })
  })

  test('an expiry within the tolerance is the same', async () => {
    await fill(server)
    const a = await saved(server, 'a.rdb')
    await server.client.call('PEXPIREAT', 'timed', String(LATER_MS + 900))
    const b = await saved(server, 'b.rdb')
    expect((await compare(a, b)).result.same).toBe(true)
    expect((await compare(a, b, { ttlToleranceMs: 899 })).result.same).toBe(false)
  })
})

test('the order of loading and the encodings do not matter', async () => {
  await fill(server)
  const a = await saved(server, 'a.rdb')
  await server.client.flushall()
  const pipeline = server.client.pipeline()
  pipeline.config('SET', 'set-max-intset-entries', '0')
  pipeline.config('SET', 'hash-max-listpack-entries', '100000')
  pipeline.config('SET', 'zset-max-listpack-entries', '100000')
  await pipeline.exec()
  await fill(server)
  const shuffled = server.client.pipeline()
  shuffled.del('set', 'hash', 'zset')
  for (let index = 499; index >= 0; index -= 1) {
    shuffled.sadd('set', `member ${index}`)
    shuffled.hset('hash', `field ${index}`, index)
    shuffled.zadd('zset', index / 8, `member ${index}`)
  }
  await shuffled.exec()
  expect(await server.client.object('ENCODING', 'hash')).toBe('listpack')
  const b = await saved(server, 'b.rdb')
  const { result, found } = await compare(a, b)
  expect(found).toEqual([])
  expect(result.same).toBe(true)
  expect(result.a.keys).toBe(result.b.keys)
})

test('everything different is counted whole, shown up to the limit', async () => {
  const count = 60_000
  const write = async (value: string): Promise<string> => {
    await server.client.flushall()
    const pipeline = server.client.pipeline()
    for (let index = 0; index < count; index += 1) pipeline.set(`key:${index}`, value)
    await pipeline.exec()
    return await saved(server, `${value}.rdb`)
  }
  const { result, found } = await compare(await write('one'), await write('two'), { limit: 7 })
  expect(result.differences).toEqual({ value: count })
  expect(found.length).toBe(7)
})

const FIXTURES = ['redis-2.8/types', 'redis-6.2/types', 'redis-5.0/streams', 'redis-7.0/streams']
const fixtures = rdbFixtures().filter((each) => FIXTURES.includes(each.name))
const servers = ['redis-7.0', 'redis-8.6', 'valkey-8.1', 'valkey-9.1']
  .map((prefix) => serverBinary(prefix))
  .filter((binary) => binary !== undefined)

describe.skipIf(fixtures.length === 0).each(servers.map((each) => [each.name, each] as const))(
  'written again by %s',
  (_name, binary) => {
    test.each(fixtures.map((each) => [each.name, each] as const))(
      '%s is the same',
      async (_fixture, fixture) => {
        const other = await startServer({ binary, args: ['--databases', '16385'] })
        try {
          copyFileSync(fixture.rdb, join(other.dir, 'dump.rdb'))
          await other.client.call('DEBUG', 'RELOAD', 'NOSAVE')
          const { result, found } = await compare(fixture.rdb, await saved(other, 'again.rdb'))
          expect(found.map((each) => [each.kind, each.key.toString('latin1')])).toEqual([])
          expect(result.same).toBe(true)
          expect(result.b.keys).toBeGreaterThan(10)
        } finally {
          await other.stop()
        }
      },
    )
  },
)

describe('rrep diff', () => {
  test('a live server is the same as its own dump, until it is written to', async () => {
    await fill(server)
    const a = await saved(server, 'a.rdb')
    const address = `127.0.0.1:${server.port}`
    const same = await runCli(['diff', a, address])
    expect(same.err).toContain('same')
    expect(same.code).toBe(0)
    await server.client.set('string:1', 'changed')
    const different = await runCli(['diff', a, address, '--json'])
    expect(different.code).toBe(7)
    const lines = different.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object)
    expect(lines[0]).toMatchObject({ event: 'difference', kind: 'value', key: 'string:1' })
    expect(lines[1]).toMatchObject({ event: 'diff', same: false, differences: { value: 1 } })
    expect(readdirSync(scratch)).toEqual([])
  })

  test('differences are lines, of which --limit are shown', async () => {
    await fill(server)
    const a = await saved(server, 'a.rdb')
    await server.client.del('string:1', 'string:2', 'string:3')
    const b = await saved(server, 'b.rdb')
    const result = await runCli(['diff', a, b, '--limit', '2'])
    expect(result.code).toBe(7)
    expect(result.out.split('\n')).toHaveLength(4)
    expect(result.out).toMatch(
      /^only in A +db0 string:\d\nonly in A +db0 string:\d\n… and 1 more\n$/,
    )
    const filtered = await runCli(['diff', a, b, '--no-match', 'string:*'])
    expect(filtered.code).toBe(0)
  })

  test('a truncated side is exit 6, a missing file exit 1', async () => {
    const a = await saved(server, 'a.rdb')
    expect((await runCli(['diff', a, join(server.dir, 'none.rdb')])).code).toBe(1)
    const cut = join(server.dir, 'cut.rdb')
    writeFileSync(cut, readFileSync(a).subarray(0, -20))
    expect((await runCli(['diff', a, cut])).code).toBe(6)
    expect(readdirSync(scratch)).toEqual([])
  })
})
