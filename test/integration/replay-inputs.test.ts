/** replay and diff: what is fed to them and how it is named. Pipes, passwords in addresses, filters
 * that go by values, directories that are not there. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  createWriteStream,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { interrupt, runCli } from '../helpers/cli.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

const { TMPDIR } = process.env
let dir: string
let scratch: string
let target: TestServer
let address: string
let rdb: string
let aof: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-inputs-'))
  scratch = mkdtempSync(join(tmpdir(), 'rrep-inputs-tmp-'))
  const source = await startServer()
  target = await startServer()
  address = `127.0.0.1:${target.port}`
  const { client } = source
  await client.mset('small', 'x', 'large', randomBytes(5000))
  await client.rpush('long', ...Array.from({ length: 2000 }, (_, i) => `element ${i}`))
  await client.rpush('short', 'one')
  await client.set('timed', 'x', 'EX', 1000)
  rdb = join(dir, 'dump.rdb')
  expect((await runCli(['sync', `127.0.0.1:${source.port}`, '-o', rdb])).code).toBe(0)
  await source.stop()
  aof = join(dir, 'one.aof')
  writeFileSync(aof, Buffer.concat([encodeCommand('SELECT', '0'), encodeCommand('SET', 'a', '1')]))
})
beforeEach(async () => {
  process.env['TMPDIR'] = scratch
  await target.client.flushall()
})
afterAll(async () => {
  process.env['TMPDIR'] = TMPDIR
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
  rmSync(scratch, { recursive: true, force: true })
})

/** A fifo that gets the bytes once somebody reads it. */
function fifoOf(name: string, bytes: Uint8Array): { path: string; written: Promise<void> } {
  const path = join(dir, name)
  execFileSync('mkfifo', [path])
  const written = pipeline(new PassThrough().end(bytes), createWriteStream(path))
  return { path, written }
}

describe('a pipe by its name, as <(…) of a shell gives', () => {
  test('is compared: what is read twice is copied first', async () => {
    const { path, written } = fifoOf('a.fifo', readFileSync(rdb))
    const result = await runCli(['diff', path, rdb])
    await written
    expect(result.err).toContain('same')
    expect(result.code).toBe(0)
    expect(readdirSync(scratch)).toEqual([])
  })

  test('is replayed from its first byte to its last', async () => {
    const { path, written } = fifoOf('b.fifo', readFileSync(rdb))
    const result = await runCli(['replay', path, address])
    await written
    expect(result.code).toBe(0)
    expect((await runCli(['diff', rdb, address])).code).toBe(0)
  })

  test('cannot be read again for --verify', async () => {
    execFileSync('mkfifo', [join(dir, 'c.fifo')])
    const result = await runCli(['replay', join(dir, 'c.fifo'), address, '--verify'])
    expect(result.err).toContain('not with a pipe')
    expect(result.code).toBe(2)
  })
})

describe('a password in an address', () => {
  test.each([
    ['diff', 'redis://user:secret@127.0.0.1:1', '/dev/null', '--until', 'offset:1'],
    ['diff', 'redis//user:secret@127.0.0.1:1/x', '/dev/null'],
    ['inspect', 'redis://user:secret@127.0.0.1:1', '--retries', '0'],
    ['export', 'redis://user:secret@127.0.0.1:1', '-o', '-', '--retries', '0'],
    ['replay', 'redis//user:secret@127.0.0.1:1/x', 'redis://user:secret@127.0.0.1:1'],
  ])('%s %s … is masked where that cannot be', async (...argv) => {
    for (const option of ['--debug', '--json']) {
      const { code, out, err } = await runCli([...argv, option, '--retries', '1'])
      expect(code).not.toBe(0)
      expect(err).toContain('127.0.0.1:1')
      expect(out + err).not.toContain('secret')
    }
  })

  test('does not stand beside the spinner', async () => {
    await target.client.call('ACL', 'SETUSER', 'full', 'on', '>secret', '~*', '&*', '+@all')
    const argv = ['diff', `redis://full:secret@${address}`, rdb]
    // Standard input is waited for with the server in the line.
    argv[2] = '-'
    const stdin = new PassThrough()
    let shown = ''
    const onStderr = (chunk: Buffer): void => {
      shown += chunk.toString()
      if (/sync [^ ]*127/.test(shown) && !stdin.writableEnded) stdin.end(readFileSync(rdb))
    }
    const { err, code } = await runCli(argv, { tty: true, stdin, onStderr })
    expect(code).toBe(7)
    expect(err).toContain(`sync ${address}`)
    expect(err).not.toContain('secret')
  })
})

