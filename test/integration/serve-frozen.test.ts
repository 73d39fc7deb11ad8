/** Files and archives as masters: append-only files at any of their moments, and what comes after. */
import { randomBytes } from 'node:crypto'
import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { FIXTURES } from '../helpers/fixtures.js'
import { comparable, expectedRows, serverRows } from '../helpers/server-state.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { follow, replicationInfo, startServing, type Serving } from '../helpers/serving.js'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startReplica(prefix = '', args: string[] = []): Promise<TestServer> {
  const binary = prefix === '' ? undefined : serverBinary(prefix)
  const options = { args: ['--databases', '16385', ...args] }
  const replica = await startServer(binary === undefined ? options : { ...options, binary })
  cleanups.push(() => replica.stop())
  return replica
}

async function serveFile(path: string, until?: { unixMs: number }, port = 0): Promise<Serving> {
  const serving = await startServing({
    source: path,
    until,
    listen: { host: '127.0.0.1', port },
  })
  cleanups.push(() => serving.stop())
  return serving
}

/** A dump of 500 keys, some of them with expiries, by Redis 7.0. */
async function makeDump(): Promise<string> {
  const writer = await startServer()
  cleanups.push(() => writer.stop())
  const pipeline = writer.client.pipeline()
  for (let index = 0; index < 500; index += 1) {
    if (index % 5 === 0) pipeline.set(`expiring:${index}`, 'soon', 'EX', 1000)
    else pipeline.hset(`hash:${index}`, 'field', index)
  }
  await pipeline.exec()
  await writer.client.save()
  return join(writer.dir, 'dump.rdb')
}

function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-frozen-test-'))
  cleanups.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** Until the replica has the commands too. */
async function followToEnd(replica: TestServer, serving: Serving): Promise<void> {
  await follow(replica, serving.port)
  const { streamBytes } = serving.handle.frozen!
  await waitFor(async () => (await replicationInfo(replica)).replOffset >= streamBytes, {
    what: 'the replica to have all commands',
  })
}

async function expectRows(replica: TestServer, expectedPath: string): Promise<void> {
  const rows = expectedRows(expectedPath)
  const dbs = [...new Set([0, ...rows.map((row) => row.db)])]
  const found = await serverRows(replica.port, dbs)
  expect(found.map(({ db, key }) => [db, key])).toEqual(rows.map(({ db, key }) => [db, key]))
  for (const [index, row] of found.entries()) {
    const like = rows[index]!
    // Up to 7.2 a master does not tell anybody how much a group has read.
    if (like.type === 'stream' && /redis-7\.[02]/.test(expectedPath)) {
      for (const group of (like.value as { groups: { entriesRead?: unknown }[] }).groups) {
        delete group.entriesRead
      }
    }
    expect(comparable(row, like)).toEqual(comparable(like, like))
  }
}

describe('append-only files of the fixtures', () => {
  const root = FIXTURES
  const cases = [
    ...['redis-4.0', 'redis-5.0', 'redis-6.2'].flatMap((server) => [
      [server, 'aof-plain', ''],
      [server, 'aof-preamble', ''],
    ]),
    ['redis-7.0', 'aof', ''],
    ['redis-7.2', 'aof-multi', 'redis-8.0'],
    ['redis-7.2', 'aof-plain-base', 'redis-8.0'],
    ['redis-8.6', 'aof-newcmds', 'redis-8.6'],
    ['valkey-9.1', 'aof', 'valkey-9.1'],
    ['valkey-9.1', 'aof-newcmds', 'valkey-9.1'],
  ] as const

  for (const [server, name, replicaName] of cases) {
    const has = replicaName === '' || serverBinary(replicaName) !== undefined
    test.skipIf(!has)(`a replica of ${server}/${name} comes to its state`, async () => {
      const dir = join(root, server, name)
      const plain = join(dir, 'appendonly.aof')
      const replica = await startReplica(replicaName)
      const serving = await serveFile(existsSync(plain) ? plain : dir)
      await followToEnd(replica, serving)
      await expectRows(replica, join(root, server, `${name}.expected.jsonl`))
    })
  }

  test('at each moment it has the state that it had then', async () => {
    const replica = await startReplica()
    const stepsFile = join(root, 'redis-7.0/aof.steps.json')
    const { steps } = JSON.parse(readFileSync(stepsFile, 'utf8')) as {
      steps: { timestamp: number; expected: string }[]
    }
    for (const { timestamp, expected } of steps) {
      const serving = await serveFile(join(root, 'redis-7.0/aof'), { unixMs: timestamp * 1000 })
      await followToEnd(replica, serving)
      await expectRows(replica, join(root, 'redis-7.0', expected))
      await serving.stop()
    }
  })

  test('damaged snapshots are refused before anybody is served', async () => {
    const dir = join(root, 'corrupt')
    const bad = ['bad-checksum', 'truncated-in-string', 'unknown-type-byte', 'huge-list-count']
    for (const name of bad) {
      await expect(serveFile(join(dir, `${name}.rdb`))).rejects.toThrow(/byte \d+/)
    }
    expect(readdirSync(dir).length).toBeGreaterThan(bad.length)
  })
})

test('a replica that comes back continues, also with another process on the same file', async () => {
  const dump = await makeDump()
  const replica = await startReplica()
  const first = await serveFile(dump)
  await followToEnd(replica, first)
  await replica.client.call('CLIENT', 'KILL', 'TYPE', 'master')
  await waitFor(() => first.count('partial-resync') === 1, { what: 'the replica to come back' })
  await first.stop()
  const second = await serveFile(dump, undefined, first.port)
  expect(second.handle.replid).toBe(first.handle.replid)
  await waitFor(() => second.count('partial-resync') === 1, { what: 'the replica to continue' })
  expect(second.count('full-resync')).toBe(0)
})

