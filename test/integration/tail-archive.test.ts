/** Archives of real masters, loaded by real servers: the same data, nothing doubled or lost. */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  fdatasync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { archive, type ArchiveOptions, type ArchiveEvent } from '../../src/verbs/tail/archive.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { AbortedError, type RrepError } from '../../src/errors.js'
import { startArchiveProcess } from '../helpers/archive-process.js'
import {
  checkAof,
  infoNumber,
  loadArchive,
  masterOffset,
  runCheckAof,
  settleExpiries,
  sumCounters,
} from '../helpers/archives.js'
import { startProxy } from '../helpers/cutting-proxy.js'
import { digest, serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { startWorkload } from '../helpers/workload.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-archive-'))
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, 'archive')
}

async function newServer(options: Parameters<typeof startServer>[0] = {}): Promise<TestServer> {
  const server = await startServer(options)
  cleanups.push(() => server.stop())
  return server
}

interface Running {
  events: ArchiveEvent[]
  replOffset: () => number
  syncedReplOffset: () => number
  /** Ends it as SIGTERM would; returns what it ended with. */
  stop: () => Promise<unknown>
  ended: Promise<unknown>
}

function keep(port: number, dir: string, options: Partial<ArchiveOptions> = {}): Running {
  const controller = new AbortController()
  const events: ArchiveEvent[] = []
  let last = { replOffset: -1, syncedReplOffset: -1 }
  const ended = archive(makeServerSettings(`127.0.0.1:${port}`), {
    dir,
    signal: controller.signal,
    onEvent: (event) => events.push(event),
    onProgress: (progress) => (last = progress),
    ...options,
  }).catch((error: unknown) => error)
  const stop = async (): Promise<unknown> => {
    controller.abort('SIGTERM')
    return await ended
  }
  cleanups.push(stop)
  return {
    events,
    replOffset: () => last.replOffset,
    syncedReplOffset: () => last.syncedReplOffset,
    stop,
    ended,
  }
}

const seen = (running: Running, event: ArchiveEvent['event']): number =>
  running.events.filter((each) => each.event === event).length

async function caughtUp(master: TestServer, running: Running): Promise<void> {
  const target = await masterOffset(master)
  await waitFor(() => running.replOffset() >= target, { what: `offset ${target}` })
}

async function expectSame(master: TestServer, dir: string): Promise<void> {
  const loaded = await loadArchive(dir, master.binary)
  try {
    expect(await digest(loaded)).toBe(await digest(master))
    expect(await sumCounters(loaded)).toBe(await sumCounters(master))
  } finally {
    await loaded.stop()
  }
}

describe.each(['redis-7.0', 'valkey-9.1'])('%s', (name) => {
  const binary = serverBinary(name)
  test.skipIf(binary === undefined)(
    'all kinds of writes, over rotations and further snapshots, are kept',
    async () => {
      const master = await newServer({ binary: binary! })
      const dir = newDir()
      const workload = await startWorkload({
        port: master.port,
        serverMajor: 7,
        bigBytes: 2_500_000,
        rate: 20_000,
      })
      const running = keep(master.port, dir, { rotateBytes: 3 << 20, snapshotEveryMs: 1200 })
      await waitFor(() => seen(running, 'snapshot') >= 3 && seen(running, 'rotated') >= 4, {
        what: 'rotations and snapshots',
      })
      // At any moment the directory loads, also in the middle of all that.
      await expectLoadable(dir, master)
      await workload.stop()
      expect(workload.failed).toBeUndefined()
      await settleExpiries(master)
      await caughtUp(master, running)
      expect(await running.stop()).toBeInstanceOf(AbortedError)
      expect(seen(running, 'snapshot-failed')).toBe(0)
      expect(checkAof(dir, master.binary)).toMatch(/All AOF files and manifest are valid/)
      await expectSame(master, dir)
      expect(await sumCounters(master)).toBe(workload.increments)
      // What was loadable before the last base still is.
      const parts = join(dir, 'appendonlydir')
      const older = readdirSync(parts).filter((file) => file.startsWith('rrep-before-'))
      expect(older.length).toBeGreaterThanOrEqual(2)
      for (const file of master.binary.family === 'redis' ? older : []) {
        expect(runCheckAof(master.binary, [join(parts, file)]).output).toMatch(/are valid/)
      }
    },
  )
})

