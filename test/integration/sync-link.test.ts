/** The link for the long run against real servers: from now on, after failovers, after losses. */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { LinkRecorder, makeLink } from '../helpers/link-recorder.js'
import { startServer, serverBinaries, waitFor, type TestServer } from '../helpers/servers.js'

const running: TestServer[] = []
const proxies: Proxy[] = []

afterEach(async () => {
  for (const proxy of proxies.splice(0)) proxy.stop()
  for (const server of running.splice(0)) await server.stop()
})

async function start(options: Parameters<typeof startServer>[0] = {}): Promise<TestServer> {
  const server = await startServer(options)
  running.push(server)
  return server
}

/** Passes bytes to a server that may change; `cut` breaks what is open. */
interface Proxy {
  port: number
  target: number
  cut(): void
  stop(): void
}

async function startProxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    const upstream = connect(proxy.target, '127.0.0.1')
    for (const each of [socket, upstream]) {
      sockets.add(each)
      each.on('error', () => undefined)
      each.on('close', () => {
        sockets.delete(each)
        socket.destroy()
        upstream.destroy()
      })
    }
    socket.pipe(upstream)
    upstream.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  const proxy: Proxy = {
    port: (server.address() as AddressInfo).port,
    target,
    cut,
    stop: () => {
      cut()
      server.close()
    },
  }
  proxies.push(proxy)
  return proxy
}

async function figure(server: TestServer, name: string): Promise<number> {
  const info = await server.client.info()
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1])
}

async function offsetOf(server: TestServer): Promise<number> {
  return await figure(server, 'master_repl_offset')
}

test.each(serverBinaries().map((binary) => [binary.name, binary] as const))(
  '%s: offsets are the master’s own, through snapshot, stream, cuts and resumes',
  async (_, binary) => {
    const server = await start({ binary })
    await server.client.set('before', '1')
    const proxy = await startProxy(server.port)
    const recorder = new LinkRecorder()
    const link = makeLink(proxy.port, recorder, { purpose: 'stream', retries: 5 })
    const done = link.run()
    await waitFor(() => link.state === 'stream', { what: 'the stream' })
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 200; i += 1) await server.client.incr('counter')
      proxy.cut()
      for (let i = 0; i < 100; i += 1) await server.client.incr('counter')
      await waitFor(async () => recorder.replOffset === (await offsetOf(server)), {
        what: 'the last offset',
      })
    }
    link.stop()
    await done
    expect(recorder.streamFault).toBeUndefined()
    expect(recorder.resyncs).toHaveLength(1)
    expect(recorder.streamStart).toBe(recorder.resyncs[0]!.replOffset + 1)
    expect(recorder.continues.length).toBeGreaterThanOrEqual(3)
    const increments = recorder.stream.toString('latin1').match(/incr\r\n\$7\r\ncounter/gi)
    expect(increments).toHaveLength(900)
    expect(await figure(server, 'sync_full')).toBe(1)
  },
)

test('from now on costs a master with a backlog no fork', async () => {
  const server = await start()
  const first = makeLink(server.port, new LinkRecorder(), { purpose: 'stream' })
  const firstDone = first.run()
  await waitFor(() => first.state === 'stream', { what: 'a first replica' })
  const forks = await figure(server, 'total_forks')
  const recorder = new LinkRecorder()
  const link = makeLink(server.port, recorder, { purpose: 'stream', start: 'now' })
  const done = link.run()
  await waitFor(() => link.state === 'stream', { what: 'the stream' })
  await server.client.set('a', 'b')
  await waitFor(() => recorder.stream.includes('SET') || recorder.stream.includes('set'), {
    what: 'the write',
  })
  for (const each of [link, first]) each.stop()
  await Promise.all([done, firstDone])
  expect(recorder.plans).toEqual(['partial'])
  expect(await figure(server, 'total_forks')).toBe(forks)
  expect(recorder.resyncs).toEqual([])
})

test('from now on without a backlog is an empty snapshot, and the stream begins with SELECT', async () => {
  const server = await start()
  await server.client.set('large', 'x'.repeat(100_000))
  const recorder = new LinkRecorder()
  const link = makeLink(server.port, recorder, {
    purpose: 'stream',
    start: 'now',
    allowFullResync: false,
  })
  const done = link.run()
  await waitFor(() => link.state === 'stream', { what: 'the stream' })
  await server.newClient(5).set('a', 'b')
  await waitFor(() => recorder.stream.includes('SELECT'), { what: 'the write' })
  link.stop()
  await done
  expect(recorder.plans).toEqual(['empty-snapshot'])
  expect(recorder.resyncs[0]?.content).toBe('empty')
  expect(recorder.snapshot.length).toBeLessThan(400)
})

