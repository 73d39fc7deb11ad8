/** replay --empty-target deleted everything in the target, and then found that the source could not
 * be loaded: seven sources of seven, and a file of 0 bytes ended with 0. */
import { gzipSync } from 'node:zlib'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { runCli } from '../helpers/cli.js'
import { freePort, startServer, type TestServer } from '../helpers/servers.js'

let dir: string
let target: TestServer
let source: TestServer
let whole: Buffer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-060-'))
  source = await startServer({ args: ['--requirepass', 'secret'], password: 'secret' })
  target = await startServer()
  await source.client.mset('a', '1', 'b', '2')
  await source.client.rpush('list', 'x', 'y', 'z')
  await source.client.call('SAVE')
  whole = readFileSync(join(source.dir, 'dump.rdb'))
})
beforeEach(async () => {
  await target.client.flushall()
  await target.client.set('mine', 'kept')
})
afterAll(async () => {
  await target.stop()
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(dir, name)
  writeFileSync(path, bytes)
  return path
}

async function load(
  from: string,
  options: Parameters<typeof runCli>[1] = {},
  more: readonly string[] = [],
): Promise<number> {
  const argv = ['replay', from, `127.0.0.1:${target.port}`, '--empty-target', '--yes', ...more]
  return (await runCli([...argv, '--retries', '0'], options)).code
}

describe('the target is as it was, and the exit status says why, where the source is', () => {
  const with_ = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(whole)
    change(bytes)
    return bytes
  }
  const SET = encodeCommand('SET', 'k', 'v')
  test.each<readonly [string, () => Uint8Array, number]>([
    ['no RDB', () => Buffer.from('root:x:0:0:root\n'), 6],
    ['empty', () => Buffer.alloc(0), 6],
    ['cut short', () => whole.subarray(0, whole.length - 20), 6],
    ['of a wrong checksum', () => with_((bytes) => bytes.fill(1, whole.length - 8)), 6],
    ['of an unknown RDB version', () => with_((bytes) => bytes.write('0999', 5)), 6],
    ['compressed and damaged', () => gzipSync(whole).subarray(0, 40), 6],
    ['an RDB with garbage behind it', () => Buffer.concat([whole, Buffer.from('garbage')]), 6],
    ['an append-only file with a hole', () => Buffer.concat([SET, Buffer.alloc(9), SET]), 6],
  ])('a file: %s', async (name, bytes, code) => {
    expect(await load(fileOf(name.replaceAll(' ', '-'), bytes()))).toBe(code)
    expect(await target.client.get('mine')).toBe('kept')
    expect(await target.client.dbsize()).toBe(1)
  })

  test('standard input cut short', async () => {
    expect(await load('-', { stdin: whole.subarray(0, whole.length - 20) })).toBe(6)
    expect(await target.client.dbsize()).toBe(1)
  })

  test('a server that is down', async () => {
    expect(await load(`127.0.0.1:${await freePort()}`)).toBe(3)
    expect(await target.client.dbsize()).toBe(1)
  })

  test('a server that wants a password', async () => {
    expect(await load(`127.0.0.1:${source.port}`)).toBe(4)
    expect(await target.client.dbsize()).toBe(1)
  })

  test('a replica without a link to its master', async () => {
    await source.client.call('CONFIG', 'SET', 'replica-serve-stale-data', 'yes')
    await source.client.call('REPLICAOF', '127.0.0.1', await freePort())
    try {
      const options = { env: { REDISCLI_AUTH: 'secret' } }
      expect(await load(`127.0.0.1:${source.port}`, options, ['--timeout', '2s'])).toBe(3)
      expect(await target.client.dbsize()).toBe(1)
    } finally {
      await source.client.call('REPLICAOF', 'NO', 'ONE')
    }
  })
})

describe('what is whole is loaded into an empty target', () => {
  test('a file', async () => {
    expect(await load(fileOf('whole.rdb', whole))).toBe(0)
    expect(await target.client.dbsize()).toBe(3)
  })

  test('standard input', async () => {
    expect(await load('-', { stdin: whole })).toBe(0)
    expect(await target.client.dbsize()).toBe(3)
  })

  test('a live server', async () => {
    const options = { env: { REDISCLI_AUTH: 'secret' } }
    expect(await load(`127.0.0.1:${source.port}`, options, ['--until-synced'])).toBe(0)
    expect(await target.client.dbsize()).toBe(3)
  })
})

test('a file of 0 bytes is an error for replay, as for inspect', async () => {
  const empty = fileOf('nothing.rdb', Buffer.alloc(0))
  const { code, err } = await runCli(['replay', empty, `127.0.0.1:${target.port}`])
  expect(code).toBe(6)
  expect(err).toContain('the file is empty')
})