describe('--min-size', () => {
  test('takes the keys of a snapshot whose values have it; the others are skipped', async () => {
    const { code, out } = await runCli(['replay', rdb, address, '--min-size', '2kb', '--json'])
    expect(code).toBe(0)
    expect((await target.client.keys('*')).sort()).toEqual(['large', 'long'])
    expect(JSON.parse(out)).toMatchObject({
      complete: true,
      keys: { read: 5, written: 2, skipped: 3, failed: 0 },
    })
    expect(await target.client.llen('long')).toBe(2000)
    const all = await runCli(['replay', rdb, address, '--min-size', '1', '--on-conflict', 'skip'])
    expect(all.code).toBe(0)
    expect((await runCli(['diff', rdb, address])).code).toBe(0)
  })

  test.each(['--min-size=2kb', '--ttl=none'])(
    '%s is refused where commands follow, before anything is deleted',
    async (option) => {
      await target.client.set('mine', '1')
      for (const source of [aof, 'redis://127.0.0.1:1']) {
        const argv = ['replay', source, address, '--empty-target', '--yes', option]
        const { code, err } = await runCli(argv)
        expect(err).toContain('is for a snapshot')
        expect(code).toBe(2)
      }
      expect(await target.client.exists('mine')).toBe(1)
      const piped = await runCli(['replay', '-', address, option], { stdin: readFileSync(aof) })
      expect(piped.code).toBe(2)
      expect(await target.client.exists('a')).toBe(0)
    },
  )

  test('cannot be compared by', async () => {
    const verified = ['replay', rdb, address, '--min-size', '2kb', '--verify']
    expect((await runCli(verified)).code).toBe(2)
    expect((await runCli(['diff', rdb, rdb, '--min-size', '2kb'])).code).toBe(2)
  })
})

test('--verify and --dry-run do not go together', async () => {
  expect((await runCli(['replay', rdb, address, '--dry-run', '--verify'])).code).toBe(2)
})

test('a slow --rate does not hold up an interruption', async () => {
  const many = join(dir, 'many.aof')
  const commands = Array.from({ length: 20_000 }, (_, i) => encodeCommand('SET', `k${i}`, 'v'))
  writeFileSync(many, Buffer.concat(commands))
  const controller = new AbortController()
  const running = runCli(['replay', many, address, '--rate', '100'], { signal: controller.signal })
  await waitFor(async () => (await target.client.dbsize()) > 0, { what: 'the first batch' })
  interrupt(controller)
  expect((await running).code).toBe(130)
})

test('an interruption while standard input is still to come is one', async () => {
  const controller = new AbortController()
  const stdin = new PassThrough()
  stdin.write(readFileSync(rdb).subarray(0, 100))
  const running = runCli(['diff', '-', rdb], { stdin, signal: controller.signal })
  await waitFor(() => Promise.resolve(readdirSync(scratch).length > 0), { what: 'the copy' })
  interrupt(controller)
  expect((await running).code).toBe(130)
  expect(readdirSync(scratch)).toEqual([])
})

test('a temporary directory that is not there is said', async () => {
  process.env['TMPDIR'] = join(dir, 'nowhere')
  const { code, err } = await runCli(['diff', rdb, rdb])
  expect(err).toContain('TMPDIR')
  expect(code).toBe(1)
})

test('a part that a manifest names and that is not there is said', async () => {
  const broken = mkdtempSync(join(dir, 'broken-'))
  writeFileSync(join(broken, 'appendonly.aof.manifest'), 'file gone.aof seq 1 type i\n')
  for (const until of [[], ['--until', 'offset:4']]) {
    const { code, err } = await runCli(['diff', broken, rdb, ...until])
    expect(err).toContain('gone.aof')
    expect([1, 6]).toContain(code)
  }
})

test('the checkpoint of an earlier replay in an AOF is a key like others', async () => {
  const path = join(dir, 'checkpoint.aof')
  const other = join(dir, 'other.aof')
  const head = encodeCommand('SELECT', '0')
  writeFileSync(path, Buffer.concat([head, encodeCommand('HSET', 'rrep:checkpoint', 'a', '1')]))
  writeFileSync(other, Buffer.concat([head, encodeCommand('HSET', 'rrep:checkpoint', 'a', '2')]))
  expect((await runCli(['diff', path, path])).err).toContain('1 key,')
  expect((await runCli(['diff', path, other])).code).toBe(7)
})
