/**
 * `--format resp` into real servers by `redis-cli --pipe`: the data is then that of a server which
 * loaded the file itself (DEBUG DIGEST). Needs the newer servers for their files.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { exportToBuffer } from '../../helpers/export.js'
import { rdbFixtures, type RdbFixture } from '../../helpers/fixtures.js'
import {
  digest,
  serverBinaries,
  startServer,
  type ServerBinary,
  type TestServer,
} from '../../helpers/servers.js'

/** The highest RDB version of each server here; Valkey 9 takes 80 besides. */
const HIGHEST_RDB: Record<string, number> = {
  'redis-7.0': 10,
  'redis-7.2': 11,
  'redis-7.4': 12,
  'redis-8.0': 12,
  'redis-8.6': 13,
  'valkey-8.0': 11,
  'valkey-8.1': 11,
  'valkey-9.1': 11,
}
/** Values of test modules, and an opcode that only release candidates wrote. */
const NEEDS_MORE = /\/(module|keymeta|slot-import)$|7\.0-rc2\//
/** Of other servers' files only those with every type; the rest is alike. */
const FROM_OTHERS =
  /^(redis-(2\.4|2\.8|3\.2|6\.2)|valkey-8\.0)\/types$|^redis-(5\.0|7\.0)\/streams$/

const fixtures = rdbFixtures()
/** The newest of each series. */
const binaries = [
  ...new Map(
    serverBinaries()
      .filter((binary) => seriesOf(binary) in HIGHEST_RDB)
      .map((binary) => [seriesOf(binary), binary] as const),
  ).values(),
]
const servers: TestServer[] = []
afterAll(async () => {
  for (const server of servers) await server.stop()
})

function seriesOf(binary: ServerBinary): string {
  return /^[a-z]+-\d+\.\d+/.exec(binary.name)![0]
}

function canLoad(binary: ServerBinary, fixture: RdbFixture): boolean {
  if (NEEDS_MORE.test(fixture.name) || fixture.name.endsWith('/expired')) return false
  const isOwn = fixture.name.startsWith(`${seriesOf(binary)}/`)
  if (!isOwn && !FROM_OTHERS.test(fixture.name)) return false
  if (fixture.name.endsWith('/vectorset') && !binary.name.startsWith('redis-8')) return false
  const magic = readFileSync(fixture.rdb).toString('latin1', 0, 9)
  if (magic.startsWith('VALKEY')) return binary.name.startsWith('valkey-9')
  return Number(magic.slice(5)) <= HIGHEST_RDB[seriesOf(binary)]!
}

function pipe(server: TestServer, commands: Buffer): void {
  const ran = spawnSync(server.binary.cli, ['-p', String(server.port), '--pipe'], {
    input: commands,
    encoding: 'utf8',
  })
  expect(ran.stdout).toContain('errors: 0')
  expect(ran.status).toBe(0)
}

async function loadItself(server: TestServer, fixture: RdbFixture): Promise<void> {
  copyFileSync(fixture.rdb, join(server.dir, 'dump.rdb'))
  expect(await server.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
}

async function libraries(server: TestServer): Promise<unknown> {
  return await server.client.callBuffer('FUNCTION', 'DUMP')
}

describe.skipIf(fixtures.length === 0).each(binaries.map((each) => [each.name, each] as const))(
  '%s',
  (_name, binary) => {
    test.each(
      fixtures.filter((each) => canLoad(binary, each)).map((each) => [each.name, each] as const),
    )('%s by commands is what the server loads itself', async (_fixtureName, fixture) => {
      let server = servers.find((each) => each.binary === binary)
      if (server === undefined) {
        server = await startServer({ binary, args: ['--databases', '16385'] })
        servers.push(server)
      }
      await server.client.flushall()
      await server.client.call('FUNCTION', 'FLUSH')
      const { bytes, result } = await exportToBuffer({ source: fixture.rdb, format: 'resp' })
      pipe(server, bytes)
      const piped = await digest(server)
      const pipedLibraries = await libraries(server)
      await loadItself(server, fixture)
      expect(await digest(server)).toBe(piped)
      expect(await libraries(server)).toEqual(pipedLibraries)
      expect(result.losses).toEqual({})
    })
  },
)