test('a link that is cut and a writer that is killed lose and double nothing', async () => {
  const master = await newServer({ args: ['--repl-backlog-size', '64mb'] })
  const proxy = await startProxy(master.port)
  cleanups.push(() => proxy.stop())
  const dir = newDir()
  const workload = await startWorkload({ port: master.port, serverMajor: 7, rate: 10_000, seed: 7 })
  let doomed = startArchiveProcess(proxy.port, dir, ['--rotate', '2mb'])
  for (let round = 0; round < 2; round++) {
    const process = doomed
    await waitFor(
      () => process.events.some((e) => e['event'] === 'snapshot' || e['event'] === 'continued'),
      { what: 'the archive to run' },
    )
    for (let cuts = 0; cuts < 2; cuts++) {
      const before = proxy.connections
      proxy.cut()
      await waitFor(() => proxy.connections > before, { what: 'a new connection' })
    }
    process.child.kill('SIGKILL')
    await process.ended
    expect(process.stderr).toBe('')
    // Right behind the kill: at most an unfinished command at the end.
    const loaded = await loadArchive(dir)
    expect(await loaded.client.ping()).toBe('PONG')
    await loaded.stop()
    doomed = startArchiveProcess(proxy.port, dir, ['--rotate', '2mb'])
  }
  await workload.stop()
  await settleExpiries(master)
  await waitFor(() => doomed.events.some((e) => e['event'] === 'continued'), { what: 'the run' })
  doomed.child.kill('SIGTERM')
  expect(await doomed.ended).toBe(143)
  const last = keep(master.port, dir)
  await waitFor(() => seen(last, 'continued') === 1, { what: 'the last run to go on' })
  await caughtUp(master, last)
  await last.stop()
  expect(checkAof(dir, master.binary)).toMatch(/All AOF files and manifest are valid/)
  await expectSame(master, dir)
  expect(await sumCounters(master)).toBe(workload.increments)
  expect(await infoNumber(master, 'stats', 'sync_full')).toBe(1)
})

test('a restart of the master and a failover are gone over by partial resync', async () => {
  const master = await newServer({ args: ['--save', '3600 1'] })
  const dir = newDir()
  const proxy = await startProxy(master.port)
  cleanups.push(() => proxy.stop())
  const running = keep(proxy.port, dir)
  await waitFor(() => seen(running, 'snapshot') === 1, { what: 'the snapshot' })
  const first = await startWorkload({ port: master.port, serverMajor: 7, rate: 5000 })
  await waitFor(() => first.commands > 3000, { what: 'writes' })
  await first.stop()
  await caughtUp(master, running)
  // SIGTERM saves; 7.0 takes its history from the RDB.
  await master.restart()
  await waitFor(() => seen(running, 'continued') === 1, { what: 'a partial resync' })
  expect(await infoNumber(master, 'stats', 'sync_full')).toBe(0)

  const replica = await newServer()
  await replica.client.call('REPLICAOF', '127.0.0.1', String(master.port))
  await waitFor(
    async () => (await replica.client.info('replication')).includes('master_link_status:up'),
    { what: 'the replica' },
  )
  const second = await startWorkload({ port: master.port, serverMajor: 7, rate: 5000, seed: 2 })
  await waitFor(() => second.commands > 3000, { what: 'writes' })
  await second.stop()
  await caughtUp(master, running)
  const offset = await masterOffset(master)
  await waitFor(async () => (await masterOffset(replica)) >= offset, { what: 'the replica' })
  await replica.client.call('REPLICAOF', 'NO', 'ONE')
  proxy.retarget(replica.port)
  await master.kill()
  await waitFor(() => seen(running, 'continued') === 2, { what: 'the new master' })
  const last = running.events.findLast((event) => event.event === 'continued')
  expect(last).toMatchObject({ previousReplid: expect.stringMatching(/^[0-9a-f]{40}$/) as string })
  const third = await startWorkload({ port: replica.port, serverMajor: 7, rate: 5000, seed: 3 })
  await waitFor(() => third.commands > 3000, { what: 'writes' })
  await third.stop()
  await settleExpiries(replica)
  await caughtUp(replica, running)
  await running.stop()
  expect(await infoNumber(replica, 'stats', 'sync_full')).toBe(0)
  expect(seen(running, 'full-resync')).toBe(1)
  await expectSame(replica, dir)
})

