/** The examples of src/README.md do what they say, with a server; and two promises of the library. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import {
  checkRdb,
  diff,
  exportKeys,
  inspect,
  InputError,
  sync,
  tail,
  watch,
} from '../../src/index.js'
import { follow as followMaster } from '../helpers/serving.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import * as example from './examples.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-examples-'))
const dump = join(dir, 'dump.rdb')
let master: TestServer
let other: TestServer
let address: string

beforeAll(async () => {
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
  ;[master, other] = await Promise.all([startServer(), startServer()])
  address = `redis://127.0.0.1:${master.port}`
  await master.client.hset('user:1', { name: 'x', age: '7' })
  await master.client.set('counter', '1')
  await master.client.rpush('list', 'a', 'b')
})

afterAll(async () => {
  vi.restoreAllMocks()
  await Promise.all([master.stop(), other.stop()])
  rmSync(dir, { recursive: true, force: true })
})

test('a snapshot, its keys, where the memory goes, and another form of it', async () => {
  expect(await example.snapshot(address, dump)).toBeGreaterThan(50)
  expect(await example.read(dump)).toBeGreaterThan(10)
  expect(await example.look(dump)).toBe(3)
  expect(await example.asLines(dump, join(dir, 'keys.jsonl'))).toBe(3)
  expect(readFileSync(join(dir, 'keys.jsonl'), 'utf8').trim().split('\n')).toHaveLength(3)
})

test('the stream: looked at, and kept', async () => {
  const writing = setInterval(() => void master.client.incr('counter'), 20)
  try {
    expect(await example.follow(address, 3)).toEqual(['incr', 'incr', 'incr'])
    expect(await example.keep(address, join(dir, 'archive'))).toBe(1)
  } finally {
    clearInterval(writing)
  }
  const kept: string[] = []
  for await (const { args } of tail(join(dir, 'archive'))) kept.push(String(args[0]))
  expect(kept).toContain('incr')
})

test('another server, and a replica of a file', async () => {
  expect(await example.migrate(address, `127.0.0.1:${other.port}`)).toBe(true)
  expect(await digest(other)).toBe(await digest(master))
  const replica = await startServer()
  await example.beMaster(dump, async (port) => {
    await followMaster(replica, port)
    await waitFor(async () => (await replica.client.dbsize()) === 3, { what: 'the keys' })
  })
  await replica.stop()
})

test('damage rejects, with what was read before it', async () => {
  const broken = join(dir, 'broken.rdb')
  const bytes = readFileSync(dump)
  writeFileSync(broken, bytes.subarray(0, bytes.length - 20))
  expect(await example.meetDamage(broken)).toMatch(/^ERR_RDB_TRUNCATED: /)
  const error: unknown = await checkRdb(broken).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(InputError)
  expect((error as InputError).partial).toMatchObject({ complete: false, file: broken })
  const exporting = exportKeys(broken, { output: join(dir, 'broken.jsonl') })
  const partOf = { keysRead: 2, keysWritten: 2, checksum: 'unchecked' }
  await expect(exporting).rejects.toMatchObject({ partial: partOf })
  const compared = diff(dump, broken)
  const sides = { a: { keys: 3 }, b: { keys: 2 }, same: false, trusted: false }
  await expect(compared).rejects.toMatchObject({ partial: sides })
  const salvaged = await inspect(broken, { salvage: true })
  expect(salvaged.error?.code).toBe('ERR_RDB_TRUNCATED')
})

test('a call that is aborted rejects with the reason of the signal', async () => {
  const mine = new Error('enough')
  const stop = new AbortController()
  const watching = watch(address, { signal: stop.signal, onEvent: () => stop.abort(mine) })
  await expect(watching).rejects.toBe(mine)
  const file = join(dir, 'never.rdb')
  await expect(sync(address, { output: file, signal: AbortSignal.abort() })).rejects.toMatchObject({
    name: 'AbortError',
  })
  const loop = async (): Promise<void> => {
    for await (const { args } of tail(address, { signal: AbortSignal.abort(mine) })) {
      expect(args).toEqual([])
    }
  }
  await expect(loop()).rejects.toBe(mine)
})

test('a loop over the stream that is left closes its line; one that is slow loses nothing', async () => {
  const links = async (): Promise<number> =>
    Number(/connected_slaves:(\d+)/.exec(await master.client.info('replication'))![1])
  await waitFor(async () => (await links()) === 0, { what: 'no links' })
  const writing = setInterval(() => {
    for (let i = 0; i < 50; i += 1) void master.client.set('big', 'x'.repeat(100_000))
  }, 5)
  let last = -1
  let bytes = 0
  for await (const { args, offset } of tail(address)) {
    expect(offset).toBeGreaterThan(last)
    last = offset
    for (const arg of args) bytes += arg.length
    if (bytes > 30 << 20) break
    if (bytes < 4 << 20) await new Promise((resolve) => setTimeout(resolve, 2))
  }
  clearInterval(writing)
  await waitFor(async () => (await links()) === 0, { what: 'the line to be closed' })
})
