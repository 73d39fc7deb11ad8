/** diff of servers that do not let themselves be synced from: key after key by SCAN and DUMP. */
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { scanToRdb } from '../../src/source/scan-server.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { sync } from '../../src/verbs/sync/run.js'
import { runCli } from '../helpers/cli.js'
import { rdbFixtures } from '../helpers/fixtures.js'
import { serverBinaries, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-scan-test-'))
const { TMPDIR } = process.env
let server: TestServer
let address = ''
let rdb = ''

beforeAll(async () => {
  server = await startServer()
  address = `127.0.0.1:${server.port}`
  rdb = join(server.dir, 'synced.rdb')
  process.env['TMPDIR'] = scratch
})
afterAll(async () => {
  process.env['TMPDIR'] = TMPDIR
  await server.stop()
  rmSync(scratch, { recursive: true, force: true })
})

async function fill(target: TestServer): Promise<void> {
  await target.client.flushall()
  const pipeline = target.client.pipeline()
  for (let i = 0; i < 3000; i += 1) {
    pipeline.set(`string:${i}`, `value ${i}`)
    if (i % 3 === 0) pipeline.pexpire(`string:${i}`, 600_000 + i)
    pipeline
      .hset('hash', `f${i}`, i)
      .zadd('zset', i / 8, `m${i}`)
      .sadd('ints', i)
  }
  pipeline.set('empty', '').set('big', Buffer.alloc(9 << 20, 'abcdefgh'))
  pipeline.set(Buffer.from([0, 255, 13, 10]), 'bytes').set('k'.repeat(20_000), 'long name')
  pipeline.xadd('stream', '1-1', 'a', 'b').xgroup('CREATE', 'stream', 'group', '0')
  await pipeline.exec()
  const other = target.newClient(9)
  await other.set('elsewhere', '1')
}

describe('rrep diff --by scan', () => {
  beforeEach(async () => {
    await fill(server)
    await sync(makeServerSettings(address), { output: rdb })
  })

  test('a server at rest is the same as its snapshot; a change is found', async () => {
    const same = await runCli(['diff', address, rdb, '--by', 'scan'])
    expect(same.err).toContain('by SCAN and DUMP')
    expect(same.err).toContain('3,009 keys')
    expect(same.out).toBe('')
    expect(same.code).toBe(0)
    await server.client.hset('hash', 'f77', 'changed')
    await server.client.persist('string:3')
    const different = await runCli(['diff', rdb, address, '--by', 'scan'])
    expect(different.out.split('\n').sort()).toEqual([
      '',
      expect.stringMatching(/^ttl +db0 string:3: .* → none$/),
      'value           db0 hash',
    ])
    expect(different.code).toBe(7)
    expect(readdirSync(scratch)).toEqual([])
  })

  test('a server that forbids a sync is read so after a word; --by sync is refused', async () => {
    await server.client.call('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '+@read', '+info', '+ping', '+select', '+dump') // prettier-ignore
    const named = `redis://reader:pw@${address}`
    const fallen = await runCli(['diff', named, rdb])
    expect(fallen.err).toMatch(/does not allow reader to .*going on by SCAN and DUMP/)
    expect(fallen.err).toContain('same, as far as')
    expect(fallen.code).toBe(0)
    expect((await runCli(['diff', named, rdb, '--by', 'sync'])).code).toBe(4)
    // Who may not even DUMP is told so.
    await server.client.call('ACL', 'SETUSER', 'reader', '-dump')
    const refused = await runCli(['diff', named, rdb])
    expect(refused.err).toContain('NOPERM')
    expect(refused.code).toBe(4)
    const json = await runCli(['diff', named, rdb, '--json', '--password-file', '/nowhere'])
    expect(json.code).toBe(1)
    expect(readdirSync(scratch)).toEqual([])
  })

  test('before PEXPIRETIME there was PTTL: times agree within the tolerance', async () => {
    await server.client.call('ACL', 'SETUSER', 'old', 'on', '>pw', '~*', '+@all', '-pexpiretime')
    const result = await runCli(['diff', `redis://old:pw@${address}`, rdb, '--by', 'scan'])
    expect(result.out).toBe('')
    expect(result.code).toBe(0)
  })

  test('an abort in its midst leaves nothing', async () => {
    const controller = new AbortController()
    const path = join(scratch, 'cut.rdb')
    await expect(
      scanToRdb({
        server: makeServerSettings(address),
        path,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      }),
    ).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    rmSync(path)
  })

  test('a server that is written to all the while is read to the end', async () => {
    const writer = server.newClient()
    let stopped = false
    const writing = (async () => {
      for (let i = 0; !stopped; i += 1) {
        const pipeline = writer.pipeline()
        for (let k = 0; k < 100; k += 1) pipeline.set(`moving:${i * 100 + k}`, i).del(`moving:${k}`)
        await pipeline.exec()
      }
    })()
    try {
      const result = await runCli(['diff', address, rdb, '--by', 'scan', '--no-match', 'moving:*'])
      expect(result.out).toBe('')
      expect(result.code).toBe(0)
    } finally {
      stopped = true
      await writing
    }
  })
})

const fixtures = new Map(rdbFixtures().map((each) => [each.name, each]))
const families: [server: string, fixture: string][] = [
  ['redis-7.0', 'redis-7.0/types'],
  ['redis-7.0', 'redis-7.0/streams'],
  ['redis-8.6', 'redis-8.6/types'],
  ['redis-8.6', 'redis-8.6/streams'],
  ['valkey-9.1', 'valkey-9.1/types'],
]
describe('what servers DUMP is what they save', () => {
  for (const [prefix, name] of families) {
    test(`${prefix} with ${name}`, async ({ skip }) => {
      const fixture = fixtures.get(name)
      const binary = serverBinaries().find((each) => each.name.startsWith(prefix))
      if (fixture === undefined || binary === undefined) return skip(`no ${prefix} or ${name}`)
      const dir = mkdtempSync(join(scratch, 'holder-'))
      copyFileSync(fixture.rdb, join(dir, 'dump.rdb'))
      const holder = await startServer({ binary, dir, args: ['--databases', '16385'] })
      try {
        await waitFor(async () => (await holder.client.info('persistence')).includes('loading:0'), {
          what: 'the server to load',
        })
        await holder.client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
        const from = `127.0.0.1:${holder.port}`
        const saved = join(holder.dir, 'synced.rdb')
        await sync(makeServerSettings(from), { output: saved })
        const result = await runCli(['diff', from, saved, '--by', 'scan'])
        expect(result.out).toBe('')
        expect(result.err).toMatch(/[1-9]\d* keys, RDB \d+, key after key/)
        expect(result.code).toBe(0)
      } finally {
        await holder.stop()
      }
    })
  }
})
