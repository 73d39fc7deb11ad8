/** diff and --verify of what has commands behind its snapshot: AOFs and archives. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { sync } from '../../src/verbs/sync/run.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { runCli } from '../helpers/cli.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-built-test-'))
const { TMPDIR, PATH } = process.env
let server: TestServer
let address = ''

beforeAll(async () => {
  server = await startServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  address = `127.0.0.1:${server.port}`
  process.env['TMPDIR'] = scratch
})
afterAll(async () => {
  process.env['TMPDIR'] = TMPDIR
  await server.stop()
  rmSync(scratch, { recursive: true, force: true })
})
beforeEach(async () => {
  process.env['PATH'] = PATH
  await server.client.flushall()
})

/** A base of its own, then commands of all kinds behind it. */
async function fill(): Promise<void> {
  const { client } = server
  const base = client.pipeline()
  for (let i = 0; i < 300; i += 1) {
    base.set(`string:${i}`, `value ${i}`).rpush('list', i).hset('hash', `f${i}`, i)
  }
  base.set('timed', 'v', 'PX', 500_000)
  await base.exec()
  await client.call('BGREWRITEAOF')
  await waitFor(
    async () =>
      (await client.info('persistence')).includes(
        'aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0',
      ),
    { what: 'the rewrite' },
  )
  const behind = client.pipeline()
  for (let i = 0; i < 300; i += 1) behind.incr('counter').zadd('zset', i, `m${i}`).lpop('list')
  behind.del('string:7').rename('string:8', 'string:900').pexpire('hash', 600_000)
  await behind.exec()
  const other = server.newClient(5)
  await other.set('elsewhere', '1')
}

/** An AOF of these commands. */
function aof(name: string, ...commands: string[][]): string {
  const path = join(server.dir, name)
  writeFileSync(path, Buffer.concat(commands.map((each) => encodeCommand(...each))))
  return path
}

test('a directory with commands behind its base is the same as its server, until that moves', async () => {
  await fill()
  const dir = join(server.dir, 'appendonlydir')
  const same = await runCli(['diff', dir, address])
  expect(same.err).toMatch(/replayed into redis-server \d/)
  expect(same.err).toContain('same')
  expect(same.out).toBe('')
  expect(same.code).toBe(0)
  expect(readdirSync(scratch)).toEqual([])
  const synced = join(server.dir, 'synced.rdb')
  await sync(makeServerSettings(address), { output: synced })
  await server.client.call('INCR', 'counter')
  const different = await runCli(['diff', synced, dir, '--json'])
  expect(different.code).toBe(7)
  const lines = different.out.trim().split('\n')
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { kind: 'value', key: 'counter' },
    { event: 'diff', same: false, trusted: true, b: { by: 'replay' } },
  ])
})

test('one file with preamble and commands is read so far, then replayed', async () => {
  await fill()
  const dir = join(server.dir, 'appendonlydir')
  const names = readdirSync(dir)
  const base = readFileSync(
    join(
      dir,
      names.find((name) => name.endsWith('.base.rdb'))!,
    ),
  )
  const incrs = names.filter((name) => name.endsWith('.incr.aof')).sort()
  const file = join(server.dir, 'single.aof')
  writeFileSync(file, Buffer.concat([base, ...incrs.map((name) => readFileSync(join(dir, name)))]))
  expect((await runCli(['diff', address, file])).code).toBe(0)
  const stdin = await runCli(['diff', '-', address], { stdin: readFileSync(file) })
  expect(stdin.err).toContain('same')
  expect(stdin.code).toBe(0)
})

test('--until takes the state of that offset; a snapshot has none', async () => {
  const first = [['SELECT', '0'], ['SET', 'a', '1'], ['SET', 'b', '1']] // prettier-ignore
  const whole = aof('whole.aof', ...first, ['SET', 'a', '2'])
  const part = aof('part.aof', ...first)
  const bytes = String(readFileSync(part).length)
  expect((await runCli(['diff', whole, part])).code).toBe(7)
  expect((await runCli(['diff', whole, part, '--until', `offset:${bytes}`])).code).toBe(0)
  expect((await runCli(['diff', part, whole, '--target-until', `offset:${bytes}`])).code).toBe(0)
  const rdb = join(server.dir, 'plain.rdb')
  await sync(makeServerSettings(address), { output: rdb })
  const refused = await runCli(['diff', rdb, part, '--until', 'offset:1'])
  expect(refused.err).toContain('is a snapshot')
  expect(refused.code).toBe(2)
  expect((await runCli(['diff', address, part, '--until', 'offset:1'])).code).toBe(2)
})

