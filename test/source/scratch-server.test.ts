/** The server that diff keeps for a while: private, and gone with its owner however that ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, afterEach, expect, test } from 'vitest'
import { startScratchServer } from '../../src/source/scratch-server.js'
import { waitFor } from '../helpers/servers.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-scratch-test-'))
const { PATH, TMPDIR } = process.env
process.env['TMPDIR'] = scratch
afterEach(() => {
  process.env['PATH'] = PATH
  process.env['TMPDIR'] = scratch
})
afterAll(() => {
  process.env['TMPDIR'] = TMPDIR
  rmSync(scratch, { recursive: true, force: true })
})

/** tsx keeps a cache there, too. */
function left(): string[] {
  return readdirSync(scratch).filter((name) => !name.startsWith('tsx'))
}

async function answers(path: string): Promise<boolean> {
  const client = new Redis({ path, lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.ping()
    return true
  } catch {
    return false
  } finally {
    client.disconnect()
  }
}

test('it answers on a socket that only its owner can reach, on no port, and leaves nothing', async () => {
  const server = await startScratchServer({})
  const path = server.settings.address.socketPath!
  const client = new Redis({ path })
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
  const config = await client.config('GET', 'port')
  expect(config).toEqual(['port', '0'])
  expect(await client.config('GET', 'save')).toEqual(['save', ''])
  expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', 'no'])
  client.disconnect()
  await server.stop()
  expect(await answers(path)).toBe(false)
  expect(left()).toEqual([])
  await server.stop()
})

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'it goes when its owner is ended by %s',
  async (signal) => {
    const owner = spawn(
      process.execPath,
      ['--import', 'tsx', join(import.meta.dirname, '../helpers/scratch-entry.ts')],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = (await once(owner.stdout, 'data')) as [Buffer]
    const path = line.toString().trim()
    expect(await answers(path)).toBe(true)
    owner.kill(signal)
    await waitFor(() => !existsSync(dirname(path)), { what: 'the directory to go' })
    expect(await answers(path)).toBe(false)
  },
)

test('a server that does not start is named with what it said', async () => {
  await expect(startScratchServer({ program: '/bin/true' })).rejects.toMatchObject({
    code: 'ERR_USAGE',
  })
  await expect(startScratchServer({ program: '/nowhere/redis-server' })).rejects.toMatchObject({
    code: 'ERR_USAGE',
  })
  process.env['PATH'] = '/nowhere'
  await expect(startScratchServer({})).rejects.toMatchObject({
    code: 'ERR_NO_SERVER',
    hint: expect.stringContaining('`withServer`') as string,
  })
  expect(left()).toEqual([])
})

test('a temporary directory whose name is long is no hindrance', async () => {
  const long = join(scratch, 'x'.repeat(120))
  mkdirSync(long)
  process.env['TMPDIR'] = long
  const server = await startScratchServer({})
  expect(await answers(server.settings.address.socketPath!)).toBe(true)
  await server.stop()
  expect(existsSync(dirname(server.settings.address.socketPath!))).toBe(false)
  rmSync(long, { recursive: true })
})

test('an abort while it starts leaves nothing', async () => {
  const controller = new AbortController()
  controller.abort()
  await expect(startScratchServer({ signal: controller.signal })).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  })
  expect(left()).toEqual([])
})
