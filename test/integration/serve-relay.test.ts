/** A relay of a live master, with real replicas behind it: what they have, what the master bore. */
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { startProxy } from '../helpers/cutting-proxy.js'
import { expectSame, startReplicas, startWriter } from '../helpers/relay-fleet.js'
import { runCli } from '../helpers/cli.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import {
  follow,
  parseInfo,
  replicationInfo,
  startServing,
  syncCounts,
  upstreamOf,
  type Serving,
} from '../helpers/serving.js'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startMaster(...args: string[]): Promise<TestServer> {
  const master = await startServer({ args: ['--repl-backlog-size', '64mb', ...args] })
  cleanups.push(() => master.stop())
  return master
}

async function startRelay(
  port: number,
  options: Partial<Parameters<typeof startServing>[0]> = {},
): Promise<Serving> {
  const serving = await startServing({
    source: { kind: 'server', server: upstreamOf({ port }) },
    ...options,
  })
  cleanups.push(() => serving.stop())
  return serving
}

async function startFollowers(count: number, port: number): Promise<TestServer[]> {
  const replicas = await startReplicas(count, port)
  for (const replica of replicas) cleanups.push(() => replica.stop())
  return replicas
}

function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-relay-test-'))
  cleanups.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

test('replicas of a relay, and replicas of those, have what the master has; it saved once', async () => {
  const master = await startMaster()
  await master.client.call('DEBUG', 'POPULATE', '20000')
  const relay = await startRelay(master.port)
  const writer = startWriter(master.port, 5000)
  const replicas = await startFollowers(3, relay.port)
  const chained = await startFollowers(1, replicas[0]!.port)
  await waitFor(() => writer.writes > 10_000, { what: 'writes' })
  // One who comes late is given the same snapshot, and the backlog behind it.
  const late = await startFollowers(1, relay.port)
  await waitFor(() => writer.writes > 15_000, { what: 'more writes' })
  await writer.stop()
  await expectSame(master, [...replicas, ...chained, ...late])
  expect((await syncCounts(master)).full).toBe(1)
  expect((await replicationInfo(master)).fields.get('connected_slaves')).toBe('1')
  expect(relay.count('upstream-snapshot')).toBe(1)
  expect(relay.count('full-resync')).toBe(4)
})

test('cut links are continued by partial resync, upstream and downstream', async () => {
  const master = await startMaster()
  const upstream = await startProxy(master.port)
  const relay = await startRelay(upstream.port)
  const downstream = await startProxy(relay.port)
  cleanups.push(
    () => upstream.stop(),
    () => downstream.stop(),
  )
  const replicas = await startFollowers(2, downstream.port)
  await waitFor(() => relay.count('replica-online') === 2, { what: 'replicas online' })
  const writer = startWriter(master.port, 2000)
  for (let round = 1; round <= 4; round += 1) {
    const writes = writer.writes
    await waitFor(() => writer.writes > writes + 300, { what: 'writes' })
    upstream.cut()
    if (round % 2 === 0) downstream.cut()
    await waitFor(() => relay.count('upstream-continued') >= round, { what: 'the relay to go on' })
    const back = 2 * Math.floor(round / 2)
    await waitFor(() => relay.count('partial-resync') >= back, { what: 'replicas to go on' })
  }
  await writer.stop()
  await expectSame(master, replicas)
  expect((await syncCounts(master)).full).toBe(1)
  expect(relay.count('full-resync')).toBe(2)
})

test('a relay with a directory goes on where it was, and so do its replicas', async () => {
  const master = await startMaster()
  const backlogDir = temporaryDir()
  const proxyTarget = await startRelay(master.port, { backlogDir })
  const { port } = proxyTarget
  const replicas = await startFollowers(2, port)
  const writer = startWriter(master.port, 2000)
  await waitFor(() => proxyTarget.count('replica-online') === 2, { what: 'replicas online' })
  await waitFor(() => writer.writes > 1000, { what: 'writes' })
  await proxyTarget.stop()
  const writes = writer.writes
  await waitFor(() => writer.writes > writes + 1000, { what: 'writes while it is away' })
  const again = await startRelay(master.port, { backlogDir, listen: { host: '127.0.0.1', port } })
  await waitFor(() => again.count('partial-resync') === 2, { what: 'replicas to go on' })
  await writer.stop()
  await expectSame(master, replicas)
  expect((await syncCounts(master)).full).toBe(1)
  expect(again.count('full-resync')).toBe(0)
  expect(again.count('upstream-full-resync')).toBe(0)
  // A newcomer is given the snapshot that the first process took.
  const late = await startFollowers(1, port)
  await expectSame(master, late)
  expect((await syncCounts(master)).full).toBe(1)
})

