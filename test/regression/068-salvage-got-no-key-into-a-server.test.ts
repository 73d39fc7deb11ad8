/** `inspect --salvage` told what of a damaged dump could be saved, and nothing could save it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { startServer, type TestServer } from '../helpers/servers.js'

interface Replayed {
  complete: boolean
  lostRegions: number
  lost: { key?: string }[]
  keys: { read: number; written: number; failed: number; unknown: number }
}

let dir: string
let target: TestServer
let address: string
/** 40 strings and a sorted set in db 0, and behind them, in db 1, a hash damaged near its end. */
let damaged: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-068-'))
  const source = await startServer({
    args: ['--rdbcompression', 'no', '--hash-max-listpack-entries', '4'],
  })
  const write = source.client.pipeline()
  for (let i = 0; i < 40; i += 1) write.set(`string:${i}`, `value ${i}`)
  write.zadd('zset', 1, 'a', 2, 'b')
  // Within a db the order of keys is the server's.
  write.select(1)
  for (let i = 0; i < 500; i += 1) write.hset('hash', `field ${i}`, `${i}`.repeat(20))
  await write.exec()
  await source.client.call('SAVE')
  const bytes = readFileSync(join(source.dir, 'dump.rdb'))
  await source.stop()
  // The last field but a few gets a length that reaches beyond the file.
  bytes[bytes.lastIndexOf('field ') - 1] = 0x80
  damaged = join(dir, 'damaged.rdb')
  writeFileSync(damaged, bytes)
  target = await startServer()
  address = `127.0.0.1:${target.port}`
})
beforeEach(async () => {
  await target.client.flushall()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function salvage(source: string, ...more: string[]): Promise<Replayed & { err: string }> {
  const { code, out, err } = await runCli(
    ['replay', source, address, '--salvage', '--json', ...more],
    source === '-' ? { stdin: readFileSync(damaged) } : {},
  )
  expect(code).toBe(6)
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string })
  const replayed = lines.find(({ event }) => event === 'replayed') as unknown as Replayed
  const { keys } = replayed
  expect(keys.read).toBe(keys.written + keys.failed)
  expect(replayed.complete).toBe(false)
  return { ...replayed, err }
}

test.each(['listpack-odd-hash', 'lzf-wrong-length', 'zset-nan-score', 'stream-orphan-pending'])(
  '%s: the sound keys are written by payloads and by commands, the damaged one is named',
  async (name) => {
    for (const restore of ['always', 'never']) {
      await target.client.flushall()
      const path = join(FIXTURES, 'corrupt', `${name}.rdb`)
      const result = await salvage(path, '--restore', restore)
      expect(result.keys).toMatchObject({ read: 3, written: 2, failed: 1 })
      expect(result.lost).toMatchObject([{ key: 'target' }])
      expect(result.err).toContain('ERR_RDB_CORRUPT')
      expect(await target.client.keys('*')).toEqual(['before'])
      await target.client.select(2)
      expect(await target.client.keys('*')).toEqual(['after'])
      await target.client.select(0)
    }
  },
)

test.each([
  ['a file', 'never'],
  ['a file', 'always'],
  ['standard input', 'never'],
])('%s, --restore %s: of a hash damaged near its end nothing is written', async (way, restore) => {
  const result = await salvage(way === 'a file' ? damaged : '-', '--restore', restore)
  expect(result.lostRegions).toBe(1)
  const keyspace = await target.client.info('keyspace')
  expect(keyspace).not.toContain('db1')
  const strings = await target.client.keys('string:*')
  expect([strings.length, result.keys.written]).toEqual([40, 41])
  for (const key of strings) {
    expect(await target.client.get(key)).toBe(`value ${key.slice('string:'.length)}`)
  }
})

test('for people: what was lost, the ledger, and the error that a run without it ends with', async () => {
  await target.client.set('older', '1')
  const argv = ['replay', damaged, address, '--salvage', '--empty-target', '--yes']
  const { code, err } = await runCli(argv)
  expect(code).toBe(6)
  expect(err).toMatch(/lost: key hash \(db1\), bytes \d+ to \d+/)
  expect(err).toMatch(/keys written in .*not everything was written/)
  expect(await target.client.exists('older')).toBe(0)
  const dry = await runCli(['replay', damaged, address, '--salvage', '--dry-run'])
  expect(dry.code).toBe(6)
})

test('a sound dump is loaded as without it, and what is no dump deletes nothing', async () => {
  const sound = join(FIXTURES, 'demo', 'ecommerce.rdb')
  expect((await runCli(['replay', sound, address, '--salvage'])).code).toBe(0)
  const keys = await target.client.dbsize()
  expect(keys).toBeGreaterThan(0)
  const text = join(FIXTURES, 'corrupt', 'text-file.rdb')
  const refused = await runCli(['replay', text, address, '--salvage', '--empty-target', '--yes'])
  expect(refused.code).toBe(6)
  expect(await target.client.dbsize()).toBe(keys)
  const live = await runCli(['replay', `redis://${address}`, address, '--salvage'])
  expect(live.code).toBe(2)
})
