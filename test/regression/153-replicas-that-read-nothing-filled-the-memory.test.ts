/** Replicas that ask for a snapshot and read nothing must hold little of a relay's memory. */
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { startServeProcess, type ServeProcess } from '../helpers/serve-process.js'
import { follow } from '../helpers/serving.js'

const REPLICAS = 100
/** Each held a megabyte before. */
const MAX_GROWTH_BYTES = 60 << 20
let master: TestServer
let relay: ServeProcess
const sockets: Socket[] = []

beforeAll(async () => {
  master = await startServer({ args: ['--rdbcompression', 'no'] })
  // More than the sockets of both sides take.
  await master.client.call('DEBUG', 'POPULATE', '16000', 'key', '1000')
  relay = await startServeProcess([`127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0'])
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
})

afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  await relay.kill('SIGKILL')
  await master.stop()
})

test('a hundred replicas in full sync that read nothing cost no megabyte each', async () => {
  const before = relay.rssBytes()
  for (let index = 0; index < REPLICAS; index += 1) {
    const socket = connect(relay.port, '127.0.0.1')
    socket.pause()
    socket.on('error', () => undefined)
    socket.write('PSYNC ? -1\r\n')
    sockets.push(socket)
  }
  await waitFor(() => relay.count('full-resync') === REPLICAS, {
    what: 'the full resyncs',
    timeoutMs: 60_000,
  })
  // A healthy one gets everything beside them, and by then they have all that they take.
  const replica = await startServer()
  try {
    await follow(replica, relay.port, 30_000)
    expect(await digest(replica)).toBe(await digest(master))
  } finally {
    await replica.stop()
  }
  expect(relay.peakRssBytes() - before).toBeLessThan(MAX_GROWTH_BYTES)
})