test('after a failover the stream goes on under the new id, on the promoted replica', async () => {
  const old = await start()
  await old.client.set('a', '1')
  const replica = await start({ args: ['--replicaof', '127.0.0.1', String(old.port)] })
  await waitFor(async () => (await replica.client.info()).includes('master_link_status:up'), {
    what: 'the replica',
  })
  const proxy = await startProxy(old.port)
  const recorder = new LinkRecorder()
  const link = makeLink(proxy.port, recorder, { purpose: 'stream', retries: 5 })
  const done = link.run()
  await waitFor(() => link.state === 'stream', { what: 'the stream' })
  const before = recorder.replid
  await old.client.set('b', '2')
  await waitFor(async () => (await offsetOf(replica)) === (await offsetOf(old)), {
    what: 'the replica to catch up',
  })
  await waitFor(async () => recorder.replOffset === (await offsetOf(old)), {
    what: 'the link to catch up',
  })
  proxy.target = replica.port
  await replica.client.replicaof('NO', 'ONE')
  await old.kill()
  proxy.cut()
  await replica.client.set('c', '3')
  await waitFor(() => recorder.stream.includes('\r\nc\r\n'), { what: 'the write behind it' })
  link.stop()
  await done
  expect(recorder.streamFault).toBeUndefined()
  expect(recorder.resyncs).toHaveLength(1)
  expect(recorder.continues.at(-1)).toMatchObject({ previousReplid: before })
  expect(recorder.replid).not.toBe(before)
  expect(await figure(replica, 'sync_full')).toBe(0)
})

test('a master that was restarted makes a new snapshot, or is refused one', async () => {
  const server = await start()
  await server.client.set('a', '1')
  const proxy = await startProxy(server.port)
  const recorder = new LinkRecorder()
  const link = makeLink(proxy.port, recorder, { purpose: 'stream', retries: 8 })
  const strict = new LinkRecorder()
  const strictLink = makeLink(proxy.port, strict, {
    purpose: 'stream',
    start: 'now',
    retries: 8,
    allowFullResync: false,
  })
  const done = link.run()
  await waitFor(() => link.state === 'stream', { what: 'the stream' })
  const strictDone = strictLink.run()
  strictDone.catch(() => undefined)
  await waitFor(() => strictLink.state === 'stream', { what: 'the second stream' })
  // What is not saved is lost, and with it the history.
  await server.kill()
  await server.restart()
  await expect(strictDone).rejects.toMatchObject({ code: 'ERR_FULL_RESYNC_NEEDED' })
  await waitFor(() => recorder.ends.length === 2, { what: 'the second snapshot' })
  link.stop()
  await done
  expect(recorder.resyncs[1]?.refusedResume?.replid).toBe(recorder.resyncs[0]?.replid)
  expect(strict.resyncs).toEqual([])
})

test('true offsets answer WAIT, fsynced ones WAITAOF, and by default neither', async () => {
  const binary = serverBinaries().find(({ name }) => name.startsWith('redis-8'))
  const server = await start(binary === undefined ? {} : { binary, args: ['--appendonly', 'yes'] })
  const recorder = new LinkRecorder()
  const link = makeLink(server.port, recorder, { purpose: 'stream' })
  const done = link.run()
  await waitFor(() => link.state === 'stream', { what: 'the stream' })
  await server.client.set('a', '1')
  expect(await server.client.call('WAIT', '1', '300')).toBe(0)
  recorder.ackOffsets = () => ({ ack: recorder.replOffset })
  await server.client.set('a', '2')
  expect(await server.client.call('WAIT', '1', '3000')).toBe(1)
  if (binary !== undefined) {
    recorder.ackOffsets = () => ({ ack: 0, fack: recorder.replOffset })
    await server.client.set('a', '3')
    // [its own AOF, replicas]
    const counted = (await server.client.call('WAITAOF', '0', '1', '3000')) as number[]
    expect(counted[1]).toBe(1)
  }
  link.stop()
  await done
})
