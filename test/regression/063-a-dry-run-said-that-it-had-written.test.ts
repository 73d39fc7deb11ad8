/** replay --dry-run said "4,641 of 4,641 keys written", with --json nothing told it from a real run,
 * of a live server it said that source and target were the same; keys in the way were not looked
 * for. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { join } from 'node:path'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

let source: TestServer
let target: TestServer
let file: string
let address: string

beforeAll(async () => {
  source = await startServer()
  target = await startServer()
  address = `127.0.0.1:${target.port}`
  await source.client.mset('a', '1', 'b', '2', 'c', '3')
  await source.client.rpush('list', 'x', 'y')
  await source.client.set('large', Buffer.alloc(5 << 20, 'x'))
  await source.client.call('SAVE')
  file = join(source.dir, 'dump.rdb')
  await target.client.mset('a', 'mine', 'other', 'mine')
  await target.client.rpush('list', 'mine')
})
afterAll(async () => {
  await source.stop()
  await target.stop()
})

test('conflicts are counted, and nothing is written', async () => {
  const { code, out } = await runCli(['replay', file, address, '--dry-run', '--json'])
  expect(JSON.parse(out)).toMatchObject({
    dryRun: true,
    complete: false,
    keys: { read: 5, written: 3, failed: 2, unknown: 0 },
  })
  expect(code).toBe(7)
  const skip = await runCli([
    ...['replay', file, address, '--dry-run', '--json', '--on-conflict', 'skip'],
  ])
  expect(JSON.parse(skip.out)).toMatchObject({ keys: { written: 3, skipped: 2, failed: 0 } })
  expect(skip.code).toBe(0)
  expect(await target.client.dbsize()).toBe(3)
  expect(await target.client.get('a')).toBe('mine')
})

test.each(['never', 'always'])('with --restore %s: the same', async (restore) => {
  const argv = ['replay', file, address, '--dry-run', '--json', '--restore', restore]
  const { out } = await runCli(argv)
  expect(JSON.parse(out)).toMatchObject({ keys: { read: 5, written: 3, failed: 2 } })
  expect(await target.client.dbsize()).toBe(3)
})

test('it says what would be written', async () => {
  const { err } = await runCli(['replay', file, address, '--dry-run', '--on-conflict', 'replace'])
  expect(err).toContain('5 of 5 keys would be written')
  expect(err).not.toContain('keys written')
})

test('of a live server: not that both are the same', async () => {
  const argv = ['replay', `127.0.0.1:${source.port}`, address, '--dry-run', '--until-synced']
  const { err } = await runCli([...argv, '--on-conflict', 'replace'])
  expect(err).toContain('would be written')
  expect(err).not.toContain('are the same')
  expect(await target.client.dbsize()).toBe(3)
})