test('a promoted replica is followed by the relay and the others without a full resync', async () => {
  const master = await startMaster()
  const relay = await startRelay(master.port)
  const [promoted, ...others] = await startFollowers(3, relay.port)
  await waitFor(() => relay.count('replica-online') === 3, { what: 'replicas online' })
  const writer = startWriter(master.port, 1000)
  await waitFor(() => writer.writes > 1000, { what: 'writes' })
  await writer.stop()
  await expectSame(master, [promoted!, ...others])
  await master.kill()
  await promoted!.client.call('REPLICAOF', 'NO', 'ONE')
  await promoted!.client.set('first', 'write after the promotion')
  relay.handle.follow(upstreamOf(promoted!))
  await waitFor(() => relay.count('upstream-renamed') === 1, { what: 'the relay to follow' })
  await follow(others[0]!, promoted!.port)
  await expectSame(promoted!, others)
  expect(await others[1]!.client.get('first')).toBe('write after the promotion')
  expect((await syncCounts(promoted!)).full).toBe(0)
  expect(relay.count('full-resync')).toBe(3)
  expect(relay.count('upstream-full-resync')).toBe(1)
})

test('when upstream makes a full resync, replicas are given its new data', async () => {
  const master = await startMaster('--repl-diskless-sync', 'no')
  const relay = await startRelay(master.port)
  const replicas = await startFollowers(2, relay.port)
  await master.client.set('old', '1')
  await expectSame(master, replicas)
  await master.client.flushall()
  await master.client.call('DEBUG', 'CHANGE-REPL-ID')
  await master.client.set('new', '2')
  await master.client.call('CLIENT', 'KILL', 'TYPE', 'replica')
  await waitFor(() => relay.count('upstream-full-resync') === 2, { what: 'the full resync' })
  await expectSame(master, replicas)
  expect(await replicas[0]!.client.get('old')).toBe(null)
})

test('while upstream is away replicas stay, and one that comes back continues', async () => {
  const master = await startMaster()
  const upstream = await startProxy(master.port)
  cleanups.push(() => upstream.stop())
  const relay = await startRelay(upstream.port)
  const downstream = await startProxy(relay.port)
  cleanups.push(() => downstream.stop())
  const replicas = await startFollowers(2, downstream.port)
  await expectSame(master, replicas)
  upstream.block(true)
  upstream.cut()
  await waitFor(() => relay.count('upstream-lost') >= 2, { what: 'the loss' })
  downstream.cut()
  await waitFor(() => relay.count('partial-resync') === 2, { what: 'replicas to come back' })
  await waitFor(async () => (await replicationInfo(replicas[0]!)).linkUp, { what: 'its link' })
  await master.client.set('meanwhile', 'written')
  upstream.block(false)
  await expectSame(master, replicas)
  expect(relay.count('full-resync')).toBe(2)
})

test('newcomers whom the backlog does not cover share one new snapshot, as it arrives', async () => {
  const master = await startMaster()
  const relay = await startRelay(master.port, { backlogBytes: 1 << 20 })
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the first snapshot' })
  await master.client.call('DEBUG', 'POPULATE', '50000', 'key', '100')
  for (let round = 0; round < 4; round += 1) await master.client.set('big', 'x'.repeat(1 << 20))
  await waitFor(async () => (await endOf(relay)) > 4 << 20, {
    what: 'the backlog to pass the snapshot',
  })
  const writer = startWriter(master.port, 1000)
  // One of them loads without a file: stream bytes behind the mark must not be lost to it.
  const replicas = [
    ...(await startFollowers(2, relay.port)),
    await startServer({
      args: ['--repl-diskless-load', 'swapdb', '--replicaof', `127.0.0.1 ${relay.port}`],
    }),
  ]
  cleanups.push(() => replicas[2]!.stop())
  await waitFor(() => relay.count('replica-online') === 3, { what: 'three replicas' })
  await writer.stop()
  await expectSame(master, replicas)
  expect(relay.count('upstream-snapshot')).toBe(2)
  expect((await syncCounts(master)).full).toBe(2)
  expect((await replicationInfo(master)).fields.get('connected_slaves')).toBe('1')
})

