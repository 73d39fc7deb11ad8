/** A user pressed Ctrl-C while a server said nothing, and waited half a minute for the end. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { interrupt, runCli } from '../helpers/cli.js'

const DEMO = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
/** Stands for the address of the server. */
const MUTE = 'MUTE'
const dir = mkdtempSync(join(tmpdir(), 'rrep-mute-'))
let mute: Server
let address: string
const sockets: Socket[] = []

beforeAll(async () => {
  mute = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined))
    mute.emit('asked')
    socket.resume()
  })
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  address = `127.0.0.1:${(mute.address() as AddressInfo).port}`
})

afterAll(() => {
  for (const socket of sockets) socket.destroy()
  mute.close()
  rmSync(dir, { recursive: true, force: true })
})

test.each([
  [['sync', MUTE, '-o', join(dir, 'x.rdb')]],
  [['tail', MUTE]],
  [['tail', MUTE, '--stats']],
  [['tail', MUTE, '-o', join(dir, 'archive')]],
  [['replay', MUTE, MUTE]],
  [['replay', DEMO, MUTE]],
  [['diff', MUTE, MUTE]],
  [['diff', MUTE, DEMO, '--by', 'scan']],
  [['serve', MUTE, '--listen', '127.0.0.1:0']],
])('rrep %j ends within a second', async (args) => {
  const controller = new AbortController()
  let askedMs = 0
  mute.once('asked', () => {
    // Behind what is sent with the connection itself.
    setTimeout(() => {
      askedMs = performance.now()
      interrupt(controller)
    }, 20)
  })
  const result = await runCli(
    args.map((each) => (each === MUTE ? address : each)),
    { signal: controller.signal },
  )
  expect(result.code, result.err).toBe(130)
  expect(askedMs).toBeGreaterThan(0)
  expect(performance.now() - askedMs).toBeLessThan(1000)
})
