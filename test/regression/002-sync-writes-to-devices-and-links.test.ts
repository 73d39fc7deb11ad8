/** `sync -o` put a plain file in place of a device, a named pipe or a symbolic link. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { runCli, type CliResult } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

let server: TestServer
let root: string
let dir: string

beforeAll(async () => {
  server = await startServer()
  await server.client.set('a', 'x'.repeat(200_000))
  root = mkdtempSync(join(tmpdir(), 'rrep-nodes-'))
})

beforeEach(() => {
  dir = mkdtempSync(join(root, 'case-'))
})

afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

async function sync(output: string, ...options: string[]): Promise<CliResult> {
  return await runCli(['sync', `127.0.0.1:${server.port}`, '-o', join(dir, output), ...options])
}

test.for([{ options: [] }, { options: ['--compress', 'gzip'] }])(
  'a device is written to and stays a device $options',
  async ({ options }, context) => {
    // As /dev/null and /dev/full are, but nobody else's.
    const made = ['3', '7'].map((minor) =>
      spawnSync('mknod', [join(dir, `device-${minor}`), 'c', '1', minor]),
    )
    if (made.some(({ status }) => status !== 0)) {
      context.skip('no right to make devices here')
      return
    }
    expect(await sync('device-3', ...options)).toMatchObject({ code: 0 })
    const full = await sync('device-7', ...options)
    expect(full.code).toBe(1)
    expect(full.err).toContain('no space left on the disk')
    for (const name of readdirSync(dir)) {
      expect(lstatSync(join(dir, name)).isCharacterDevice()).toBe(true)
    }
    expect(readdirSync(dir)).toHaveLength(2)
  },
)

test.each([[[]], [['--compress', 'gzip']]])(
  'a named pipe is written to, and waits for its reader %j',
  async (options) => {
    execFileSync('mkfifo', [join(dir, 'pipe')])
    const written = sync('pipe', ...options)
    const bytes = await buffer(createReadStream(join(dir, 'pipe')))
    expect(await written).toMatchObject({ code: 0 })
    const rdb = options.length === 0 ? bytes : gunzipSync(bytes)
    expect(rdb.toString('latin1', 0, 5)).toBe('REDIS')
    expect(lstatSync(join(dir, 'pipe')).isFIFO()).toBe(true)
  },
)

test('a named pipe that nobody reads does not hold an interrupted run', async () => {
  execFileSync('mkfifo', [join(dir, 'pipe')])
  const controller = new AbortController()
  const address = `127.0.0.1:${server.port}`
  const written = runCli(['sync', address, '-o', join(dir, 'pipe')], { signal: controller.signal })
  setImmediate(() => controller.abort('SIGTERM'))
  expect((await written).code).toBe(143)
})

test('a symbolic link is followed, also to what is not there yet', async () => {
  writeFileSync(join(dir, 'old.rdb'), 'old')
  symlinkSync('old.rdb', join(dir, 'link'))
  symlinkSync('new.rdb.gz', join(dir, 'ahead'))
  expect(await sync('link')).toMatchObject({ code: 0 })
  expect(await sync('ahead', '--compress', 'gzip')).toMatchObject({ code: 0 })
  expect(readlinkSync(join(dir, 'link'))).toBe('old.rdb')
  expect(readFileSync(join(dir, 'old.rdb')).toString('latin1', 0, 5)).toBe('REDIS')
  expect(existsSync(join(dir, 'new.rdb.gz'))).toBe(true)
  expect(readdirSync(dir).sort()).toEqual(['ahead', 'link', 'new.rdb.gz', 'old.rdb'])
})

test('a socket is refused and stays', async () => {
  const listener = createServer().listen(join(dir, 's'))
  await new Promise((resolve) => listener.once('listening', resolve))
  const { code, err } = await sync('s')
  expect([code, err]).toEqual([1, expect.stringContaining('it is a socket')])
  expect(lstatSync(join(dir, 's')).isSocket()).toBe(true)
  listener.close()
})

test('export follows links and packs by name as sync does', async () => {
  await sync('dump.rdb.gz')
  expect(readFileSync(join(dir, 'dump.rdb.gz')).subarray(0, 2)).toEqual(gzipSync('').subarray(0, 2))
  symlinkSync('keys.jsonl.gz', join(dir, 'link.jsonl.gz'))
  const source = join(dir, 'dump.rdb.gz')
  const exported = await runCli(['export', source, '-o', join(dir, 'link.jsonl.gz')])
  expect([exported.code, exported.err]).toEqual([0, expect.any(String)])
  const line = JSON.parse(gunzipSync(readFileSync(join(dir, 'keys.jsonl.gz'))).toString()) as object
  expect(line).toMatchObject({ key: 'a', value: 'x'.repeat(200_000) })
  const refused = await runCli(['export', source, '-o', join(dir, 'x.arrow')])
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('.arrow')])
  const packed = await sync('x.rdb.xz')
  expect([packed.code, packed.err]).toEqual([2, expect.stringContaining('.xz')])
})

test('a name of 255 bytes can be a target, a longer one is told', async () => {
  const name = `${'n'.repeat(251)}.rdb`
  expect(await sync(name)).toMatchObject({ code: 0 })
  expect(readdirSync(dir)).toEqual([name])
  const tooLong = await sync(`n${name}`)
  expect([tooLong.code, tooLong.err]).toEqual([1, expect.stringContaining('the name is too long')])
})