test('where the master no longer has what comes next, a gap is told and both sides stay', async () => {
  const master = await newServer({ args: ['--repl-backlog-size', '16kb'] })
  const dir = newDir()
  await master.client.set('before', '1')
  const first = keep(master.port, dir)
  await waitFor(() => seen(first, 'snapshot') === 1, { what: 'the snapshot' })
  await master.client.set('kept', '1')
  await caughtUp(master, first)
  await first.stop()
  const stoppedAt = await masterOffset(master)
  for (let i = 0; i < 40; i++) await master.client.set(`missed${i % 3}`, 'x'.repeat(2000))
  await master.client.del('kept')
  const second = keep(master.port, dir)
  await waitFor(() => seen(second, 'snapshot') === 1, { what: 'a new snapshot' })
  expect(second.events.filter((event) => event.event === 'gap')).toEqual([
    expect.objectContaining({ fromReplOffset: stoppedAt + 1 }),
  ])
  await master.client.set('after', '1')
  await caughtUp(master, second)
  await second.stop()
  await expectSame(master, dir)
  expect(readSidecar(dir).timeline.map((entry) => entry.kind)).toEqual([
    ...['base', 'incr', 'gap', 'base', 'incr'],
  ])
  // The history before the gap, by its own manifest.
  const parts = join(dir, 'appendonlydir')
  copyFileSync(join(parts, 'rrep-before-2.manifest'), join(parts, 'appendonly.aof.manifest'))
  const older = await loadArchive(dir)
  expect((await older.client.keys('*')).sort()).toEqual(['before', 'kept'])
  await older.stop()
})

test('older bases go when a newer one covers what is to be kept', async () => {
  const master = await newServer()
  const dir = newDir()
  const running = keep(master.port, dir, { snapshotEveryMs: 500, keep: { bases: 2 } })
  let writes = 0
  const timer = setInterval(() => void master.client.incr(`n${writes++ % 5}`), 5)
  cleanups.push(() => clearInterval(timer))
  await waitFor(() => seen(running, 'pruned') >= 2, { what: 'two prunings' })
  clearInterval(timer)
  await caughtUp(master, running)
  await running.stop()
  const { timeline } = readSidecar(dir)
  expect(timeline.filter((entry) => entry.kind === 'base').length).toBe(2)
  const files = timeline.map((entry) => entry.file ?? '')
  const onDisk = readdirSync(join(dir, 'appendonlydir')).filter((file) => /base|incr/.test(file))
  expect(onDisk.sort()).toEqual(files.sort())
  await expectSame(master, dir)
})

test('one directory has one writer, and a foreign append-only file is left alone', async () => {
  const master = await newServer()
  const dir = newDir()
  const first = keep(master.port, dir)
  await waitFor(() => seen(first, 'snapshot') === 1, { what: 'the snapshot' })
  expect(await keep(master.port, dir).ended).toMatchObject({ code: 'ERR_IN_USE' })
  await first.stop()
  const foreign = newDir()
  mkdirSync(join(foreign, 'appendonlydir'), { recursive: true })
  const manifest = join(foreign, 'appendonlydir/appendonly.aof.manifest')
  writeFileSync(manifest, 'file appendonly.aof.1.incr.aof seq 1 type i\n')
  writeFileSync(join(foreign, 'appendonlydir/appendonly.aof.1.incr.aof'), '')
  expect(await keep(master.port, foreign).ended).toMatchObject({ code: 'ERR_ARCHIVE_FOREIGN' })
  expect(readFileSync(manifest, 'utf8')).toMatch(/incr\.aof seq 1/)
})

