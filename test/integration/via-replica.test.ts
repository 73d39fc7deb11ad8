/** `replay --via-replica`: real servers loaded as replicas, put right again whatever happens meanwhile,
 * and refused where it cannot be. */
import { randomBytes } from 'node:crypto'
import {
  createReadStream,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { makeCertificates } from '../helpers/certificates.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import {
  digest,
  freePort,
  serverBinary,
  startServer,
  waitFor,
  type StartOptions,
  type TestServer,
} from '../helpers/servers.js'
import { replicationInfo } from '../helpers/serving.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { finishReplay } from '../../src/verbs/replay/finish.js'
import { replay, type ReplayOptions } from '../../src/verbs/replay/run.js'

const SETTINGS = ['masterauth', 'masteruser', 'repl-diskless-load'] as const
const OWN = ['--masterauth', 'its own', '--masteruser', 'its-user']

const dir = mkdtempSync(join(tmpdir(), 'rrep-via-replica-'))
const stateDir = join(dir, 'state')
process.env['XDG_STATE_HOME'] = stateDir
const records = join(stateDir, 'rrep')
const small = join(dir, 'small.rdb')
const large = join(dir, 'large.rdb')
const PAST_KEYS = 3
const cleanups: (() => Promise<unknown>)[] = []
let whole = ''

