/** A dump has one moment: one before it is refused, as an archive refuses it. */
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer } from '../helpers/servers.js'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')

test.each([['inspect'], ['export']])('%s refuses a moment before the dump', async (verb) => {
  const early = await runCli([verb, DUMP, '--until', '2001-01-01T00:00:00Z'])
  expect([early.code, early.out, early.err]).toEqual([
    2,
    '',
    expect.stringContaining('after the moment asked for'),
  ])
  const offset = await runCli([verb, DUMP, '--until', 'offset:5'])
  expect([offset.code, offset.out]).toEqual([2, ''])
  const late = await runCli([verb, DUMP, '--until', '2099-01-01T00:00:00Z'])
  expect(late.code).toBe(0)
})

test('replay refuses it before a key is written', async () => {
  const target = await startServer()
  try {
    const address = `127.0.0.1:${target.port}`
    for (const until of ['2001-01-01T00:00:00Z', 'offset:5']) {
      const result = await runCli(['replay', DUMP, address, '--until', until])
      expect(result.code).toBe(2)
    }
    expect(await target.client.dbsize()).toBe(0)
  } finally {
    await target.stop()
  }
})