test('a lost sidecar is made again from the marks in the increments', async () => {
  const master = await newServer()
  const dir = newDir()
  const first = keep(master.port, dir)
  await waitFor(() => seen(first, 'snapshot') === 1, { what: 'the snapshot' })
  await master.client.mset('a', '1', 'b', '2')
  await master.client.wait(1, 50)
  await master.client.incr('a')
  await caughtUp(master, first)
  await first.stop()
  rmSync(join(dir, 'appendonlydir/rrep.json'))
  const second = keep(master.port, dir)
  await waitFor(() => seen(second, 'continued') === 1, { what: 'going on' })
  await master.client.incr('a')
  await caughtUp(master, second)
  await second.stop()
  expect(await infoNumber(master, 'stats', 'sync_full')).toBe(1)
  await expectSame(master, dir)
})

test.skipIf(serverBinary('redis-8.6') === undefined)(
  'commands that a server cannot load back are kept in a form that it can',
  async () => {
    const master = await newServer({ binary: serverBinary('redis-8.6')! })
    const dir = newDir()
    const running = keep(master.port, dir)
    await waitFor(() => seen(running, 'snapshot') === 1, { what: 'the snapshot' })
    const { client } = master
    await client.call('XADD', 'x', 'IDMP', 'p', 'i', '*', 'f', 'v')
    await client.call('XADD', 'x', 'IDMP', 'p', 'i', '*', 'f', 'v')
    await client.call('XADD', 'x', 'IDMPAUTO', 'p', '*', 'f', 'w')
    await client.call('MULTI')
    await client.call('XADD', 'x', 'IDMP', 'p', 'j', '*', 'f', 'y')
    await client.call('SET', 'k', 'v')
    await client.call('EXEC')
    await client.call('VADD', 'v', 'VALUES', '2', '1', '2', 'a', 'CAS')
    await client.call('VADD', 'v', 'VALUES', '2', '3', '1', 'b')
    await client.call('SET', 'e', 'v', 'EX', '100')
    await caughtUp(master, running)
    await running.stop()
    const loaded = await loadArchive(dir, master.binary)
    expect(await loaded.client.xrange('x', '-', '+')).toEqual(await client.xrange('x', '-', '+'))
    expect(await client.xlen('x')).toBe(3)
    expect(await loaded.client.call('VCARD', 'v')).toBe(2)
    expect(await loaded.client.get('k')).toBe('v')
    await loaded.stop()
  },
)

describe('--durable', () => {
  const binary = serverBinary('valkey-9.1') ?? serverBinary('redis-8')
  test.skipIf(binary === undefined)(
    'WAITAOF counts the archive once its bytes are fsynced, and not without --durable',
    async () => {
      const master = await newServer({ binary: binary! })
      let release: (() => void)[] = []
      let held = false
      const slow = (fd: number): Promise<void> =>
        new Promise((resolve, reject) => {
          const sync = (): void =>
            fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
          if (held) release.push(sync)
          else sync()
        })
      const durable = keep(master.port, newDir(), { durable: true, sync: slow })
      await waitFor(() => seen(durable, 'snapshot') === 1, { what: 'the snapshot' })
      await master.client.set('a', '1')
      expect(await master.client.call('WAITAOF', '0', '1', '2000')).toEqual([0, 1])
      held = true
      await master.client.set('a', '2')
      expect(await master.client.call('WAITAOF', '0', '1', '700')).toEqual([0, 0])
      held = false
      for (const sync of release) sync()
      release = []
      expect(await master.client.call('WAITAOF', '0', '1', '3000')).toEqual([0, 1])
      await durable.stop()

      const plain = keep(master.port, newDir())
      await waitFor(() => seen(plain, 'snapshot') === 1, { what: 'the snapshot' })
      await master.client.set('a', '3')
      expect(await master.client.call('WAITAOF', '0', '1', '700')).toEqual([0, 0])
      expect(await master.client.wait(1, 200)).toBe(0)
      await plain.stop()
    },
  )
})

