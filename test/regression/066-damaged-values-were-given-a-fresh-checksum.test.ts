/** Values of a file that carries no checksum went to the target by RESTORE with a fresh, right one,
 * whatever they were: some of them stopped the target. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

let dir: string
let target: TestServer
let whole: Buffer
let damaged: Buffer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-066-'))
  const source = await startServer({ args: ['--rdbchecksum', 'no', '--rdbcompression', 'no'] })
  await source.client.hset('hash', { field: 'MARKED-VALUE' })
  await source.client.call('SAVE')
  whole = readFileSync(join(source.dir, 'dump.rdb'))
  await source.stop()
  expect(whole.subarray(-8)).toEqual(Buffer.alloc(8))
  damaged = Buffer.from(whole)
  // The length of a listpack entry, which then reaches behind the end.
  damaged[damaged.indexOf('MARKED-VALUE') - 1] = 0xbf
  target = await startServer()
})
beforeEach(async () => {
  await target.client.flushall()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

test.each([
  ['plain', (bytes: Buffer): Buffer => bytes],
  ['compressed', (bytes: Buffer): Buffer => gzipSync(bytes)],
])('%s: the damage is found, and nothing of the value is written', async (name, pack) => {
  const path = join(dir, `${name}.rdb`)
  const argv = ['replay', path, `127.0.0.1:${target.port}`, '--restore', 'always']
  writeFileSync(path, pack(damaged))
  expect((await runCli(argv)).code).toBe(6)
  expect(await target.client.dbsize()).toBe(0)
  writeFileSync(path, pack(whole))
  expect((await runCli(argv)).code).toBe(0)
  expect(await target.client.hgetall('hash')).toEqual({ field: 'MARKED-VALUE' })
})
