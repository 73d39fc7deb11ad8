/** A transform that threw at a key left the ledger with one key of unknown end, though it was known
 * well: it was not written. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { LedgerReport } from '../../src/target/ledger.js'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-204-'))
const aof = join(dir, 'two.aof')
let source: TestServer
let target: TestServer

beforeAll(async () => {
  ;[source, target] = await Promise.all([startServer(), startServer()])
  await source.client.hset('only', { field: 'value' })
  await source.client.call('SAVE')
  const set = (key: string): string => `*3\r\n$3\r\nSET\r\n$1\r\n${key}\r\n$1\r\n1\r\n`
  writeFileSync(aof, set('a') + set('b'))
})
beforeEach(() => target.client.flushall())
afterAll(async () => {
  await Promise.all([source.stop(), target.stop()])
  rmSync(dir, { recursive: true, force: true })
})

async function ledgerWith(body: string, input: string): Promise<LedgerReport> {
  const path = join(dir, 'bad.mjs')
  writeFileSync(path, `export function transform(item) {\n  ${body}\n}\n`)
  const address = `127.0.0.1:${target.port}`
  const { code, out, err } = await runCli([
    ...['replay', input, address, '--transform', path, '--json'],
  ])
  expect(code).not.toBe(0)
  expect(err).toContain('"error":"ERR_')
  return JSON.parse(out) as LedgerReport
}

test.each([
  ['throws at the key', "throw new Error('boom')"],
  ['gives nothing for the key', 'return undefined'],
  [
    'throws at one of its commands',
    "if (item.kind === 'key') return 'commands'; throw new Error('boom')",
  ],
])('a key of a snapshot: the function %s', async (_, body) => {
  const ledger = await ledgerWith(body, join(source.dir, 'dump.rdb'))
  expect(ledger.keys).toMatchObject({ read: 1, written: 0, failed: 1, unknown: 0 })
  expect(ledger.failures).toMatchObject([{ db: 0, key: 'only', type: 'hash' }])
  expect(await target.client.exists('only')).toBe(0)
})

test('a command of a stream', async () => {
  const ledger = await ledgerWith("throw new Error('boom')", aof)
  expect(ledger.commands).toMatchObject({ read: 1, written: 0, failed: 1, unknown: 0 })
  expect(ledger.failures).toMatchObject([{ db: 0, key: 'a', command: 'SET' }])
})
