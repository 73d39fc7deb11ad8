/** What the doctor says of real servers, with each thing that could go wrong brought about. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { doctor, makeServerSettings, type Check, type DoctorOptions } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startCluster } from '../helpers/cluster.js'
import {
  serverBinaries,
  serverBinary,
  startServer,
  waitFor,
  type TestServer,
} from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-doctor-'))
let source: TestServer
let target: TestServer

beforeAll(async () => {
  ;[source, target] = await Promise.all([
    startServer({ args: ['--databases', '32'] }),
    startServer({ args: ['--databases', '4'] }),
  ])
})
afterAll(async () => {
  await Promise.all([source.stop(), target.stop()])
  rmSync(dir, { recursive: true, force: true })
})

const at = ({ port }: TestServer): string => `127.0.0.1:${port}`

async function found(server: TestServer, options: DoctorOptions = {}): Promise<Map<string, Check>> {
  const { checks } = await doctor(at(server), { sampleMs: 100, ...options })
  return new Map(
    checks.map((each) => [`${each.place === at(server) ? '' : 'target '}${each.subject}`, each]),
  )
}

test('a server on which all is well: 0, and nothing of it was changed', async () => {
  const before = await source.client.call('CONFIG', 'GET', '*')
  await source.client.call('CONFIG', 'RESETSTAT')
  const looked = await runCli(['doctor', at(source), '--sample', '100ms', '--to', dir])
  expect([looked.code, looked.err]).toEqual([0, 'nothing stands in the way\n'])
  const used = (await source.client.info('commandstats')).match(/cmdstat_[^:]+/g)
  const asked = new Set(used?.map((each) => each.slice('cmdstat_'.length).split('|')[0]))
  const reading = [
    'acl',
    'auth',
    'client',
    'config',
    'function',
    'info',
    'module',
    'ping',
    'pubsub',
  ]
  expect([...asked].filter((name) => ![...reading, 'select', 'time'].includes(name!))).toEqual([])
  expect(await source.client.call('CONFIG', 'GET', '*')).toEqual(before)
})

test('rights: what is missing is named, by DRYRUN and to those who may not ask that', async () => {
  await source.client.call('ACL', 'SETUSER', 'asks', 'on', '>pw', '+@all', '-psync')
  await source.client.call(
    'ACL',
    'SETUSER',
    'plain',
    'on',
    '>pw',
    '&*',
    '+info',
    '+ping',
    '+subscribe',
  )
  await source.client.call('ACL', 'SETUSER', 'mute', 'on', '>pw', '+info', '+ping')
  for (const [username, state, text] of [
    ['asks', 'failure', 'may not run PSYNC'],
    ['plain', 'failure', 'may not run PSYNC, REPLCONF'],
    ['mute', 'unknown', 'shows with the first snapshot'],
  ] as const) {
    const settings = makeServerSettings(at(source), { username, password: 'pw' })
    const { checks } = await doctor(settings, { sampleMs: 0 })
    const rights = checks.find(({ subject }) => subject === 'rights')
    expect(rights, username).toMatchObject({ state, text: expect.stringContaining(text) as string })
  }
  await source.client.call('ACL', 'SETUSER', 'deaf', 'on', '>pw', '+ping')
  const call = ['doctor', `redis://deaf@${at(source)}`, '--sample', '1ms']
  const told = await runCli(call, { env: { REDISCLI_AUTH: 'pw' } })
  expect([told.code, told.err]).toEqual([0, 'nothing known stands in the way, 1 unknown\n'])
  await target.client.call('ACL', 'SETUSER', 'narrow', 'on', '>pw', '~*', '+@all', '-restore')
  const into = makeServerSettings(at(target), { username: 'narrow', password: 'pw' })
  const checks = await found(source, { target: into })
  expect(checks.get('target rights')).toMatchObject({
    state: 'failure',
    hint: 'ACL SETUSER narrow ~* +restore',
  })
  expect(await target.client.dbsize()).toBe(0)
})

test('the output buffer and the backlog against the writes', async () => {
  await source.client.call('CONFIG', 'SET', 'client-output-buffer-limit', 'replica 1mb 1mb 60')
  const big = 'x'.repeat(100_000)
  let isOver = false
  const writing = (async () => {
    while (!isOver) await source.client.set('big', big)
  })()
  const checks = await found(source, { sampleMs: 400 })
  isOver = true
  await writing
  expect(checks.get('output buffer')).toMatchObject({ state: 'warning' })
  expect(checks.get('output buffer')!.hint).toMatch(
    /^CONFIG SET client-output-buffer-limit "replica/,
  )
  expect(checks.get('backlog')).toMatchObject({ state: 'warning' })
  await source.client.call('CONFIG', 'SET', 'client-output-buffer-limit', 'replica 256mb 64mb 60')
})

test('what a target cannot hold: databases, memory; what it holds; what it keeps', async () => {
  await source.client.call('SELECT', '20')
  await source.client.set('far', '1')
  await source.client.call('SELECT', '0')
  await target.client.set('there', '1')
  await target.client.call('CONFIG', 'SET', 'maxmemory', '2mb')
  const settings = makeServerSettings(at(target))
  const checks = await found(source, { target: settings })
  expect(checks.get('target databases')).toMatchObject({ state: 'failure' })
  expect(checks.get('target memory')).toMatchObject({ state: 'failure' })
  expect(checks.get('target contents')).toMatchObject({ state: 'warning' })
  expect(checks.get('target persistence')).toMatchObject({ state: 'warning' })
  await target.client.call('CONFIG', 'SET', 'maxmemory', '900mb', 'maxmemory-policy', 'allkeys-lru')
  const evicting = await found(source, { target: settings })
  expect(evicting.get('target memory')).toMatchObject({ state: 'warning' })
  const cli = await runCli(['doctor', at(source), at(target), '--sample', '0s'])
  expect([cli.code, cli.out]).toEqual([7, expect.stringContaining('What to do')])
})

test('a replica: of a master that is there, and of one that is not', async () => {
  const replica = await startServer({
    args: ['--replicaof', '127.0.0.1', String(source.port), '--databases', '32'],
  })
  await waitFor(async () => (await replica.client.info('replication')).includes('link_status:up'), {
    what: 'the link',
  })
  expect((await found(replica)).get('role')).toMatchObject({ state: 'ok' })
  const settings = makeServerSettings(at(replica))
  expect((await found(source, { target: settings })).get('target role')).toMatchObject({
    state: 'failure',
  })
  await replica.client.call('REPLICAOF', '127.0.0.1', '1')
  expect((await found(replica)).get('role')).toMatchObject({ state: 'failure' })
  await replica.stop()
})

const newer = serverBinary('redis-8.6')
test.skipIf(newer === undefined)('a dump that the target does not load', async () => {
  const server = await startServer({ binary: newer! })
  const checks = await found(server, { target: makeServerSettings(at(target)) })
  expect(checks.get('target format')).toMatchObject({ state: 'warning' })
  await server.stop()
})

test('files: sound and damaged', async () => {
  const dump = join(dir, 'dump.rdb')
  await runCli(['sync', at(source), '-o', dump])
  expect((await doctor(dump)).failures).toBe(0)
  writeFileSync(dump, 'REDIS0010 and no more')
  expect((await doctor(dump)).checks).toMatchObject([{ subject: 'contents', state: 'failure' }])
})

test('a cluster: one node of it, all of it, and with a hole', async () => {
  const cluster = await startCluster(serverBinaries()[0]!, { masters: 3, replicas: 0 })
  const first = `127.0.0.1:${cluster.masters[0]!.port}`
  try {
    expect((await found(cluster.masters[0]!)).get('deployment')).toMatchObject({ state: 'warning' })
    const refused = await runCli(['backup', first, '--to', join(dir, 'repo')])
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('--cluster')])
    expect((await runCli(['backup', first, '--to', join(dir, 'repo'), '--node'])).code).toBe(0)
    const whole = await doctor(`redis-cluster://${first}`, { sampleMs: 0 })
    expect([whole.failures, whole.checks[0]]).toMatchObject([0, { subject: 'slots', state: 'ok' }])
    for (const { client } of cluster.masters) await client.call('CLUSTER', 'DELSLOTS', '0')
    const holed = await doctor(`redis-cluster://${first}`, { sampleMs: 0 })
    expect(holed.checks[0]).toMatchObject({ subject: 'slots', state: 'failure' })
  } finally {
    await cluster.stop()
  }
})
