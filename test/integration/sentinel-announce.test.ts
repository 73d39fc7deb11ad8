/** Links behind real Sentinels: by a name that they do not look up, and at a port that answers them: neither
 * listed nor promoted, and through a failover. */
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { settingsOf } from '../../src/topology/settings.js'
import { sync, watch, type TailEvent } from '../../src/index.js'
import { startSentinels, type Sentinels } from '../helpers/sentinels.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { follow, parseInfo, startServing, type Serving } from '../helpers/serving.js'

const binary = serverBinary('redis-7.0')!
let servers: [TestServer, TestServer]
let behind: TestServer
let sentinels: Sentinels
let relay: Serving
const stop = new AbortController()
const events: TailEvent[] = []
const seen: string[] = []
let watching: Promise<unknown>

beforeAll(async () => {
  const [first, second, third] = await Promise.all([1, 2, 3].map(() => startServer({ binary })))
  servers = [first!, second!]
  behind = third!
  await follow(servers[1], servers[0].port)
  sentinels = await startSentinels(binary, servers[0])
  // As in trouble: a look each 10 s is long for a test.
  await sentinels.ask('SENTINEL', 'DEBUG', 'INFO-PERIOD', '500')
  const server = settingsOf(sentinels.address())
  relay = await startServing({ source: server })
  watching = watch(server, {
    announce: { host: '127.0.0.1', port: 0 },
    signal: stop.signal,
    onEvent: (event) => events.push(event),
    onCommand: (command) => seen.push(command.arg(1).toString()),
  }).catch(() => undefined)
  await follow(behind, relay.port)
})
afterAll(async () => {
  stop.abort()
  await watching
  await relay.stop()
  await sentinels.stop()
  for (const each of [...servers, behind]) await each.stop()
})

async function replicasOf(master: TestServer): Promise<readonly string[]> {
  const info = parseInfo(await master.client.info('replication'))
  return [...info].filter(([name]) => /^slave\d+$/.test(name)).map(([, value]) => value)
}

/** By the master's INFO: ours are those that are no servers. */
async function announced(master: TestServer): Promise<readonly number[]> {
  const ports = (await replicasOf(master)).map((each) => Number(/port=(\d+)/.exec(each)?.[1]))
  return ports.filter((port) => port > 0 && servers.every((each) => each.port !== port))
}

async function hidden(master: TestServer): Promise<number> {
  return (await replicasOf(master)).filter((each) => each.startsWith('ip=rrep.invalid,')).length
}

async function answer(port: number, lines: readonly string[], until: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.write(lines.map((line) => `${line}\r\n`).join(''))
  await waitFor(() => text.includes(until), { what: `${until} in ${text}` })
  socket.destroy()
  return text
}

test('they are not listed, before and after a failover that they follow at once', async () => {
  const [first, second] = servers
  let ours: readonly number[] = []
  const areThere = async (): Promise<boolean> => {
    ours = await announced(first)
    return ours.length === 1 && (await hidden(first)) === 1
  }
  await waitFor(areThere, { what: 'both links, with a port and with a name' })
  // One for a snapshot alone is as hidden.
  const wire: string[] = []
  await sync(settingsOf(sentinels.address()), {
    output: new PassThrough().resume(),
    onWire: (direction, line) => wire.push(`${direction} ${line}`),
  })
  expect(wire.join('\n')).toContain('ip-address rrep.invalid')
  const heard = await sentinels.hear()
  const infosOf = async (): Promise<number> => await first.client.incr('looked')
  const before = await infosOf()
  // Long enough for each Sentinel to have met them and asked them.
  await waitFor(async () => (await infosOf()) > before + 150, { what: 'some seconds' })
  await waitFor(async () => (await sentinels.listed()).join() === String(second.port), {
    what: `ours to be left out: ${(await sentinels.listed()).join()} of ${ours.join()}`,
  })

  await sentinels.failover()
  await waitFor(
    async () => {
      await second.client.set('after', '1')
      return seen.includes('after') && (await behind.client.get('after')) === '1'
    },
    { what: `the new master: ${JSON.stringify(events)}` },
  )
  expect(relay.count('upstream-full-resync')).toBe(1)
  expect(relay.count('full-resync')).toBe(1)
  expect(await announced(second)).toEqual(ours)
  expect(await hidden(second)).toBe(1)
  await waitFor(() => heard.some((line) => line.startsWith('+failover-end ')), {
    what: 'the end of the failover',
  })
  await waitFor(async () => (await sentinels.listed()).join() === String(first.port), {
    what: `ours to be left out: ${(await sentinels.listed()).join()}`,
  })
  // That they have met a replica they say of each in the INFO of a master.
  const named = heard.filter((line) => ours.some((port) => line.includes(` ${port} `)))
  expect(heard.filter((line) => line.includes('rrep.invalid'))).toEqual([])
  expect(named.filter((line) => !/^\+slave |^\+slave-reconf-/.test(line))).toEqual([])
})

test('the port says what a replica says that is not to be promoted, and gives nothing', async () => {
  const [, master] = servers
  const [port] = await announced(master)
  const told = await answer(port!, ['AUTH any', 'CLIENT SETNAME sentinel', 'INFO', 'ROLE'], '*5')
  expect(told.startsWith('+OK\r\n+OK\r\n')).toBe(true)
  for (const line of ['role:slave', 'slave_priority:0', 'replica_announced:0', 'run_id:']) {
    expect(told).toContain(line)
  }
  expect(told).toContain(`master_port:${master.port}\r\nmaster_link_status:up`)
  const { port: elsewhere } = behind
  const lines = ['MULTI', `SLAVEOF 127.0.0.1 ${elsewhere}`, 'CONFIG REWRITE', 'EXEC', 'INFO']
  const moved = await answer(port!, lines, 'replica_announced')
  expect(moved).toContain('*2\r\n+OK\r\n+OK\r\n')
  expect(moved).toContain(`master_port:${elsewhere}\r\n`)
  // It is a word to ask the Sentinels, and they know better.
  await master.client.set('still', '1')
  await waitFor(() => seen.includes('still'), { what: 'the stream' })
  expect(events.filter(({ event }) => event === 'gap')).toEqual([])
  const refused = [
    'SLAVEOF NO ONE',
    'PSYNC ? -1',
    'PSYNC a 1 FAILOVER',
    'GET a',
    'KEYS *',
    'ECHO end',
  ]
  const replies = await answer(port!, refused, 'end\r\n')
  expect(replies.split('\r\n').filter((line) => line.startsWith('-'))).toHaveLength(5)
})
