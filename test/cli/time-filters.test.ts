/** `--ttl '<1h'` and `--idle '>30d'`: the same keys with every verb that reads them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compileKeyFilter } from '../../src/source/key-filter.js'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { rdbBytes } from '../helpers/rdb-bytes.js'
import { str } from '../helpers/rdb-values.js'
import { startServer, type TestServer } from '../helpers/servers.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-time-filters-'))
const dump = join(scratch, 'ttl.rdb')
const LRU = join(FIXTURES, 'redis-7.0/lru.rdb')
const HOUR_MS = 3_600_000
let server: TestServer

beforeAll(async () => {
  const key = (name: string, leftMs: number | undefined): Buffer => {
    const expiry = Buffer.alloc(leftMs === undefined ? 0 : 9)
    if (leftMs !== undefined) {
      expiry[0] = 0xfc
      expiry.writeBigUInt64LE(BigInt(Date.now() + leftMs), 1)
    }
    return Buffer.concat([expiry, Buffer.of(0), str(Buffer.from(name)), str(Buffer.from('v'))])
  }
  const body = Buffer.concat([
    Buffer.of(0xfe, 0),
    key('lasting', undefined),
    key('past', -HOUR_MS),
    key('soon', HOUR_MS / 2),
    key('today', 5 * HOUR_MS),
    key('far', 240 * HOUR_MS),
  ])
  writeFileSync(dump, rdbBytes({ body }))
  server = await startServer()
})
afterAll(async () => {
  await server.stop()
  rmSync(scratch, { recursive: true })
})

/** By each verb that says which keys it took. */
async function keysBy(verb: string, file: string, ...filter: string[]): Promise<string[]> {
  const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')
  const names = (text: string): string[] =>
    lines(text)
      .map((line) => (JSON.parse(line) as { key: string }).key)
      .sort()
  if (verb === 'inspect') {
    const { code, out } = await runCli(['inspect', file, '--keys', '--json', ...filter])
    expect(code).toBe(0)
    return names(out)
  }
  if (verb === 'replay') {
    await server.client.flushall()
    const target = `127.0.0.1:${server.port}`
    const { code } = await runCli(['replay', file, target, '-q', ...filter])
    expect(code).toBe(0)
    return (await server.client.keys('*')).sort()
  }
  const output = join(scratch, `${verb}.out`)
  const made = await runCli(['export', file, '--format', verb, '-o', output, ...filter])
  expect(made.code).toBe(0)
  if (verb === 'jsonl') return names(readFileSync(output, 'utf8'))
  return await keysBy('inspect', output)
}

describe.each(['inspect', 'jsonl', 'rdb', 'replay'])('%s', (verb) => {
  test.each([
    ['<1h', ['soon']],
    ['<1d', ['soon', 'today']],
    ['>1h', ['far', 'today']],
    ['> 7d', ['far']],
  ])('--ttl %s', async (bound, expected) => {
    expect(await keysBy(verb, dump, '--ttl', bound)).toEqual([...expected].sort())
  })

  test('--idle', async () => {
    const all = await runCli(['inspect', LRU, '--keys', '--json'])
    const idle = new Map(
      all.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { key: string; idle: number })
        .map((row) => [row.key, row.idle]),
    )
    const expected = (wanted: (seconds: number) => boolean): string[] =>
      [...idle].flatMap(([key, seconds]) => (wanted(seconds) ? [key] : [])).sort()
    const day = 86_400
    const old = expected((seconds) => seconds > day)
    expect(old.length).toBeGreaterThan(0)
    expect(await keysBy(verb, LRU, '--idle', '>1d')).toEqual(old)
    const strings = expected((seconds) => seconds < 3600).filter((key) => /^(int|raw)/.test(key))
    const args = ['--idle', '<1h', '--match', 'int*', '--match', 'raw*']
    expect(await keysBy(verb, LRU, ...args)).toEqual(strings)
  })
})

test('a dump without idle times has no key that passes, and that is said', async () => {
  const { code, out, err } = await runCli(['inspect', dump, '--idle', '>1d', '--keys'])
  expect([code, out]).toEqual([0, ''])
  expect(err).toContain('only servers with an LRU policy save idle times')
})

test.each(['1h', '=1h', '<', '>soon'])('--ttl %s is refused', async (bound) => {
  const { code, err } = await runCli(['inspect', dump, '--ttl', bound])
  expect(code).toBe(2)
  expect(err).toContain('not a')
})

test('a key has time left to its last millisecond', () => {
  const filter = compileKeyFilter({ ttl: { belowMs: 1000 } })
  expect([-1, 99, 100, 101, 1099, 1100].map((at) => filter.ttl(at, 100))).toEqual([
    false,
    false,
    false,
    true,
    true,
    false,
  ])
})

test('commands behind a snapshot cannot be chosen so', async () => {
  const aof = join(FIXTURES, 'redis-7.0/aof')
  const args = ['replay', aof, `127.0.0.1:${server.port}`, '--idle', '>1d']
  expect((await runCli(args)).code).toBe(2)
})
