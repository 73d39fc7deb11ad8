/** `rrep tail` without -o against real masters. */
import { Writable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import {
  watch as tail,
  type TailEvent,
  type TailOptions,
  type TailStats,
} from '../../src/verbs/tail/watch.js'
import type { RrepError } from '../../src/errors.js'
import { infoNumber, masterOffset } from '../helpers/archives.js'
import { runCli } from '../helpers/cli.js'
import { startProxy } from '../helpers/cutting-proxy.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function newServer(args: readonly string[] = []): Promise<TestServer> {
  const server = await startServer({ args })
  cleanups.push(() => server.stop())
  return server
}

/** A master that has a backlog: some replica once asked. */
async function withBacklog(): Promise<TestServer> {
  const server = await newServer()
  await watch(server, { durationMs: 300 }).ended
  expect(await infoNumber(server, 'replication', 'repl_backlog_active')).toBe(1)
  return server
}

interface Watching {
  out: () => string
  notices: TailEvent[]
  ended: Promise<Awaited<ReturnType<typeof tail>>>
  started: Promise<void>
}

function watch(server: { port: number }, options: Partial<TailOptions> = {}): Watching {
  const chunks: Buffer[] = []
  const notices: TailEvent[] = []
  const ended = tail(makeServerSettings(`127.0.0.1:${server.port}`), {
    onEvent: (notice) => notices.push(notice),
    ...options,
    output: { format: 'text', ...options.output, to: collect(chunks) },
  })
  ended.catch(() => undefined)
  return {
    out: () => Buffer.concat(chunks).toString('latin1'),
    notices,
    ended,
    started: waitFor(() => notices.some((notice) => notice.event === 'started'), {
      what: 'the tail to start',
    }),
  }
}

function collect(chunks: Buffer[]): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(Buffer.from(chunk))
      done()
    },
  })
}

/** Its output comes in the background; `to` is replaced by a collector. */
const into = (format: 'text' | 'json' | 'resp', strings?: 'base64'): TailOptions['output'] => ({
  to: 1,
  format,
  strings,
})

test('tail from now asks a master with a backlog for no fork and no snapshot', async () => {
  const master = await withBacklog()
  const forks = await infoNumber(master, 'stats', 'total_forks')
  const full = await infoNumber(master, 'stats', 'sync_full')
  await master.client.set('earlier', '1')
  const watching = watch(master, { count: 2 })
  await watching.started
  await master.client.set('a\n', '"\u0001é')
  const other = master.newClient(5)
  await other.rpush('l', 'x')
  const result = await watching.ended
  const lines = watching.out().split('\n')
  expect(lines[0]).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \d+ db0 set "a\\n" "\\"\\x01\\xc3\\xa9"$/,
  )
  expect(lines[1]).toMatch(new RegExp(` ${result.replOffset} db5 rpush "l" "x"$`))
  expect(result).toMatchObject({ commands: 2, gaps: 0 })
  expect(await infoNumber(master, 'stats', 'total_forks')).toBe(forks)
  expect(await infoNumber(master, 'stats', 'sync_full')).toBe(full)
  expect(watching.notices[0]).toMatchObject({ event: 'resync-planned', plan: 'partial' })
})

test('without a backlog an empty snapshot is asked for, and said before', async () => {
  const master = await newServer()
  await master.client.set('big', 'x'.repeat(100_000))
  const watching = watch(master, { count: 1, output: into('json') })
  await watching.started
  await master.newClient(3).set('k', 'v')
  await watching.ended
  expect(watching.notices[0]).toMatchObject({ plan: 'empty-snapshot', keys: 1 })
  expect(JSON.parse(watching.out())).toMatchObject({ db: 3, command: ['set', 'k', 'v'] })
})

test('JSON holds every byte with base64; offsets are those behind the commands', async () => {
  const master = await withBacklog()
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  const watching = watch(master, { count: 3, output: into('json', 'base64') })
  await watching.started
  const offsets: number[] = []
  for (const size of [1, 2, 300]) {
    await master.client.set(bytes, Buffer.alloc(size, bytes))
    offsets.push(await masterOffset(master))
  }
  await watching.ended
  const lines = watching.out().trimEnd().split('\n')
  const rows = lines.map((line) => JSON.parse(line) as { offset: number; command: string[] })
  expect(rows.map((row) => row.offset)).toEqual(offsets)
  expect(rows.map((row) => Buffer.from(row.command[2]!, 'base64').length)).toEqual([1, 2, 300])
  expect(Buffer.from(rows[2]!.command[1]!, 'base64').equals(bytes)).toBe(true)
  expect(Buffer.from(rows[2]!.command[0]!, 'base64').toString()).toBe('set')
})

