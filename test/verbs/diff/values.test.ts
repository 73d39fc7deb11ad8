/** diff --values: what differs inside, against real servers, with values of all sizes. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { diff, type Difference } from '../../../src/verbs/diff/run.js'
import { runCli } from '../../helpers/cli.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../../helpers/servers.js'

type Commands = (string | number | Buffer)[][]

const scratch = mkdtempSync(join(tmpdir(), 'rrep-values-test-'))
let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server.stop()
  rmSync(scratch, { recursive: true, force: true })
})
beforeEach(async () => {
  await server.client.flushall()
})

async function run(on: TestServer, commands: Commands): Promise<void> {
  const pipeline = on.client.pipeline()
  for (const [name, ...args] of commands) pipeline.call(String(name), ...args)
  for (const [error] of (await pipeline.exec())!) if (error !== null) throw error
}

async function saved(on: TestServer, name: string): Promise<string> {
  await waitFor(
    async () => (await on.client.info('persistence')).includes('bgsave_in_progress:0'),
    { what: 'no save under way' },
  )
  await on.client.call('SAVE')
  const file = join(scratch, name)
  copyFileSync(join(on.dir, 'dump.rdb'), file)
  return file
}

async function detailsOf(a: string, b: string): Promise<Difference[]> {
  const found: Difference[] = []
  await diff(
    { kind: 'file', path: a },
    { kind: 'file', path: b },
    { values: true, onDifference: (each) => found.push(each) },
  )
  return found
}

/** The details of the one key that differs after the commands. */
async function inside(before: Commands, after: Commands, on = server): Promise<string[]> {
  await run(on, before)
  const a = await saved(on, 'a.rdb')
  await run(on, after)
  const found = await detailsOf(a, await saved(on, 'b.rdb'))
  expect(new Set(found.map((each) => each.key.toString())).size).toBe(1)
  expect(found.filter((each) => each.detail !== undefined)).toHaveLength(1)
  const { detail } = found[0]!
  const lines = detail!.elements.map(
    ({ element, a: left, b: right }) => `${element}: ${left ?? 'none'} → ${right ?? 'none'}`,
  )
  return detail!.more ? [...lines, `… of ${detail!.sizeA} and ${detail!.sizeB}`] : lines
}

const many = (count: number, of: (i: number) => (string | number)[]): (string | number)[] =>
  Array.from({ length: count }, (_, i) => of(i)).flat()