test('redis-check-aof cuts an archive back to the state of a second', async () => {
  const master = await newServer()
  const dir = newDir()
  const running = keep(master.port, dir)
  await waitFor(() => seen(running, 'snapshot') === 1, { what: 'the snapshot' })
  const digests = new Map<number, string>()
  // In the middle of each second one write, and the state noted before that second ends.
  for (let i = 0; i < 3; i++) {
    const second = Math.floor(Date.now() / 1000) + 1
    await waitFor(() => Date.now() >= second * 1000 + 300, { what: 'the next second' })
    await master.client.call('MULTI')
    await master.client.incr('n')
    await master.client.rpush('l', String(second))
    await master.client.call('EXEC')
    const target = await masterOffset(master)
    digests.set(second, await digest(master))
    await waitFor(() => running.replOffset() >= target, { what: 'the archive' })
  }
  await running.stop()
  const [, middle] = [...digests.keys()]
  const copy = newDir()
  cpSync(dir, copy, { recursive: true })
  const manifest = join(copy, 'appendonlydir/appendonly.aof.manifest')
  const cut = runCheckAof(master.binary, ['--truncate-to-timestamp', String(middle), manifest])
  expect(cut.output).toMatch(/Successfully truncated/)
  const loaded = await loadArchive(copy)
  expect(await digest(loaded)).toBe(digests.get(middle!))
  await loaded.stop()
})

test('a full disk ends the run with what is whole, and the next goes on', async (context) => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-full-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', dir]).status === 0
  if (!mounted) {
    rmSync(dir, { recursive: true, force: true })
    context.skip('no right to mount a small file system here')
    return
  }
  cleanups.push(() => {
    spawnSync('umount', ['-l', dir])
    rmSync(dir, { recursive: true, force: true })
  })
  const master = await newServer({ args: ['--repl-backlog-size', '32mb'] })
  const filler = join(dir, 'filler')
  writeFileSync(filler, Buffer.alloc(1 << 20))
  const first = keep(master.port, join(dir, 'archive'))
  await waitFor(() => seen(first, 'snapshot') === 1, { what: 'the snapshot' })
  for (let i = 0; i < 230; i++) await master.client.set(`k${i}`, 'x'.repeat(10_000))
  expect((await first.ended) as RrepError).toMatchObject({ code: 'ERR_DISK_FULL' })
  const loaded = await loadArchive(join(dir, 'archive'))
  expect(await loaded.client.dbsize()).toBeGreaterThan(20)
  await loaded.stop()
  rmSync(filler)
  const second = keep(master.port, join(dir, 'archive'))
  await waitFor(() => seen(second, 'continued') === 1, { what: 'going on' })
  await caughtUp(master, second)
  await second.stop()
  expect(seen(second, 'full-resync')).toBe(0)
  expect(checkAof(join(dir, 'archive'), master.binary)).toMatch(/are valid/)
  await expectSame(master, join(dir, 'archive'))
})

function readSidecar(dir: string): { timeline: { kind: string; file?: string }[] } {
  return JSON.parse(readFileSync(join(dir, 'appendonlydir/rrep.json'), 'utf8')) as {
    timeline: { kind: string; file?: string }[]
  }
}

/** While the archive grows: a copy taken at any moment is good, or good but for its last command. */
async function expectLoadable(dir: string, master: TestServer): Promise<void> {
  const loaded = await loadArchive(dir, master.binary)
  expect(await loaded.client.ping()).toBe('PONG')
  await loaded.stop()
}