test('JSON text is what JSON.stringify makes of UTF-8, also of large and binary values', async () => {
  const master = await withBacklog()
  const values = [
    '',
    'plain',
    '"\\\b\u0000\u001f\u2028é😀',
    'é'.repeat(100_001),
    '\ud7ff'.repeat(9),
  ]
  const binary = Buffer.from([0xff, 0x61, 0xc3, 0x28, 0xe2, 0x82])
  const watching = watch(master, { count: values.length + 1, output: into('json') })
  await watching.started
  for (const value of values) await master.client.set('k', value)
  await master.client.set('k', binary)
  await watching.ended
  const got = Buffer.from(watching.out(), 'latin1').toString('utf8').trimEnd().split('\n')
  expect(got.map((line) => (JSON.parse(line) as { command: string[] }).command[2])).toEqual([
    ...values,
    binary.toString('utf8'),
  ])
})

test('filters on command, key and db; keys by the positions of each command', async () => {
  const master = await withBacklog()
  const byKey = watch(master, { count: 4, filter: { match: ['user:*'], noMatch: ['*:9'] } })
  const byCommand = watch(master, { count: 2, commands: ['del', 'HSET'] })
  const byDb = watch(master, { count: 1, filter: { dbs: [2] } })
  await Promise.all([byKey.started, byCommand.started, byDb.started])
  const { client } = master
  await client.set('other', 'user:1')
  await client.mset('x', 'user:2', 'user:3', '1')
  await client.set('user:9', '1')
  await client.call('ZUNIONSTORE', 'd', '2', 'z', 'user:4')
  await client.call('ZADD', 'user:4', '1', 'a')
  await client.call('ZUNIONSTORE', 'd', '2', 'z', 'user:4')
  await client.hset('h', 'f', 'v')
  await client.del('user:3')
  await master.newClient(2).set('in2', '1')
  await Promise.all([byKey.ended, byCommand.ended, byDb.ended])
  const names = (watching: Watching): string[] =>
    watching
      .out()
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').slice(3).join(' ').toUpperCase())
  expect(names(byKey)).toEqual([
    'MSET "X" "USER:2" "USER:3" "1"',
    'ZADD "USER:4" "1" "A"',
    'ZUNIONSTORE "D" "2" "Z" "USER:4"',
    'DEL "USER:3"',
  ])
  expect(names(byCommand)).toEqual(['HSET "H" "F" "V"', 'DEL "USER:3"'])
  expect(names(byDb)).toEqual(['SET "IN2" "1"'])
})

test('--resp gives the bytes as they came, and a stream begun in the past goes on to now', async () => {
  const master = await withBacklog()
  await master.client.set('before', '1')
  const info = await master.client.info('replication')
  const replid = /master_replid:([0-9a-f]{40})/.exec(info)![1]!
  const nextReplOffset = (await masterOffset(master)) + 1
  await master.client.set('k', 'v')
  const end = await masterOffset(master)
  const watching = watch(master, {
    from: { replid, nextReplOffset },
    output: into('resp'),
    count: 1,
    commands: ['SET'],
  })
  const result = await watching.ended
  expect(watching.out().endsWith('*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n')).toBe(true)
  expect(result.replOffset).toBe(end)
  // The offset that stands behind the command before does as well.
  const again = watch(master, { from: { replid, nextReplOffset: nextReplOffset - 1 }, count: 1 })
  expect((await again.ended).replOffset).toBe(end)
  expect(again.out()).toMatch(/ set "k" "v"\n$/)
})

test('a cut link goes on at the command behind the last, once each', async () => {
  const master = await withBacklog()
  const proxy = await startProxy(master.port)
  cleanups.push(() => proxy.stop())
  const watching = watch(proxy, { count: 300, output: into('json') })
  await watching.started
  for (let i = 0; i < 300; i++) {
    await master.client.incr('n')
    if (i % 100 === 50) proxy.cut()
  }
  await watching.ended
  const rows = watching.out().trimEnd().split('\n')
  const offsets = rows.map((line) => (JSON.parse(line) as { offset: number }).offset)
  expect(new Set(offsets).size).toBe(300)
  expect(offsets).toEqual([...offsets].sort((a, b) => a - b))
  expect(await infoNumber(master, 'stats', 'sync_full')).toBe(1)
})

