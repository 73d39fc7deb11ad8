/** What was said beside the result was not so: a wrong hint, an offset of -1, a load that was none. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { interrupt, runCli } from '../helpers/cli.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'

const DEMO = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-words-'))
const sockets: Socket[] = []
let server: Server
let address: string
/** What each connection is greeted with; nothing makes a mute server. */
let greeting = ''

beforeAll(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => undefined))
    socket.on('data', () => {
      socket.write(greeting)
      server.emit('asked')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  for (const socket of sockets) socket.destroy()
  server.close()
  rmSync(dir, { recursive: true, force: true })
})

test.each(['offset:-5', 'offset:abc', 'offset:99999999999999999999'])(
  '--until %s is refused as an offset, not as a time',
  async (until) => {
    const result = await runCli(['replay', DEMO, 'h', '--until', until])
    expect(result.code).toBe(2)
    expect(result.err).toContain(`--until: not an offset: ${until}`)
    expect(result.err).toContain('offset:N')
  },
)

test('a server that sends newlines for replies is named, and no bug of rrep asked to be reported', async () => {
  greeting = '\n'.repeat(1000)
  const result = await runCli(['replay', DEMO, address, '--retries', '0'])
  greeting = ''
  expect(result.code, result.err).toBe(5)
  expect(result.err).toContain(`${address}: what it says to`)
  expect(result.err).not.toMatch(/report/)
})

test('tail -o that was ended before anything came does not tell an offset of -1', async () => {
  const controller = new AbortController()
  server.once('asked', () => interrupt(controller))
  const result = await runCli(['tail', address, '-o', join(dir, 'archive')], {
    signal: controller.signal,
  })
  expect(result.code).toBe(130)
  expect(result.err).toContain('nothing was kept')
  expect(result.err).not.toContain('-1')
})

test('the process itself ends within a second of Ctrl-C, also while the server keeps its side open', async () => {
  const asked = new Promise((resolve) => server.once('asked', resolve))
  const { child, ended } = spawnRrep(['replay', DEMO, address])
  await asked
  const startMs = performance.now()
  child.kill('SIGINT')
  const { code } = await ended
  expect(code).toBe(130)
  expect(performance.now() - startMs).toBeLessThan(1500)
})

test('--check and --salvage together are refused: damage is either told or gone over', async () => {
  const result = await runCli(['inspect', DEMO, '--check', '--salvage'])
  expect(result.code).toBe(2)
  expect(result.err).toContain('--salvage')
  expect(result.err).toContain('hint: ')
})

test('diff shows a key without a name as such', async () => {
  const empty = join(dir, 'empty-name.rdb')
  const noKeys = join(dir, 'no-keys.rdb')
  const rdb = (keys: string): Buffer =>
    Buffer.from(`REDIS0010${keys}\xff${'\0'.repeat(8)}`, 'latin1')
  writeFileSync(empty, rdb('\xfe\0\0\0\x01v'))
  writeFileSync(noKeys, rdb(''))
  const result = await runCli(['diff', empty, noKeys])
  expect(result.code, result.err).toBe(7)
  expect(result.out).toMatch(/^only in A +db0 ""$/m)
})