describe('what differs inside', () => {
  test('a byte of a long string, and a longer one', async () => {
    const big = Buffer.alloc(3 << 20, 'x')
    expect(await inside([['SET', 'k', big]], [['SETRANGE', 'k', 2_000_001, 'y']])).toEqual([
      `byte 2000001: "…${'x'.repeat(59)}…" → "…${'x'.repeat(16)}y${'x'.repeat(42)}…"`,
    ])
    expect(await inside([['SET', 'k', 'short']], [['APPEND', 'k', 'er']])).toEqual([
      'byte 5: "short" → "shorter"',
    ])
    expect(await inside([['SET', 'k', '']], [['SET', 'k', 'new']])).toEqual([
      'byte 0: none → "new"',
    ])
  })

  test('fields, members and scores', async () => {
    const hash = ['HSET', 'h', ...many(2000, (i) => [`f${i}`, `v${i}`])]
    const changed = [['HSET', 'h', 'f7', 'changed', 'added', '1'], ['HDEL', 'h', 'f9']] // prettier-ignore
    expect((await inside([hash], changed)).sort()).toEqual([
      'field "added": none → "1"',
      'field "f7": "v7" → "changed"',
      'field "f9": "v9" → none',
    ])
    await server.client.flushall()
    const set = ['SADD', 's', ...many(50_000, (i) => [`m${i}`])]
    expect(await inside([set], [['SREM', 's', 'm777']])).toEqual(['member "m777":  → none'])
    await server.client.flushall()
    const zset = ['ZADD', 'z', ...many(500, (i) => [i, `m${i}`])]
    expect(await inside([zset], [['ZADD', 'z', 1.5, 'm8']])).toEqual(['member "m8": "8" → "1.5"'])
  })

  test('the first elements of a list that differ, whatever its length', async () => {
    const list = ['RPUSH', 'l', ...many(30_000, (i) => [`e${i}`])]
    expect(await inside([list], [['LSET', 'l', 20_123, 'x']])).toEqual([
      'element 20123: "e20123" → "x"',
    ])
    expect(await inside([], [['LPUSH', 'l', 'first']])).toEqual([
      'element 0: "e0" → "first"',
      ...[1, 2, 3, 4].map((i) => `element ${i}: "e${i}" → "e${i - 1}"`),
      '… of 30000 and 30001',
    ])
    expect(await inside([], [['RPUSH', 'l', 'last']])).toEqual(['element 30001: none → "last"'])
  })

  test('entries, groups and pending entries of a stream', async () => {
    const base = [
      ...Array.from({ length: 300 }, (_, i) => ['XADD', 's', `${i + 1}-1`, 'f', `v${i}`]),
      ['XGROUP', 'CREATE', 's', 'g', '0'],
      ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 3, 'STREAMS', 's', '>'],
    ]
    expect(await inside(base, [['XACK', 's', 'g', '2-1']])).toEqual([
      'pending in group "g 2-1": "delivered 1 times" → none',
      'pending of consumer "g c 2-1":  → none',
    ])
    const found = await inside([], [['XDEL', 's', '100-1']])
    expect(found).toContain('entry "100-1": "f v99 " → none')
  })

  test('bytes that are no text, or drive a terminal, are never shown raw', async () => {
    const hostile = Buffer.from('\u001b[31mred\r\n\u202e\u0000', 'utf8')
    const bytes = Buffer.from([0xff, 0xfe, 7])
    await run(server, [['HSET', 'h', hostile, 'a']])
    const a = await saved(server, 'a.rdb')
    await run(server, [['HSET', 'h', hostile, bytes]])
    const result = await runCli(['diff', a, await saved(server, 'b.rdb'), '--values'])
    expect(result.out).toBe(
      'value           db0 h\n    field "\\x1b[31mred\\r\\n\\xe2\\x80\\xae\\x00": "a" → "\\xff\\xfe\\a"\n',
    )
    expect(result.code).toBe(7)
  })

  test('all of a large value: some are shown, and that there are more', async () => {
    const of = (value: string): Commands => [['DEL', 'h'], ['HSET', 'h', ...many(40_000, (i) => [`f${i}`, value])]] // prettier-ignore
    const lines = await inside(of('one'), of('two'))
    expect(lines).toHaveLength(6)
    expect(lines[0]).toMatch(/^field "f\d+": "one" → "two"$/)
    expect(lines[5]).toBe('… of 40000 and 40000')
  })

  test('--json has them in the difference; other kinds have none', async () => {
    await run(server, [['SET', 'a', 1], ['SET', 'b', 1], ['SET', 'c', 1]]) // prettier-ignore
    const a = await saved(server, 'a.rdb')
    await run(server, [['SET', 'a', 2], ['DEL', 'b'], ['EXPIRE', 'c', 1000]]) // prettier-ignore
    const result = await runCli(['diff', a, await saved(server, 'b.rdb'), '--values', '--json'])
    const lines = result.out.trim().split('\n').map((line) => JSON.parse(line) as Difference) // prettier-ignore
    const of = (kind: string): Difference => lines.find((each) => each.kind === kind)!
    expect(of('value').detail).toEqual({
      sizeA: 1,
      sizeB: 1,
      elements: [{ element: 'byte 0', a: '"1"', b: '"2"' }],
      more: false,
    })
    expect(of('ttl').detail).toBeUndefined()
    expect(of('missing-in-b').detail).toBeUndefined()
  })

  const newer = serverBinary('valkey-9') ?? serverBinary('redis-8')
  test('the time of a field', async ({ skip }) => {
    if (newer === undefined) return skip('no server with times of fields')
    const other = await startServer({ binary: newer })
    try {
      const expire = ['HPEXPIREAT', 'h', '4102444800000', 'FIELDS', 1, 'f']
      expect(await inside([['HSET', 'h', 'f', 1, 'g', 2]], [expire], other)).toEqual([
        'field "f": "1", no expiry → "1", expires 2100-01-01T00:00:00.000Z',
      ])
    } finally {
      await other.stop()
    }
  })
})

test('of a few differences in a map each is found', async () => {
  const field = fc.string({ unit: 'binary', minLength: 1, maxLength: 12 })
  const map = fc.dictionary(field, fc.constantFrom('one', 'two'), { minKeys: 1, maxKeys: 40 })
  await fc.assert(
    fc.asyncProperty(map, map, async (left, right) => {
      const write = async (of: Record<string, string>, name: string): Promise<string> => {
        await run(server, [
          ['DEL', 'h'],
          ['HSET', 'h', ...Object.entries(of).flatMap(([key, value]) => [Buffer.from(key), value])],
        ])
        return await saved(server, name)
      }
      const found = await detailsOf(await write(left, 'l.rdb'), await write(right, 'r.rdb'))
      const bytes = (of: Record<string, string>): Map<string, string> =>
        new Map(Object.entries(of).map(([key, value]) => [Buffer.from(key).toString('hex'), value]))
      const [inLeft, inRight] = [bytes(left), bytes(right)]
      const names = new Set([...inLeft.keys(), ...inRight.keys()])
      const wanted = [...names].filter((name) => inLeft.get(name) !== inRight.get(name)).length
      const detail = found[0]?.detail
      expect(detail?.elements.length ?? 0).toBe(Math.min(wanted, 5))
      expect(detail?.more ?? false).toBe(wanted > 5)
    }),
    { numRuns: 40 },
  )
})
