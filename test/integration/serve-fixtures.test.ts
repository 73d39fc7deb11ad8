/**
 * Every snapshot of the fixtures, given to real replicas: they come to the state that the server
 * which wrote it reported, or they are refused and keep what they had.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acceptedBy } from '../../src/servers/rdb-version.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { comparable, expectedRows, serverRows } from '../helpers/server-state.js'
import {
  serverBinaries,
  startServer,
  waitFor,
  type ServerBinary,
  type TestServer,
} from '../helpers/servers.js'
import { follow, startServing } from '../helpers/serving.js'

/** Modules are not loaded here; what a slot import hides, no client sees; and keys whose time is
 * past are hidden from readers. */
const SKIPPED = new Set(['module', 'vectorset', 'keymeta', 'slot-import', 'expired', 'idmp'])

interface Fixture {
  name: string
  rdb: string
  expected: string
}

function fixtures(): Fixture[] {
  const root = FIXTURES
  const found: Fixture[] = []
  for (const server of readdirSync(root).sort()) {
    // Its functions lack the line that a release demands; no release loads it.
    if (!/^(redis|valkey)-/.test(server) || server === 'redis-7.0-rc2') continue
    for (const file of readdirSync(join(root, server)).sort()) {
      if (!file.endsWith('.rdb') || SKIPPED.has(file.slice(0, -4))) continue
      const expected = join(root, server, file.replace('.rdb', '.expected.jsonl'))
      if (!existsSync(expected)) continue
      found.push({ name: `${server}/${file}`, rdb: join(root, server, file), expected })
    }
  }
  return found
}

const REPLICA_ARGS = ['--databases', '16385', '--repl-diskless-load']

describe('a replica of Redis 7.0', () => {
  const replicas = new Map<string, TestServer>()

  beforeAll(async () => {
    for (const mode of ['disabled', 'swapdb']) {
      replicas.set(mode, await startServer({ args: [...REPLICA_ARGS, mode] }))
    }
  })
  afterAll(async () => {
    for (const replica of replicas.values()) await replica.stop()
  })

  for (const [index, fixture] of fixtures().entries()) {
    // Each file to one of the two; the short ones of 7.0 itself, and types of all, to both.
    const isCore = /^redis-7\.0\/|types\.rdb$/.test(fixture.name)
    const modes = isCore ? ['disabled', 'swapdb'] : [index % 2 === 0 ? 'disabled' : 'swapdb']
    for (const mode of modes) {
      test(`loads ${fixture.name} (repl-diskless-load ${mode}), or keeps its data`, async () => {
        await expectState(replicas.get(mode)!, fixture)
      })
    }
  }
})

describe('newer replicas', () => {
  const others = serverBinaries().filter((binary) => !binary.version.startsWith('7.0'))

  test.skipIf(others.length === 0)('load what they accept, and are refused the rest', async () => {
    const wanted = fixtures().filter(({ name }) => /(7\.2|7\.4|8\.6|9\.1)\/types/.test(name))
    const runs = await Promise.allSettled(others.map((binary) => followAll(binary, wanted)))
    // Only now: one that fails must not leave the servers of the others behind.
    for (const run of runs) if (run.status === 'rejected') throw run.reason
  })
})

async function followAll(binary: ServerBinary, wanted: readonly Fixture[]): Promise<void> {
  const replica = await startServer({ binary, args: ['--databases', '16385'] })
  try {
    for (const fixture of wanted) await expectState(replica, fixture)
  } finally {
    await replica.stop()
  }
}

async function expectState(replica: TestServer, fixture: Fixture): Promise<void> {
  const rows = expectedRows(fixture.expected)
  const dbs = [...new Set([0, ...rows.map((row) => row.db)])]
  await replica.client.call('REPLICAOF', 'NO', 'ONE')
  await replica.client.flushall()
  await replica.client.select(0)
  await replica.client.set('own', 'data')
  const serving = await startServing({ source: { kind: 'file', path: fixture.rdb } })
  try {
    const { family, version, neededVersion } = serving.handle.frozen!.rdb!
    const accepted = acceptedBy(replica.binary)
    const loads =
      family === 'valkey'
        ? version <= accepted.valkey
        : Math.min(version, neededVersion ?? version) <= accepted.redis
    if (!loads) {
      await replica.client.call('REPLICAOF', '127.0.0.1', String(serving.port))
      await waitFor(() => serving.count('replica-refused') > 0, { what: 'the refusal' })
      expect(serving.count('full-resync')).toBe(0)
      expect(await replica.client.get('own')).toBe('data')
      return
    }
    await follow(replica, serving.port)
    const found = await serverRows(replica.port, dbs)
    expect(found.map(({ db, key }) => [db, key])).toEqual(rows.map(({ db, key }) => [db, key]))
    for (const [index, row] of found.entries()) {
      const like = rows[index]!
      expect(comparable(row, like)).toEqual(comparable(like, like))
    }
  } finally {
    await serving.stop()
  }
}
