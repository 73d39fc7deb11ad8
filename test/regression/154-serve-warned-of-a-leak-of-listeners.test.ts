/** Node told of a possible memory leak on serve's stderr: a listener was left behind each wait. */
import { connect, type Socket } from 'node:net'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { parseInfo, startServing, upstreamOf, type Serving } from '../helpers/serving.js'

/** One more than Node takes for right. */
const TIMES = 11
const warnings: string[] = []
const onWarning = (warning: Error): void => void warnings.push(warning.message)
let master: TestServer
let relay: Serving

beforeAll(async () => {
  process.on('warning', onWarning)
  master = await startServer({ args: ['--requirepass', 'right'], password: 'right' })
  relay = await startServing({ source: { kind: 'server', server: upstreamOf(master, 'right') } })
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
})

afterAll(async () => {
  process.off('warning', onWarning)
  await relay.stop()
  await master.stop()
})

test('replicas that are ahead of the relay wait without a warning', async () => {
  const asking = new Redis({ port: relay.port, host: '127.0.0.1' })
  const field = async (name: string): Promise<string> =>
    parseInfo(await asking.info('replication')).get(name)!
  const replid = await field('master_replid')
  const sockets: Socket[] = []
  for (let index = 0; index < TIMES; index += 1) {
    const socket = connect(relay.port, '127.0.0.1')
    socket.write(`PSYNC ${replid} 100000000\r\n`)
    sockets.push(socket)
  }
  const histlen = async (): Promise<number> => Number(await field('repl_backlog_histlen'))
  await waitFor(async () => Number(await field('connected_slaves')) === TIMES, { what: 'them' })
  // Each write wakes them, and they see that it is not enough.
  for (let time = 0; time <= TIMES; time += 1) {
    const before = await histlen()
    await master.client.set('key', time)
    await waitFor(async () => (await histlen()) > before, { what: 'the write' })
  }
  expect(Number(await field('connected_slaves'))).toBe(TIMES)
  expect(relay.count('full-resync')).toBe(0)
  asking.disconnect()
  for (const socket of sockets) socket.destroy()
  expect(warnings).toEqual([])
})

test('an upstream that refuses us again and again is asked without a warning', async () => {
  const stranger = upstreamOf(master, 'wrong')
  for (let time = 1; time <= TIMES; time += 1) {
    relay.handle.follow(stranger)
    await waitFor(() => relay.count('upstream-lost') >= time, { what: 'the refusal' })
  }
  relay.handle.follow(upstreamOf(master, 'right'))
  await waitFor(() => relay.count('upstream-continued') === 1, { what: 'the link' })
  expect(warnings).toEqual([])
})