test('the same content packed, or from a pipe, is the same master', async () => {
  const dump = await makeDump()
  const dir = temporaryDir()
  const packed = join(dir, 'dump.rdb.gz')
  appendFileSync(packed, gzipSync(readFileSync(dump)))
  const plain = await serveFile(dump)
  const unpacked = await serveFile(packed)
  expect(unpacked.handle.replid).toBe(plain.handle.replid)
  const replica = await startReplica()
  await followToEnd(replica, unpacked)
  expect(await replica.client.dbsize()).toBe(500)
})

test('a file that ends inside a transaction is served up to it, and that is told', async () => {
  const writer = await startServer({ args: ['--appendonly', 'yes'] })
  cleanups.push(() => writer.stop())
  await writer.client.set('kept', '1')
  await writer.client.call('BGREWRITEAOF')
  await writer.client.set('behind', '2')
  const dir = temporaryDir()
  cpSync(join(writer.dir, 'appendonlydir'), dir, { recursive: true })
  const incr = readdirSync(dir)
    .filter((name) => name.endsWith('.incr.aof'))
    .sort()
    .at(-1)!
  const half = '*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nlost\r\n$1\r\n3\r\n*3\r\n$3\r\nSE'
  appendFileSync(join(dir, incr), half)
  const serving = await serveFile(dir)
  expect(serving.handle.frozen!.cutBytes).toBe(half.length)
  const replica = await startReplica()
  await followToEnd(replica, serving)
  expect(await replica.client.mget('kept', 'behind', 'lost')).toEqual(['1', '2', null])
})

test('WAIT counts the replicas that have everything; a snapshot alone is refused where it lacks', async () => {
  const writer = await startServer({ args: ['--appendonly', 'yes'] })
  cleanups.push(() => writer.stop())
  await writer.client.set('only in the log', '1')
  const serving = await serveFile(join(writer.dir, 'appendonlydir'))
  const replica = await startReplica()
  await followToEnd(replica, serving)
  const asked = await startClient(serving.port)
  expect(await asked('WAIT', '1', '5000')).toBe(1)
  expect(await asked('ROLE')).toMatchObject([
    'master',
    expect.any(Number),
    [['127.0.0.1', String(replica.port), expect.any(String)]],
  ])
  expect(await asked('REPLCONF', 'rdb-only', '1')).toBe('OK')
  await expect(asked('PSYNC', '?', '-1')).rejects.toThrow(/commands behind it/)
})

async function startClient(port: number): Promise<(...words: string[]) => Promise<unknown>> {
  const { Redis } = await import('ioredis')
  const client = new Redis({ port, host: '127.0.0.1', protocol: 2 })
  client.on('error', () => undefined)
  cleanups.push(async () => {
    await client.quit().catch(() => undefined)
  })
  return async (name, ...rest) => await client.call(name, ...rest)
}

describe('a dump too large to be read before anybody is served', () => {
  async function makeLargeDump(prefix = ''): Promise<string> {
    const binary = prefix === '' ? undefined : serverBinary(prefix)
    const writer = await startServer(binary === undefined ? {} : { binary })
    cleanups.push(() => writer.stop())
    const pipeline = writer.client.pipeline()
    for (let index = 0; index < 200; index += 1) {
      pipeline.set(`large:${index}`, randomBytes(50_000))
    }
    await pipeline.exec()
    await writer.client.save()
    return join(writer.dir, 'dump.rdb')
  }

  test('is served at once, looked through on the way, and has the replid that its bytes give it', async () => {
    const dump = await makeLargeDump()
    let isReady = false
    const serving = await startServing({
      source: dump,
      onReady: () => (isReady = true),
      onEvent: ({ event }) => {
        if (event === 'source-checked') expect(isReady).toBe(true)
      },
    })
    cleanups.push(() => serving.stop())
    expect(serving.handle.frozen).toMatchObject({ dump: { family: 'redis' }, rdb: undefined })
    const replica = await startReplica()
    await follow(replica, serving.port)
    expect(serving.count('source-checked')).toBe(1)
    expect(await replica.client.dbsize()).toBe(200)
    const packed = join(temporaryDir(), 'dump.rdb.gz')
    appendFileSync(packed, gzipSync(readFileSync(dump)))
    const unpacked = await serveFile(packed)
    expect(unpacked.handle.replid).toBe(serving.handle.replid)
    expect(unpacked.handle.frozen?.rdb?.keys).toBe(200)
  })

  test('ends serving where a byte of it is wrong', async () => {
    const bytes = readFileSync(await makeLargeDump())
    const at = bytes.length - 1000
    bytes[at] = bytes[at]! ^ 1
    const bad = join(temporaryDir(), 'bad.rdb')
    appendFileSync(bad, bytes)
    await expect(serveFile(bad)).rejects.toThrow(/checksum/)
  })

  test.skipIf(serverBinary('redis-8.6') === undefined)(
    'goes to an older server under the version that its content needs',
    async () => {
      const serving = await serveFile(await makeLargeDump('redis-8.6'))
      const replica = await startReplica()
      await follow(replica, serving.port)
      expect(serving.events.find(({ event }) => event === 'full-resync')).toMatchObject({
        sentAsVersion: 10,
      })
      expect(await replica.client.dbsize()).toBe(200)
    },
  )
})