test('keys whose time is past are compared like any other, and said where one side lacks them', async () => {
  const past = String(Date.now() - 1000)
  const state = (value: string): string[][] => [
    ['SELECT', '0'],
    ['SET', 'gone', 'x'],
    ['APPEND', 'gone', value],
    ['PEXPIREAT', 'gone', past],
    // It is there still, as it was on the master then.
    ['APPEND', 'gone', 'z'],
    ['SET', 'here', '1'],
  ]
  const one = aof('one.aof', ...state('y'))
  expect((await runCli(['diff', one, aof('same.aof', ...state('y'))])).code).toBe(0)
  const other = await runCli(['diff', one, aof('other.aof', ...state('q'))])
  expect(other.out).toMatch(/^value +db0 gone\n$/)
  expect(other.code).toBe(7)
  await server.client.set('here', '1')
  const live = await runCli(['diff', one, address])
  expect(live.err).toContain('1 key on one side only past its expiry')
  expect(live.code).toBe(0)
})

test('what the scratch server does not take makes a comparison that proves nothing', async () => {
  const strange = aof('strange.aof', ['SELECT', '0'], ['SET', 'a', '1'], ['LPUSH', 'a', 'b'])
  const result = await runCli(['diff', strange, aof('a.aof', ['SELECT', '0'], ['SET', 'a', '1'])])
  expect(result.err).toMatch(/not everything could be replayed/)
  expect(result.err).toMatch(/failed: db 0 a.*LPUSH.*WRONGTYPE/)
  expect(result.err).toContain('proves nothing')
  expect(result.code).toBe(7)
  const json = await runCli(['diff', '--json', strange, strange])
  expect(JSON.parse(json.out)).toMatchObject({ same: false, trusted: false, keysDifferent: 0 })
  expect(json.code).toBe(7)
})

test('without a server it says so; a broken file is exit 6; nothing is left', async () => {
  const file = aof('fine.aof', ['SELECT', '0'], ['SET', 'a', '1'])
  const broken = join(server.dir, 'broken.aof')
  writeFileSync(broken, '*1\r\n$4\r\nPING\r\nnonsense\r\n')
  expect((await runCli(['diff', broken, file])).code).toBe(6)
  process.env['PATH'] = '/nowhere'
  const none = await runCli(['diff', file, file])
  expect(none.err).toContain('--with-server')
  expect(none.code).toBe(5)
  const named = await runCli(['diff', file, file, '--with-server', server.binary.server])
  expect(named.code).toBe(0)
  expect(readdirSync(scratch)).toEqual([])
})

const newest = serverBinary('valkey-9') ?? serverBinary('redis-8.6')
describe.skipIf(newest === undefined)('a newer server', () => {
  test('its fields with times of their own are compared with these', async () => {
    const newer = await startServer({
      binary: newest!,
      args: ['--appendonly', 'yes', '--appendfsync', 'always'],
    })
    try {
      await newer.client.hset('hash', { a: '1', b: '2' })
      await newer.client.call('HPEXPIRE', 'hash', '900000', 'FIELDS', '1', 'a')
      const dir = join(newer.dir, 'appendonlydir')
      const at = `127.0.0.1:${newer.port}`
      const args = ['diff', dir, at, '--with-server', newest!.server]
      expect((await runCli(args)).code).toBe(0)
      await newer.client.call('HPEXPIRE', 'hash', '990000', 'FIELDS', '1', 'b')
      const synced = join(newer.dir, 'before.rdb')
      await sync(makeServerSettings(at), { output: synced })
      await newer.client.call('HPERSIST', 'hash', 'FIELDS', '1', 'b')
      const different = await runCli(['diff', synced, dir, '--with-server', newest!.server])
      expect(different.out).toMatch(/^field ttl +db0 hash\n$/)
      // An older server cannot hold them.
      const old = await runCli(['diff', dir, at, '--with-server', server.binary.server])
      expect(old.err).toContain('not everything could be replayed')
      expect(old.code).toBe(7)
    } finally {
      await newer.stop()
    }
  })
})

test('replay --verify compares an AOF and a directory, also up to a moment', async () => {
  await fill()
  const dir = join(server.dir, 'appendonlydir')
  const target = await startServer()
  try {
    const to = `127.0.0.1:${target.port}`
    const whole = await runCli(['replay', dir, to, '--verify'])
    expect(whole.err).toContain('verified: source and target are the same')
    expect(whole.code).toBe(0)
    await target.client.flushall()
    const first = [['SELECT', '0'], ['SET', 'a', '1']] // prettier-ignore
    const bytes = Buffer.concat(first.map((each) => encodeCommand(...each))).length
    const file = aof('until.aof', ...first, ['SET', 'a', '2'])
    const until = ['--until', `offset:${bytes}`]
    const part = await runCli(['replay', file, to, '--verify', ...until])
    expect(part.err).toContain('verified: source and target are the same')
    await target.client.flushall()
    await target.client.set('stranger', '1')
    const more = await runCli(['replay', file, to, '--verify'])
    expect(more.err).toContain('1 only in B')
    expect(more.code).toBe(7)
  } finally {
    await target.stop()
  }
})
