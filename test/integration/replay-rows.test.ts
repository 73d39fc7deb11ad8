/**
 * Thousands of keys that go in rows, and some that the target does not take: each is named and
 * counted under its db and type, and all the others are there.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { LedgerReport } from '../../src/target/ledger.js'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

const KEYS = 6000
/** Every so many a key is one that the target does not take. */
const REFUSED_EACH = 50
const REFUSED = KEYS / REFUSED_EACH

let dir: string
let target: TestServer
let rdb: string

const nameOf = (index: number): string => `${index % REFUSED_EACH === 7 ? 'no' : 'ok'}:${index}`
const isHash = (index: number): boolean => index % 3 === 0

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-rows-'))
  const source = await startServer()
  target = await startServer()
  for (const db of [0, 3]) {
    const pipeline = source.newClient(db).pipeline()
    for (let index = 0; index < KEYS; index += 1) {
      if (isHash(index)) pipeline.hset(nameOf(index), 'field', index, 'other', 'x'.repeat(100))
      else pipeline.set(nameOf(index), 'x'.repeat(index % 200), 'EX', 100_000 + index)
    }
    await pipeline.exec()
  }
  rdb = join(dir, 'dump.rdb')
  expect((await runCli(['sync', `127.0.0.1:${source.port}`, '-o', rdb])).code).toBe(0)
  await source.stop()
  await target.client.call('ACL', 'SETUSER', 'some', 'on', '>secret', '~ok:*', '+@all')
})
beforeEach(async () => {
  await target.client.flushall()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function replay(user: string, ...args: string[]): Promise<[number, LedgerReport]> {
  const address = `redis://${user}127.0.0.1:${target.port}`
  const { code, out } = await runCli(['replay', rdb, address, '--json', ...args])
  return [code, JSON.parse(out) as LedgerReport]
}

const indexOf = (key: string): number => Number(key.slice(3))

test.each(['auto', 'always', 'never'])(
  'keys that are refused, with --restore %s',
  async (restore) => {
    const [code, ledger] = await replay('some:secret@', '--restore', restore)
    expect(code).toBe(7)
    expect(ledger.keys).toMatchObject({
      read: 2 * KEYS,
      failed: 2 * REFUSED,
      written: 2 * (KEYS - REFUSED),
    })
    for (const db of ['0', '3']) {
      const failed = ledger.failures.filter((each) => each.db === Number(db))
      expect(failed.map((each) => each.key).sort()).toEqual(
        Array.from({ length: REFUSED }, (_, row) => nameOf(REFUSED_EACH * row + 7)).sort(),
      )
      for (const { key, type, command, reason } of failed) {
        const hash = isHash(indexOf(key))
        expect(type).toBe(hash ? 'hash' : 'string')
        const byRestore = restore === 'always' || (restore === 'auto' && hash)
        expect(command).toBe(byRestore ? 'RESTORE' : hash ? 'HSET' : 'SET')
        expect(reason).toMatch(/^NOPERM/)
      }
      const hashes = failed.filter((each) => each.type === 'hash').length
      expect(ledger.databases[db]).toMatchObject({
        hash: { read: KEYS / 3, failed: hashes, written: KEYS / 3 - hashes },
        string: { read: (2 * KEYS) / 3, failed: REFUSED - hashes },
      })
      expect(await target.newClient(Number(db)).dbsize()).toBe(KEYS - REFUSED)
    }
    const diff = await runCli(['diff', rdb, `127.0.0.1:${target.port}`, '--no-match', 'no:*'])
    expect(diff.code).toBe(0)
  },
)

test.each(['auto', 'always'])('keys that are there already, with --restore %s', async (restore) => {
  const there = async (): Promise<void> => {
    await target.client.flushall()
    const pipeline = target.client.pipeline()
    for (let row = 0; row < REFUSED; row += 1) pipeline.set(nameOf(REFUSED_EACH * row + 7), 'mine')
    await pipeline.exec()
  }
  await there()
  const [skipCode, skip] = await replay('', '--restore', restore, '--on-conflict', 'skip')
  expect(skipCode).toBe(0)
  expect(skip.keys).toMatchObject({ skipped: REFUSED, written: 2 * KEYS - REFUSED, failed: 0 })
  expect(await target.client.get(nameOf(7))).toBe('mine')
  await there()
  const [failCode, fail] = await replay('', '--restore', restore)
  expect(failCode).toBe(7)
  expect(fail.keys).toMatchObject({ failed: REFUSED, written: 2 * KEYS - REFUSED })
  expect(fail.failures.every((each) => each.db === 0 && each.key.startsWith('no:'))).toBe(true)
  await there()
  const [replaceCode, replace] = await replay('', '--restore', restore, '--on-conflict', 'replace')
  expect(replaceCode).toBe(0)
  expect(replace.keys).toMatchObject({ failed: 0, written: 2 * KEYS })
  expect((await runCli(['diff', rdb, `127.0.0.1:${target.port}`])).code).toBe(0)
})
