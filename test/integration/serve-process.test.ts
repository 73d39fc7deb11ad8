/** `rrep serve` as people run it: killed, told to follow another, protected, measured from outside. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { expectSame, startReplicas, startWriter } from '../helpers/relay-fleet.js'
import { startServeProcess, type ServeProcess } from '../helpers/serve-process.js'
import { freePort, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import {
  follow,
  replicationInfo,
  startServing,
  syncCounts,
  upstreamOf,
} from '../helpers/serving.js'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startMaster(args: string[] = [], password?: string): Promise<TestServer> {
  const server = await startServer({
    args: ['--repl-backlog-size', '64mb', ...args],
    ...(password === undefined ? {} : { password }),
  })
  cleanups.push(() => server.stop())
  return server
}

async function startProcess(args: string[], env?: Record<string, string>): Promise<ServeProcess> {
  const serving = await startServeProcess(args, env)
  cleanups.push(() => serving.kill('SIGKILL'))
  return serving
}

async function startFollowers(count: number, port: number): Promise<TestServer[]> {
  const replicas = await startReplicas(count, port)
  for (const replica of replicas) cleanups.push(() => replica.stop())
  return replicas
}

function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-serve-test-'))
  cleanups.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

test('killed without warning under writes and started again, it costs nobody a full resync', async () => {
  const master = await startMaster()
  const dir = temporaryDir()
  const port = await freePort()
  const args = [
    ...[`127.0.0.1:${master.port}`, '--listen', `127.0.0.1:${port}`],
    ...['--backlog-dir', join(dir, 'backlog'), '--backlog', '64mb'],
  ]
  let relay = await startProcess(args)
  const replicas = await startFollowers(2, port)
  await waitFor(() => relay.count('replica-online') === 2, { what: 'replicas online' })
  const writer = startWriter(master.port, 5000)
  for (let round = 0; round < 2; round += 1) {
    const writes = writer.writes
    await waitFor(() => writer.writes > writes + 1500, { what: 'writes' })
    await relay.kill('SIGKILL')
    relay = await startProcess(args)
    await waitFor(() => relay.count('replica-online') === 2, { what: 'replicas to go on' })
    expect(relay.count('full-resync')).toBe(0)
  }
  await writer.stop()
  await expectSame(master, replicas)
  expect((await syncCounts(master)).full).toBe(1)
  // In order, it says goodbye with the code of the signal.
  expect(await relay.kill('SIGTERM')).toBe(143)
})

test('SIGHUP makes it follow what the source file names now', async () => {
  const master = await startMaster()
  const sourceFile = join(temporaryDir(), 'upstream')
  writeFileSync(sourceFile, `127.0.0.1:${master.port}\n`)
  const relay = await startProcess(['--source-file', sourceFile, '--listen', '127.0.0.1:0'])
  const [promoted, other] = await startFollowers(2, relay.port)
  await master.client.set('key', 'value')
  await expectSame(master, [promoted!, other!])
  await promoted!.client.call('REPLICAOF', 'NO', 'ONE')
  await promoted!.client.set('key', 'another')
  writeFileSync(sourceFile, `127.0.0.1:${promoted!.port}\n`)
  relay.signal('SIGHUP')
  await waitFor(() => relay.count('upstream-renamed') === 1, { what: 'the relay to follow' })
  await expectSame(promoted!, [other!])
  expect((await syncCounts(promoted!)).full).toBe(0)
  writeFileSync(sourceFile, 'not::an::address\n')
  relay.signal('SIGHUP')
  await waitFor(() => relay.stderr().includes('SIGHUP changes nothing'), { what: 'the warning' })
})

test('a replica that stops reading is cut off at its limit; the others notice nothing', async () => {
  const master = await startMaster(['--client-output-buffer-limit', 'replica 0 0 0'])
  const relay = await startProcess([
    ...[`127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0', '--metrics', '127.0.0.1:0'],
    ...['--backlog', '1mb', '--replica-limit', '16mb,8mb,60s'],
  ])
  const [healthy] = await startFollowers(1, relay.port)
  await waitFor(() => relay.count('replica-online') === 1, { what: 'the healthy replica' })
  const stuck = connect(relay.port, '127.0.0.1')
  stuck.on('error', () => undefined)
  cleanups.push(() => Promise.resolve(void stuck.destroy()))
  stuck.write('REPLCONF listening-port 0\r\nPSYNC ? -1\r\n')
  stuck.once('data', () => stuck.pause())
  await waitFor(() => relay.count('replica-online') === 2, { what: 'the stuck replica' })
  const value = 'x'.repeat(64 << 10)
  const lag = new RegExp(`replica_lag_bytes\\{replica="127.0.0.1:${healthy!.port}".* (\\d+)`)
  const lagOfHealthy = async (): Promise<number> => {
    const metrics = await fetch(`http://127.0.0.1:${relay.metricsPort!}/metrics`)
    return Number(lag.exec(await metrics.text())?.[1])
  }
  let worstLagBytes = 0
  while (relay.count('replica-lost') === 0) {
    const pipeline = master.client.pipeline()
    for (let index = 0; index < 16; index += 1) pipeline.set(`big:${index}`, value)
    await pipeline.exec()
    const lagBytes = await lagOfHealthy()
    // It may be between two links on a busy machine; how many there were is looked at below.
    if (!Number.isNaN(lagBytes)) worstLagBytes = Math.max(worstLagBytes, lagBytes)
    // The writer is faster than any replica on a busy machine: it waits for the healthy one, which
    // would wait for ever if the stuck one held it up.
    await waitFor(async () => (await lagOfHealthy()) < 2 << 20, { what: 'the healthy replica' })
  }
  expect(relay.events.find(({ event }) => event === 'replica-lost')).toMatchObject({ cutOff: true })
  await expectSame(master, [healthy!])
  expect(relay.count('full-resync'), JSON.stringify(relay.events)).toBe(2)
  expect(worstLagBytes).toBeLessThan(8 << 20)
  expect(relay.peakRssBytes()).toBeLessThan(250 << 20)
})

test('without the password nothing is answered; with it replicas are served, over TLS too', async () => {
  const dir = temporaryDir()
  const key = join(dir, 'key.pem')
  const cert = join(dir, 'cert.pem')
  const selfSigned = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj']
  execFileSync(
    'openssl',
    [
      ...selfSigned,
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  )
  const master = await startMaster(['--requirepass', 'upstream secret'], 'upstream secret')
  await master.client.set('key', 'value')
  const relay = await startServing({
    source: { kind: 'server', server: upstreamOf(master, 'upstream secret') },
    password: 'relay secret',
    tls: { certFile: cert, keyFile: key },
  })
  cleanups.push(() => relay.stop())
  const plain = await startServer({
    args: [
      ...['--tls-replication', 'yes', '--tls-ca-cert-file', cert, '--tls-auth-clients', 'no'],
      ...['--tls-cert-file', cert, '--tls-key-file', key],
    ],
  })
  cleanups.push(() => plain.stop())
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
  await plain.client.call('CONFIG', 'SET', 'masterauth', 'wrong')
  await plain.client.call('REPLICAOF', '127.0.0.1', String(relay.port))
  await waitFor(async () => (await plain.client.info('replication')).includes('link_status:down'), {
    what: 'the refusal',
  })
  expect(relay.count('full-resync')).toBe(0)
  await plain.client.call('CONFIG', 'SET', 'masterauth', 'relay secret')
  await follow(plain, relay.port)
  expect(await plain.client.get('key')).toBe('value')
  const synced = await runCli(
    ['sync', `127.0.0.1:${relay.port}`, '--tls', '--cacert', cert, '-o', join(dir, 'dump.rdb')],
    { env: { REDISCLI_AUTH: 'relay secret' } },
  )
  expect(synced.code).toBe(0)
  const refused = await runCli(
    ['sync', `127.0.0.1:${relay.port}`, '--tls', '--cacert', cert, '-o', join(dir, 'none.rdb')],
    { env: { REDISCLI_AUTH: 'guess' } },
  )
  expect(refused.code).toBe(4)
})

test('an address for everybody is refused without password and TLS', async () => {
  const dir = temporaryDir()
  const dump = join(dir, 'dump.rdb')
  writeFileSync(dump, Buffer.from('REDIS0006\xff\0\0\0\0\0\0\0\0', 'latin1'))
  const password = join(dir, 'password')
  writeFileSync(password, 'secret\n')
  const open = await runCli(['serve', dump, '--listen', '0.0.0.0:0'])
  expect(open.code).toBe(2)
  expect(open.err).toContain('without a password')
  const clear = await runCli([
    'serve',
    dump,
    '--listen',
    '0.0.0.0:0',
    '--requirepass-file',
    password,
  ])
  expect(clear.code).toBe(2)
  expect(clear.err).toContain('without TLS')
})

test('an upstream that cannot be reached, or refuses, ends it with the code for that', async () => {
  const port = await freePort()
  const unreachable = await runCli([
    ...['serve', `127.0.0.1:${port}`, '--listen', '127.0.0.1:0', '--retries', '0'],
  ])
  expect(unreachable.code).toBe(3)
  const master = await startMaster(['--requirepass', 'secret'], 'secret')
  const refused = await runCli(['serve', `127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0'], {
    env: { REDISCLI_AUTH: 'wrong' },
  })
  expect(refused.code).toBe(4)
  const missing = await runCli(['serve', 'no/such/file.rdb'])
  expect(missing.code).toBe(1)
})

test('redis-cli takes a dump and follows the stream; metrics tell both', async () => {
  const master = await startMaster()
  await master.client.set('key', 'value')
  const relay = await startProcess([
    ...[`127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0', '--metrics', '127.0.0.1:0'],
  ])
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
  const dump = join(temporaryDir(), 'dump.rdb')
  execFileSync(master.binary.cli, ['-p', String(relay.port), '--rdb', dump], { stdio: 'pipe' })
  expect(readFileSync(dump).subarray(0, 5).toString()).toBe('REDIS')
  const [replica] = await startFollowers(1, relay.port)
  await expectSame(master, [replica!])
  const metrics = await (await fetch(`http://127.0.0.1:${relay.metricsPort!}/metrics`)).text()
  expect(metrics).toContain('rrep_upstream_up{')
  expect(metrics).toMatch(/^rrep_full_resyncs_total 2$/m)
  expect(metrics).toMatch(
    new RegExp(`^rrep_replica_offset\\{replica="127.0.0.1:${replica!.port}"`, 'm'),
  )
  expect((await replicationInfo(replica!)).linkUp).toBe(true)
})