test('--no-full-sync rather fails than makes the master save', async () => {
  const master = await newServer(['--rename-command', 'INFO', ''])
  const watching = watch(master, {
    from: { replid: 'a'.repeat(40), nextReplOffset: 5 },
    allowFullResync: false,
  })
  await expect(watching.ended).rejects.toMatchObject({ code: 'ERR_FULL_RESYNC_NEEDED' })
})

test('figures by command, prefix and db, and how far the master is ahead', async () => {
  const master = await withBacklog()
  const seen: TailStats[] = []
  const watching = watch(master, {
    durationMs: 1500,
    stats: { intervalMs: 400, onStats: (stats) => seen.push(stats) },
  })
  await watching.started
  await master.client.mset('user:1', '1', 'b', '2')
  await master.client.set('user:2', '1')
  await master.client.set('plain', '1')
  await watching.ended
  const sum = (pick: (stats: TailStats) => { name: string; commands: number }[], name: string) =>
    seen.flatMap(pick).reduce((all, row) => all + (row.name === name ? row.commands : 0), 0)
  expect(sum((stats) => stats.byCommand, 'SET')).toBe(2)
  expect(sum((stats) => stats.byPrefix, 'user:')).toBe(2)
  expect(sum((stats) => stats.byPrefix, '(none)')).toBe(1)
  expect(sum((stats) => stats.byDb, '0')).toBe(3)
  expect(seen.at(-1)?.lagBytes).toBe(0)
})

test('a reader that takes nothing ends the run with an error, not the master', async () => {
  const master = await withBacklog()
  const stuck = tail(makeServerSettings(`127.0.0.1:${master.port}`), {
    output: {
      to: new Writable({ write: () => undefined }),
      format: 'text',
      boundBytes: 1 << 20,
      patienceMs: 200,
    },
  })
  stuck.catch(() => undefined)
  const value = 'x'.repeat(100_000)
  let ended = false
  const outcome = stuck.then(
    () => undefined,
    (error: unknown) => error as RrepError,
  )
  void outcome.then(() => (ended = true))
  await waitFor(
    async () => {
      await master.client.set('k', value)
      return ended
    },
    { what: 'the error' },
  )
  expect(await outcome).toMatchObject({ code: 'ERR_OUTPUT_SLOW' })
})

test('a command of tens of megabytes is named, not held', async () => {
  const master = await withBacklog()
  const watching = watch(master, { count: 2, output: into('json') })
  await watching.started
  await master.client.set('huge', Buffer.alloc(40 << 20, 'x'))
  await master.client.set('k', 'v')
  await watching.ended
  const [huge, next] = watching.out().trimEnd().split('\n')
  expect(JSON.parse(huge!)).toMatchObject({ command: ['set'], notShownBytes: (40 << 20) + 36 })
  expect(JSON.parse(next!)).toMatchObject({ command: ['set', 'k', 'v'] })
})

test('on the command line: lines, exit codes, and wrong combinations', async () => {
  const master = await withBacklog()
  const address = `127.0.0.1:${master.port}`
  const timer = setInterval(() => void master.client.incr('n'), 20)
  cleanups.push(() => clearInterval(timer))
  const text = await runCli(['tail', address, '--count', '2'])
  expect(text.code).toBe(0)
  expect(text.out).toMatch(/^(\S+Z \d+ db0 incr "n"\n){2}$/)
  const json = await runCli(['tail', address, '--json', '--for', '500ms'])
  expect(json.code).toBe(0)
  for (const line of json.out.trimEnd().split('\n')) {
    expect(JSON.parse(line)).toMatchObject({ db: 0, command: ['incr', 'n'] })
  }
  for (const wrong of [
    ['--durable'],
    ['--rotate', '1mb'],
    ['-o', 'x', '--match', 'a'],
    ['-o', 'x', '--durable', '--fsync', 'no'],
    ['--from-offset', '5'],
    ['--strings', 'base64'],
  ]) {
    expect((await runCli(['tail', address, ...wrong])).code).toBe(2)
  }
})
