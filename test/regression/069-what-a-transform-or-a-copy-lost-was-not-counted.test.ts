/** One command that came to several was counted as several failures, so that more failed than was
 * read; commands that a transform put into a database that is not there vanished; and COPY into
 * another database was left out where the target has no COPY. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

interface Ledger {
  complete: boolean
  keys: Record<string, number>
  commands: { read: number; written: number; failed: number; unknown: number }
  failures: { db: number; key: string; reason: string }[]
}

let dir: string
let target: TestServer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-069-'))
  target = await startServer({ args: ['--rename-command', 'COPY', ''] })
})
beforeEach(async () => {
  await target.client.flushall()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

function aof(...commands: string[][]): string {
  const path = join(dir, 'commands.aof')
  writeFileSync(path, Buffer.concat(commands.map((args) => encodeCommand(...args))))
  return path
}

async function replayed(source: string, transform?: string): Promise<Ledger & { code: number }> {
  const argv = ['replay', source, `127.0.0.1:${target.port}`, '--json', '--on-conflict', 'skip']
  if (transform !== undefined) {
    const path = join(dir, `transform-${Math.random()}.mjs`)
    writeFileSync(path, `export const transform = (item) => ${transform}`)
    argv.push('--transform', path)
  }
  const { code, out } = await runCli(argv)
  const lines = out.trim().split('\n')
  const last = lines.map((line) => JSON.parse(line) as { event: string }).at(-1)
  return { code, ...(last as unknown as Ledger) }
}

test('a command that comes to several, all refused, is one that failed', async () => {
  await target.client.set('k', 'a string')
  const source = aof(['LPUSH', 'k', 'a'], ['SET', 'other', '1'], ['LPUSH', 'k', 'b'])
  const result = await replayed(source, '[item, item, item]')
  expect(result.code).toBe(7)
  expect(result.commands).toMatchObject({ read: 3, written: 1, failed: 2, unknown: 0 })
  expect(result.failures).toHaveLength(6)
})

test('a command of which a part has no place failed, and is counted once', async () => {
  const parts = '[item, { ...item, db: 99 }, { ...item, db: 98 }]'
  const result = await replayed(aof(['SET', 'a', '1'], ['SET', 'b', '2']), parts)
  expect(result.code).toBe(7)
  expect(result.commands).toMatchObject({ read: 2, written: 0, failed: 2, unknown: 0 })
  expect(await target.client.get('b')).toBe('2')
})

test('commands of a key for a database that is not there are failures with its name', async () => {
  const source = await startServer()
  await source.client.rpush('list', 'a', 'b')
  await source.client.call('SAVE')
  const dump = join(dir, 'dump.rdb')
  copyFileSync(join(source.dir, 'dump.rdb'), dump)
  await source.stop()
  const all = "item.kind === 'key' ? 'commands' : { ...item, db: 99 }"
  const lost = await replayed(dump, all)
  expect(lost.code).toBe(7)
  expect(lost.keys).toMatchObject({ read: 1, written: 0, skipped: 0, failed: 1 })
  expect(lost.failures).toMatchObject([{ db: 99, key: 'list' }])
  const some = "item.kind === 'key' ? 'commands' : [item, { ...item, db: 99 }]"
  const half = await replayed(dump, some)
  expect(half.code).toBe(7)
  expect(half.keys).toMatchObject({ read: 2, written: 1, failed: 1 })
  expect(await target.client.lrange('list', 0, -1)).toEqual(['a', 'b'])
})

test('COPY into another database of a target that has no COPY', async () => {
  const source = aof(
    ['SET', 'a', '1', 'PXAT', '4102444800000'],
    ['COPY', 'a', 'b', 'DB', '3'],
    ['SET', 'here', '0'],
    ['SELECT', '3'],
    ['SET', 'there', '3'],
    ['COPY', 'there', 'back', 'DB', '0', 'REPLACE'],
    ['SET', 'there too', '3'],
  )
  const { code, commands } = await replayed(source)
  expect(code).toBe(0)
  expect(commands).toMatchObject({ read: 6, written: 6, failed: 0 })
  expect((await target.client.keys('*')).sort()).toEqual(['a', 'back', 'here'])
  await target.client.select(3)
  expect((await target.client.keys('*')).sort()).toEqual(['b', 'there', 'there too'])
  expect(await target.client.get('b')).toBe('1')
  expect(Number(await target.client.call('PEXPIRETIME', 'b'))).toBeGreaterThan(4102444790000)
  await target.client.select(0)
})
