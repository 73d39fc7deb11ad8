/**
 * Every snapshot of the fixtures into Redis 7.0, by RESTORE where it takes the payload and by
 * commands: the target then has the state that the server which wrote the file reported, and what
 * it cannot hold stands in the ledger.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { replay, type ReplayResult } from '../../src/verbs/replay/run.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { comparable, expectedRows, serverRows, type StateRow } from '../helpers/server-state.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { startServer, type TestServer } from '../helpers/servers.js'

/** What no plain 7.0 can hold: values of modules. Their own tests are below. */
const MODULES = new Set(['module', 'vectorset'])

/** One file for each form that a type has had. */
const BY_COMMANDS =
  /^(redis-(2\.4|3\.2|5\.0|7\.0|8\.6)|valkey-9\.1)\/(types|streams|hash-field-ttl)$/

interface Fixture {
  name: string
  rdb: string
  expected: string
}

function fixtures(): Fixture[] {
  const root = FIXTURES
  const found: Fixture[] = []
  for (const server of readdirSync(root).sort()) {
    // One of each format: development versions and candidates add none of their own but 7.4-rc1.
    if (!/^(redis|valkey)-/.test(server) || server.endsWith('-unstable')) continue
    for (const file of readdirSync(join(root, server)).sort()) {
      if (!file.endsWith('.rdb')) continue
      const expected = join(root, server, file.replace('.rdb', '.expected.jsonl'))
      if (!existsSync(expected)) continue
      found.push({
        name: `${server}/${file.slice(0, -4)}`,
        rdb: join(root, server, file),
        expected,
      })
    }
  }
  return found
}

async function load(
  target: TestServer,
  rdb: string,
  restore: 'auto' | 'always' | 'never',
): Promise<ReplayResult> {
  await target.client.flushall()
  await target.client.call('FUNCTION', 'FLUSH')
  return await replay({ kind: 'file', path: rdb }, makeServerSettings(`127.0.0.1:${target.port}`), {
    restore,
  })
}

/** The rows that a 7.0 can show of what was expected, given what the ledger admits to. */
function holdable(rows: readonly StateRow[], result: ReplayResult): StateRow[] {
  const { notHeld } = result.ledger
  const withoutTimes = 'expiry of hash fields' in notHeld
  const withoutDeleted = 'pending entries whose stream entry is deleted' in notHeld
  const now = Date.now()
  return rows
    .filter((row) => row.expireAt === null || row.expireAt > now)
    .map((row) => {
      if (row.type === 'hash' && withoutTimes) {
        const fields = row.value as [string, string, number?][]
        return { ...row, value: fields.map(([field, value]) => [field, value]) }
      }
      if (row.type === 'stream' && withoutDeleted) {
        const stream = row.value as {
          entries: [string, unknown][]
          groups: { pending: [string, string, number][] }[]
        }
        const ids = new Set(stream.entries.map(([id]) => id))
        const groups = stream.groups.map((group) => ({
          ...group,
          pending: group.pending.filter(([id]) => ids.has(id)),
        }))
        return { ...row, value: { ...stream, groups } }
      }
      return row
    })
}

/** A score of -0 is 0 where the server keeps it in a listpack. */
function plain(row: StateRow): StateRow {
  if (row.type !== 'zset') return row
  const pairs = row.value as [string, number][]
  return { ...row, value: pairs.map(([member, score]) => [member, score === 0 ? 0 : score]) }
}

async function expectState(
  target: TestServer,
  fixture: Fixture,
  result: ReplayResult,
): Promise<void> {
  const all = expectedRows(fixture.expected)
  const dbs = [...new Set(all.map((row) => row.db))]
  const wanted = holdable(all, result)
  const found = await serverRows(target.port, dbs)
  const shown = found.map((row, i) => plain(comparable(row, wanted[i] ?? row)))
  expect(shown).toEqual(wanted.map((row) => plain(comparable(row, row))))
  const { keys } = result.ledger
  expect(keys.read).toBe(keys.written + keys.skipped + keys.failed + keys.expired)
  expect(keys.read).toBe(all.length)
  expect(keys.failed).toBe(0)
}

describe('replay of an RDB into Redis 7.0', () => {
  let target: TestServer

  beforeAll(async () => {
    target = await startServer({ args: ['--databases', '16385'] })
  })
  afterAll(async () => {
    await target.stop()
  })

  for (const fixture of fixtures()) {
    if (MODULES.has(fixture.name.split('/')[1]!)) continue
    test(`${fixture.name} arrives whole, or the ledger says what does not`, async () => {
      const result = await load(target, fixture.rdb, 'auto')
      await expectState(target, fixture, result)
      const lossless = Object.keys(result.ledger.notHeld).length === 0
      expect(result.complete).toBe(lossless && result.ledger.functions.failed === 0)
    })
    if (!BY_COMMANDS.test(fixture.name)) continue
    test(`${fixture.name} arrives by commands, too`, async () => {
      await expectState(target, fixture, await load(target, fixture.rdb, 'never'))
    })
  }
})
