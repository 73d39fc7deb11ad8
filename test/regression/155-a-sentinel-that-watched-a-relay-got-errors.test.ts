/** A Sentinel that watched a relay got errors for its hellos, and told of it as down again and
 * again. A relay answers it as a replica does, and does nothing of what it is told. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { follow, parseInfo, startServing, upstreamOf, type Serving } from '../helpers/serving.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-sentinel-'))
let master: TestServer
let replica: TestServer
let relay: Serving

beforeAll(async () => {
  ;[master, replica] = await Promise.all([startServer(), startServer()])
  relay = await startServing({ source: { kind: 'server', server: upstreamOf(master) } })
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
  await follow(replica, relay.port)
})

afterAll(async () => {
  await relay.stop()
  await Promise.all([master.stop(), replica.stop()])
  rmSync(dir, { recursive: true, force: true })
})

/** Sends the lines and resolves with what came until this text. */
async function talk(lines: readonly string[], until: string): Promise<string> {
  const socket = connect(relay.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.write(lines.map((line) => `${line}\r\n`).join(''))
  await waitFor(() => text.includes(until), { what: `${until} in ${text}` })
  socket.destroy()
  return text
}

test('what a Sentinel tells a replica to do is answered, and not done', async () => {
  const lines = [
    ...['MULTI', 'SLAVEOF 127.0.0.9 9', 'CONFIG REWRITE', 'CLIENT KILL TYPE normal'],
    ...['CLIENT KILL TYPE pubsub', 'EXEC', 'SLAVEOF NO ONE', 'REPLICAOF 127.0.0.9 9'],
    ...[`REPLICAOF 127.0.0.1 ${master.port}`, 'CLIENT SETNAME sentinel-1', 'SCRIPT KILL'],
    ...['PUBLISH nobody listens', 'ECHO done'],
  ]
  const upstream = `127.0.0.1:${master.port}`
  const refused = `-ERR a relay follows whom its command line names: ${upstream}`
  expect((await talk(lines, 'done')).split('\r\n')).toEqual([
    ...['+OK', '+QUEUED', '+QUEUED', '+QUEUED', '+QUEUED', '*4', refused, '+OK', ':0', ':0'],
    ...['-ERR a relay holds no data of its own and is never a master', refused],
    ...['+OK Already connected to specified master', '+OK'],
    ...['-NOTBUSY No scripts in execution right now.', ':0', '$4', 'done', ''],
  ])
  const asking = new Redis({ port: relay.port, host: '127.0.0.1' })
  const info = parseInfo(await asking.info('replication'))
  asking.disconnect()
  expect(info.get('role')).toBe('slave')
  expect(info.get('master_port')).toBe(String(master.port))
  expect(relay.count('upstream-lost')).toBe(0)
  expect(parseInfo(await master.client.info('replication')).get('role')).toBe('master')
  expect(relay.count('replica-lost')).toBe(0)
})

test('a transaction is bounded, and no stream comes into it', async () => {
  const lines = ['MULTI', 'PSYNC ? -1', 'WAIT 1 0', 'PING', 'EXEC', 'MULTI', 'DISCARD', 'EXEC']
  expect((await talk([...lines, 'ECHO done'], 'done')).split('\r\n')).toEqual([
    '+OK',
    "-ERR unknown command 'psync', this is rrep, a master for replicas only",
    "-ERR 'wait' is not allowed in transactions",
    '+QUEUED',
    '-EXECABORT Transaction discarded because of previous errors.',
    ...['+OK', '+OK', '-ERR EXEC without MULTI', '$4', 'done', ''],
  ])
  const many = ['MULTI', ...Array.from({ length: 65 }, () => 'PING'), 'EXEC']
  expect(await talk(many, 'EXECABORT')).toContain('-ERR too much in one transaction')
})

test('who listens to a channel hears what is published there, and gets no stream', async () => {
  const heard: string[] = []
  const listening = new Redis({ port: relay.port, host: '127.0.0.1' })
  const publishing = new Redis({ port: relay.port, host: '127.0.0.1' })
  listening.on('message', (channel: string, message: string) => heard.push(`${channel} ${message}`))
  listening.on('pmessage', (_pattern: string, channel: string) => heard.push(channel))
  expect(await listening.subscribe('hello', 'other')).toBe(2)
  expect(await listening.psubscribe('h*')).toBe(3)
  expect(await publishing.publish('hello', 'a message')).toBe(2)
  expect(await publishing.publish('nobody', 'listens')).toBe(0)
  await waitFor(() => heard.length === 2, { what: 'the message' })
  expect(heard).toEqual(['hello a message', 'hello'])
  expect(await listening.unsubscribe('hello', 'other')).toBe(1)
  expect(await listening.punsubscribe('h*')).toBe(0)
  expect(await publishing.publish('hello', 'again')).toBe(0)
  expect(await talk(['SUBSCRIBE a', 'UNSUBSCRIBE', 'ECHO done'], 'done')).toContain(
    '$11\r\nunsubscribe',
  )
  expect(await talk(['SUBSCRIBE a', 'PSYNC ? -1'], '-ERR')).toContain("Can't execute 'psync'")
  listening.disconnect()
  publishing.disconnect()
})

test('who listens and does not read is sent away', async () => {
  const deaf = connect(relay.port, '127.0.0.1')
  let isGone = false
  deaf.on('error', () => undefined)
  deaf.on('close', () => (isGone = true))
  deaf.write('SUBSCRIBE hello\r\n')
  deaf.pause()
  const publishing = new Redis({ port: relay.port, host: '127.0.0.1' })
  const message = 'm'.repeat(60_000)
  await waitFor(async () => (await publishing.publish('hello', message)) === 1, { what: 'it' })
  await waitFor(async () => (await publishing.publish('hello', message)) === 0, {
    what: 'its end',
    timeoutMs: 20_000,
  })
  publishing.disconnect()
  deaf.resume()
  await waitFor(() => isGone, { what: 'the close' })
})

test('a real Sentinel that watches the relay among the replicas has nothing to say of it', async () => {
  const port = await freePort()
  const configuration = join(dir, 'sentinel.conf')
  const lines = [
    ...[`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`],
    `sentinel monitor m 127.0.0.1 ${master.port} 1`,
    ...['sentinel down-after-milliseconds m 1500', 'sentinel failover-timeout m 3000'],
    `sentinel known-replica m 127.0.0.1 ${relay.port}`,
  ]
  writeFileSync(configuration, `${lines.join('\n')}\n`)
  const sentinel: ChildProcess = spawn('redis-server', [configuration, '--sentinel'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let log = ''
  sentinel.stdout!.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const listening = new Redis({ port: relay.port, host: '127.0.0.1' })
  const asking = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 100 })
  asking.on('error', () => undefined)
  try {
    let hellos = 0
    listening.on('message', () => (hellos += 1))
    await listening.subscribe('__sentinel__:hello')
    // Every two seconds one: by the third it has had time to take the relay for down.
    await waitFor(() => hellos >= 3, { what: 'the hellos', timeoutMs: 20_000 })
    const replicas = (await asking.call('SENTINEL', 'MASTER', 'm')) as string[]
    expect(replicas[replicas.indexOf('flags') + 1]).toBe('master')
    expect(log).toContain('+monitor master m')
    // Of its port, since its link to the master is another replica, which has no port.
    expect(log.split('\n').filter((line) => line.includes(`:${relay.port} `))).toEqual([])
    expect(log).not.toContain('failover')
    expect(relay.count('client-refused')).toBe(0)
  } finally {
    listening.disconnect()
    asking.disconnect()
    sentinel.kill('SIGKILL')
  }
})