test('rrep tail prints what comes through a relay', async () => {
  const master = await startMaster()
  const relay = await startRelay(master.port)
  const replicas = await startFollowers(1, relay.port)
  await master.client.set('before', '0')
  await expectSame(master, replicas)
  const tail = runCli(['tail', `127.0.0.1:${relay.port}`, '--count', '2', '--json'])
  await waitFor(() => relay.count('partial-resync') === 1, { what: 'tail to be linked' })
  await master.client.set('one', '1')
  await master.client.set('two', '2')
  const { code, out } = await tail
  expect(code).toBe(0)
  const commands = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { command: string[] })
  expect(commands.map(({ command }) => command.slice(0, 2).join(' '))).toEqual([
    'set one',
    'set two',
  ])
})

test('a master that knows SYNC only, as up to 2.6, is relayed under a history of our own', async () => {
  // No server of that age runs here: this one says what 2.6 says.
  const rdb = Buffer.from('REDIS0006\xff\0\0\0\0\0\0\0\0', 'latin1')
  const links: Socket[] = []
  const old = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1').toUpperCase()
      if (text.includes('PSYNC')) socket.write("-ERR unknown command 'PSYNC'\r\n")
      else if (text.includes('HELLO')) socket.write("-ERR unknown command 'HELLO'\r\n")
      else if (text.includes('SYNC')) {
        socket.write(`$${rdb.length}\r\n`)
        socket.write(rdb)
        links.push(socket)
      } else if (text.includes('PING')) socket.write('+PONG\r\n')
      else socket.write('+OK\r\n')
    })
  })
  await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve))
  cleanups.push(async () => {
    for (const link of links) link.destroy()
    await new Promise<void>((resolve) => old.close(() => resolve()))
  })
  const relay = await startRelay((old.address() as AddressInfo).port)
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
  const [replica] = await startFollowers(1, relay.port)
  await waitFor(() => relay.count('replica-online') === 1, { what: 'the replica' })
  links[0]!.write('*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n')
  await waitFor(async () => (await replica!.client.get('a')) === '1', { what: 'the write' })
  // Its links cannot be continued: everybody is given the new snapshot.
  links[0]!.destroy()
  await waitFor(() => relay.count('upstream-full-resync') === 2, { what: 'the next link' })
  await waitFor(async () => (await replica!.client.get('a')) === null, { what: 'the new data' })
})

/** Last stream byte that the relay has. */
async function endOf(relay: Serving): Promise<number> {
  const client = new Redis({ port: relay.port, host: '127.0.0.1' })
  try {
    return Number(parseInfo(await client.info('replication')).get('master_repl_offset'))
  } finally {
    client.disconnect()
  }
}

test('a relay of a relay, rrep sync and the clients of redis-cli are served', async () => {
  const master = await startMaster()
  await master.client.set('key', 'value')
  const first = await startRelay(master.port)
  await waitFor(() => first.count('upstream-snapshot') === 1, { what: 'the first relay' })
  const second = await startRelay(first.port)
  const replicas = await startFollowers(1, second.port)
  await expectSame(master, replicas)
  const dir = temporaryDir()
  const synced = await runCli(['sync', `127.0.0.1:${second.port}`, '-o', join(dir, 'dump.rdb')])
  expect(synced.err).not.toContain('rrep:')
  expect(synced.code).toBe(0)
  const loaded = await startServer({ dir, args: ['--dbfilename', 'dump.rdb'] })
  cleanups.push(() => loaded.stop())
  expect(await loaded.client.get('key')).toBe('value')
  const info = parseInfo(await replicas[0]!.client.info('replication'))
  expect(info.get('master_replid')).toBe(
    (await replicationInfo(master)).fields.get('master_replid'),
  )
})
