/** `rediss://` at a port without TLS waited for the whole --timeout, took it for a busy server and
 * tried again five times: three minutes for a letter too much. */
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

let plain: TestServer
let locked: TestServer

beforeAll(async () => {
  plain = await startServer()
  locked = await startServer({ args: ['--requirepass', 'pw'], password: 'pw' })
})

afterAll(async () => {
  await plain.stop()
  await locked.stop()
})

test.each([
  ['tail', (port: number) => ['tail', `rediss://127.0.0.1:${port}`]],
  ['inspect', (port: number) => ['inspect', `rediss://127.0.0.1:${port}`]],
  ['serve', (port: number) => ['serve', `rediss://127.0.0.1:${port}`, '--listen', '127.0.0.1:0']],
])('%s says at once that the port speaks no TLS', async (_, args) => {
  for (const server of [plain, locked]) {
    const started = performance.now()
    const result = await runCli([...args(server.port), '--timeout', '60s', '--json'])
    expect(result.code).toBe(3)
    expect(result.err).toContain('"error":"ERR_TLS"')
    expect(result.err).toContain('this port speaks no TLS')
    // A bound between one look (a second) and the timeout, of which there were six.
    expect(performance.now() - started).toBeLessThan(30_000)
  }
})

test('a server that takes the connection and says nothing may be busy: that is told', async () => {
  const mute = createServer((socket) => socket.on('error', () => undefined).resume())
  await new Promise<void>((resolve) => void mute.listen(0, '127.0.0.1', resolve))
  const { port } = mute.address() as AddressInfo
  for (const command of ['tail', 'inspect']) {
    const result = await runCli([
      ...[command, `rediss://127.0.0.1:${port}`, '--timeout', '600ms', '--retries', '0'],
    ])
    expect(result.code).toBe(3)
    expect(result.err).toContain('connected, but no TLS answer within 0.6 s')
  }
  await new Promise((resolve) => mute.close(resolve))
})