beforeAll(async () => {
  const writer = await startServer()
  const { client } = writer
  const pipeline = client.pipeline()
  for (let i = 0; i < 900; i += 1) {
    pipeline.set(`user:${i}`, `value ${i}`).hset(`hash:${i % 50}`, `f${i}`, i)
    pipeline.zadd('zset', i / 4, `m${i}`).xadd('stream', `${i + 1}-1`, 'f', 'v')
  }
  pipeline.set('timed', 'x', 'PXAT', 4_102_444_800_000)
  await pipeline.exec()
  await client.select(3)
  await client.rpush('list', 'a', 'b', 'c')
  await client.select(0)
  await client.call('FUNCTION', 'LOAD', FUNCTION)
  whole = await digest(writer)
  // Past their time when they are loaded: no server writes such keys by itself.
  await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
  for (let i = 0; i < PAST_KEYS; i += 1) await client.set(`past:${i}`, 'x', 'PX', 1)
  await client.save()
  writeFileSync(small, readFileSync(join(writer.dir, 'dump.rdb')))
  await client.flushall()
  const more = client.pipeline()
  for (let i = 0; i < 600; i += 1) more.set(`large:${i}`, randomBytes(50_000))
  await more.exec()
  await client.save()
  writeFileSync(large, readFileSync(join(writer.dir, 'dump.rdb')))
  await writer.stop()
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const FUNCTION = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"

async function start(options: StartOptions = {}): Promise<TestServer> {
  const server = await startServer({ ...options, args: [...OWN, ...(options.args ?? [])] })
  cleanups.push(() => server.stop())
  return server
}

async function settingsOf({ client }: TestServer): Promise<string[]> {
  const values: string[] = []
  for (const name of SETTINGS) {
    values.push(((await client.call('CONFIG', 'GET', name)) as string[])[1]!)
  }
  return values
}

async function expectAsBefore(target: TestServer): Promise<void> {
  const { fields } = await replicationInfo(target)
  expect(fields.get('role')).toBe('master')
  expect(await settingsOf(target)).toEqual(['its own', 'its-user', 'disabled'])
}

async function load(target: TestServer, options: ReplayOptions = {}, source = small) {
  return await replay(source, `127.0.0.1:${target.port}`, { viaReplica: true, ...options })
}

for (const prefix of ['redis-7.0', 'redis-8.6', 'valkey-9.1']) {
  const binary = serverBinary(prefix)
  test.skipIf(binary === undefined)(
    `${prefix} has all of it, and is as it was before`,
    async () => {
      const target = await start({ binary: binary! })
      const events: string[] = []
      const result = await load(target, {
        verify: true,
        onEvent: ({ event }) => events.push(event),
      })
      expect(result.complete).toBe(true)
      expect(result.ledger.keys).toMatchObject({
        read: 954 + PAST_KEYS,
        written: 954,
        expired: PAST_KEYS,
        unknown: 0,
      })
      expect(result.ledger.functions).toMatchObject({ read: 1, written: 1 })
      expect(result.verified?.same).toBe(true)
      expect(events).toContain('replicates')
      if (prefix === 'redis-7.0') {
        await waitFor(async () => (await digest(target)) === whole, { what: 'keys to expire' })
      }
      await expectAsBefore(target)
      expect(readdirSync(records)).toEqual([])
    },
  )
}

test('filters, other names and a transform apply on the way', async () => {
  const target = await start({ args: ['--databases', '4'] })
  const result = await load(target, {
    filter: { match: ['user:1*', 'hash:*', 'list'] },
    mapDb: new Map([[3, 7]]),
    rewriteKey: [{ pattern: /^user:/, replacement: 'member:' }],
    transform: (item) => (item.key?.toString() === 'hash:7' ? null : item),
  })
  const { keys } = result.ledger
  // db 7 is beyond what the target has: it would end at such a key.
  expect([keys.written, keys.failed, result.complete]).toEqual([111 + 49, 1, false])
  expect(keys.read).toBe(keys.written + keys.skipped + keys.failed + keys.expired)
  expect(await target.client.get('member:17')).toBe('value 17')
  expect(await target.client.exists('hash:7', 'user:1', 'zset')).toBe(0)
  await expectAsBefore(target)
})

test('what is not empty is refused, unless it is to be emptied; a damaged dump empties nothing', async () => {
  const target = await start()
  await target.client.set('own', 'data')
  await expect(load(target)).rejects.toMatchObject({ code: 'ERR_TARGET_CONFLICT' })
  const bytes = readFileSync(small)
  bytes[bytes.length - 200]! ^= 1
  const bad = join(dir, 'bad.rdb')
  writeFileSync(bad, bytes)
  await expect(load(target, { emptyTarget: true }, bad)).rejects.toThrow(/bad\.rdb/)
  expect(await target.client.get('own')).toBe('data')
  const result = await load(target, { emptyTarget: true })
  expect(result.complete).toBe(true)
  expect(await target.client.exists('own')).toBe(0)
  await target.client.flushall('SYNC')
  await target.client.call('FUNCTION', 'FLUSH')
  await expect(load(target, {}, bad)).rejects.toThrow(/bad\.rdb/)
  expect(await target.client.dbsize()).toBe(0)
  await expectAsBefore(target)
})

describe('refused with the reason, and nothing changed:', () => {
  const refused = async (target: TestServer, reason: RegExp, options?: ReplayOptions) => {
    await expect(load(target, options)).rejects.toThrow(reason)
    expect(await settingsOf(target)).toEqual(['its own', 'its-user', 'disabled'])
  }

  test('a target with replicas, a replica, one that a Sentinel listens to', async () => {
    const target = await start()
    const replica = await startServer({ args: ['--replicaof', `127.0.0.1 ${target.port}`] })
    cleanups.push(() => replica.stop())
    await waitFor(
      async () => (await replicationInfo(target)).fields.get('connected_slaves') === '1',
      { what: 'the replica' },
    )
    await refused(target, /a replica of its own/)
    await expect(load(replica)).rejects.toThrow(/is a replica and takes no writes/)
    const watched = await start()
    const listener = watched.newClient()
    await listener.subscribe('__sentinel__:hello')
    await refused(watched, /Sentinels watch it/)
  })

  test('a node of a cluster, a live source, rights that are missing', async () => {
    const node = await start({ args: ['--cluster-enabled', 'yes'] })
    await refused(node, /node of a cluster/)
    const target = await start()
    await expect(
      replay(`127.0.0.1:${node.port}`, `127.0.0.1:${target.port}`, { viaReplica: true }),
    ).rejects.toMatchObject({ code: 'ERR_USAGE' })
    await target.client.call('ACL', 'SETUSER', 'poor', 'on', '>pw', '~*', '+@all', '-config')
    const poor = makeServerSettings(`127.0.0.1:${target.port}`, {
      username: 'poor',
      password: 'pw',
    })
    await expect(replay(small, poor, { viaReplica: true })).rejects.toMatchObject({
      code: 'ERR_TARGET_RIGHTS',
    })
    await refused(target, /onConflict.*no key of it is in the way/, { onConflict: 'replace' })
  })

  test.each([
    ['--salvage', '--salvage', /drops all that it has where a dump is damaged/],
    ['--min-size', '--min-size=1kb', /the size of a value is known behind it/],
    ['--rate', '--rate=1mb', /takes the dump in one go/],
    ['--connections', '--connections=2', /one link to its master/],
    ['--from', '--from=2024-01-01T00:00:00Z', /what was before/],
    ['--restore', '--restore=never', /no command is sent for a key/],
  ])('%s, before anything is connected to', async (flag, option, why) => {
    let connections = 0
    const target = createServer((socket) => {
      connections += 1
      socket.destroy()
    })
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
    cleanups.push(async () => {
      await new Promise((resolve) => target.close(resolve))
    })
    const address = `127.0.0.1:${(target.address() as AddressInfo).port}`
    for (const source of [small, join(FIXTURES, 'redis-7.0/aof')]) {
      const { code, err } = await runCli(['replay', source, address, '--via-replica', option])
      expect([code, err]).toEqual([2, expect.stringContaining(`${flag} does not go with`)])
      expect(err).toMatch(why)
    }
    const live = await runCli(['replay', address, address, '--via-replica'])
    expect([live.code, live.err]).toEqual([2, expect.stringContaining('what lies still')])
    expect(connections).toBe(0)
  })

  test('one behind addresses that are translated, unless it is said where it reaches us', async () => {
    const target = await start({ args: ['--protected-mode', 'no'] })
    const nat = createServer((socket) => {
      const further = connect({ host: '127.0.0.1', port: target.port, localAddress: '127.0.0.2' })
      socket.pipe(further).pipe(socket)
      for (const each of [socket, further]) each.on('error', () => undefined)
    })
    await new Promise<void>((resolve) => nat.listen(0, '127.0.0.1', resolve))
    cleanups.push(async () => {
      await new Promise((resolve) => nat.close(resolve))
    })
    const behind = `127.0.0.1:${(nat.address() as AddressInfo).port}`
    await expect(replay(small, behind, { viaReplica: true })).rejects.toThrow(/translated/)
    const listen = { host: '127.0.0.3', port: 0 }
    const events: unknown[] = []
    const onEvent: ReplayOptions['onEvent'] = (event) => events.push(event)
    await replay(small, behind, { viaReplica: true, listen, onEvent })
    expect(events).toContainEqual({
      event: 'replicates',
      from: expect.stringMatching(/^127\.0\.0\.3:\d+$/) as string,
    })
    await expectAsBefore(target)
  })
})

test('an ACL user with the rights that are needed is enough', async () => {
  const target = await start()
  const rights = ['+config', '+replicaof', '+slaveof', '+client', '+pubsub', '+info', '+ping']
  await target.client.call('ACL', 'SETUSER', 'loader', 'on', '>pw', ...rights, '+multi', '+discard')
  const loader = makeServerSettings(`127.0.0.1:${target.port}`, {
    username: 'loader',
    password: 'pw',
  })
  expect((await replay(small, loader, { viaReplica: true })).complete).toBe(true)
  await expectAsBefore(target)
})

test('an append-only file is loaded with all its commands, a backup into what is emptied for it', async () => {
  const target = await start()
  const aof = join(FIXTURES, 'redis-7.0/aof')
  const moved = await load(target, { verify: true }, aof)
  expect([moved.complete, moved.verified?.same]).toEqual([true, true])
  const repo = join(dir, 'repo')
  expect((await runCli(['backup', small, '--to', repo, '--name', 'small'])).code).toBe(0)
  const into = ['restore', `${repo}@latest`, `127.0.0.1:${target.port}`, '--yes', '--via-replica']
  const { code, err } = await runCli([...into, '--verify'])
  expect([code, err]).toEqual([0, expect.stringContaining('954 of 957 keys')])
  await expectAsBefore(target)
})

test('a dry run, and standard input', async () => {
  const target = await start()
  const tried = await load(target, { dryRun: true })
  expect(tried.ledger.keys).toMatchObject({ read: 957, written: 954, expired: 3 })
  expect(await target.client.dbsize()).toBe(0)
  const stdin = createReadStream(small)
  const result = await replay('-', `127.0.0.1:${target.port}`, { viaReplica: true, stdin })
  expect([result.complete, result.ledger.keys.written]).toEqual([true, 954])
  await expectAsBefore(target)
})

test('the end of a long load says how much faster it would have been, where it would have worked', async () => {
  const target = await start()
  const advice: unknown[] = []
  const long = async (): Promise<void> => {
    await target.client.flushall('SYNC')
    await target.client.call('FUNCTION', 'FLUSH')
    await replay(small, `127.0.0.1:${target.port}`, {
      adviceFromMs: 0,
      onEvent: (event) => event.event === 'advice' && advice.push(event),
    })
  }
  await long()
  expect(advice).toEqual([{ event: 'advice', timesFrom: 2.4, timesTo: 3 }])
  const listener = target.newClient()
  await listener.subscribe('__sentinel__:hello')
  await long()
  expect(advice).toHaveLength(1)
})

test('over TLS, with a certificate that the target trusts', async () => {
  const certificates = makeCertificates()
  cleanups.push(async () => {
    await Promise.resolve()
    certificates.remove()
  })
  const { ca, cert, key, otherCa } = certificates
  const port = await freePort()
  const target = await start({
    args: [
      ...['--tls-port', String(port), '--tls-replication', 'yes', '--tls-auth-clients', 'no'],
      ...['--tls-ca-cert-file', ca, '--tls-cert-file', cert, '--tls-key-file', key],
    ],
  })
  const address = `rediss://127.0.0.1:${port}`
  const base = ['replay', small, address, '--via-replica', '--target-cacert', ca]
  const without = await runCli(base)
  expect([without.code, without.err]).toEqual([5, expect.stringContaining('no certificate')])
  const { code, err } = await runCli([...base, '--target-cert', cert, '--target-key', key])
  expect([code, err]).toEqual([0, expect.stringContaining('954 of 957 keys')])
  await expectAsBefore(target)
  await target.client.flushall()
  await target.client.call('FUNCTION', 'FLUSH')
  // Signed by nobody whom the target trusts: it is a master again when that was waited for.
  const foreign = ['--target-cert', otherCa, '--target-key', otherCa.replace(/crt$/, 'key')]
  const untrusted = await runCli([...base, ...foreign, '--timeout', '1s'])
  expect([untrusted.code, untrusted.err]).toEqual([3, expect.stringContaining('trust')])
  expect(untrusted.err).toContain(
    'is a master again, with the settings that it had; it holds no keys',
  )
  await expectAsBefore(target)
})

describe('killed in the middle:', () => {
  const args = (target: TestServer): string[] => [
    ...['replay', large, `127.0.0.1:${target.port}`, '--via-replica', '--timeout', '5s'],
  ]
  const isReplica = async (target: TestServer): Promise<boolean> =>
    (await replicationInfo(target)).fields.get('role') === 'slave'

  test.each([0, 15, 60])('rrep, %i ms behind the begin of the load', async (delayMs) => {
    const target = await start()
    const rrep = spawnRrep(args(target))
    await waitFor(async () => await isReplica(target), { what: `the load; ${rrep.err()}` })
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    rrep.child.kill('SIGKILL')
    await rrep.ended
    const found = await finishReplay(`127.0.0.1:${target.port}`)
    await expectAsBefore(target)
    const keys = await target.client.dbsize()
    expect([0, 600]).toContain(keys)
    if (found.replica !== undefined) {
      expect(found.replica).toMatchObject({ data: keys === 0 ? 'none' : 'whole', keys })
    }
    expect(readdirSync(records)).toEqual([])
  })

  test('rrep, and the next run into it begins anew', async () => {
    const target = await start()
    const rrep = spawnRrep(args(target))
    await waitFor(async () => await isReplica(target), { what: `the load; ${rrep.err()}` })
    rrep.child.kill('SIGKILL')
    await rrep.ended
    const next = await runCli([...args(target), '--empty-target', '--yes'])
    expect([next.code, await target.client.dbsize()]).toEqual([0, 600])
    await expectAsBefore(target)
  })

  test('the target: rrep says so, and it comes back as it was', async () => {
    const target = await start()
    const rrep = spawnRrep(args(target))
    await waitFor(async () => await isReplica(target), { what: `the load; ${rrep.err()}` })
    await target.kill('SIGKILL')
    await target.restart()
    const { code, err } = await rrep.ended
    expect([3, 7]).toContain(code)
    expect(err).not.toContain('keys written in')
    expect((await finishReplay(`127.0.0.1:${target.port}`)).replica).toBeUndefined()
    await expectAsBefore(target)
    expect(await target.client.dbsize()).toBe(0)
  })

  test('by a signal it puts the target right itself', async () => {
    const target = await start()
    const rrep = spawnRrep(args(target))
    await waitFor(async () => await isReplica(target), { what: `the load; ${rrep.err()}` })
    rrep.child.kill('SIGINT')
    const { code, err } = await rrep.ended
    await expectAsBefore(target)
    const keys = await target.client.dbsize()
    expect([code, err]).toEqual([130, expect.stringMatching(/is a master again/)])
    expect(err).toMatch(keys === 0 ? /holds no keys/ : /holds all of the load/)
    expect(readdirSync(records)).toEqual([])
  })

  test('by somebody else on another machine: the password alone says what it was', async () => {
    const target = await start({ args: ['--repl-diskless-load', 'disabled'] })
    const once = `rrep-once-aud-${'0'.repeat(32)}`
    await target.client.call('CONFIG', 'SET', 'masterauth', once)
    await target.client.call('CONFIG', 'SET', 'masteruser', '')
    await target.client.call('CONFIG', 'SET', 'repl-diskless-load', 'on-empty-db')
    await target.client.call('REPLICAOF', '127.0.0.1', String(await freePort()))
    const { replica } = await finishReplay(`127.0.0.1:${target.port}`)
    expect(replica).toEqual({ data: 'none', keys: 0, isIncomplete: true })
    expect(await settingsOf(target)).toEqual(['', '', 'disabled'])
    expect((await replicationInfo(target)).fields.get('role')).toBe('master')
  })
})
