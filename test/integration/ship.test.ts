/** Archives shipped into a repository while they are kept: what lies there alone brings every moment back. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openArchive, prune, readCatalogue } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { startStoreProxy } from '../helpers/store-proxy.js'
import { envOf, hasSwift, startSwift } from '../helpers/swift.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-ship-'))
let source: TestServer
let address: string
let count = 0
let archive: string
let repo: string
/** What the counter was behind an offset of the stream, by our own account. */
let moments: { offset: number; counter: number }[]

beforeAll(async () => {
  source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  address = `127.0.0.1:${source.port}`
})
beforeEach(async () => {
  await source.client.flushall()
  count += 1
  archive = join(dir, `archive-${count}`)
  repo = join(dir, `repo-${count}`)
  moments = []
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function offsetOf(): Promise<number> {
  return Number(/master_repl_offset:(\d+)/.exec(await source.client.info('replication'))![1])
}

async function write(times: number): Promise<void> {
  for (let at = 0; at < times; at += 1) {
    const counter = await source.client.incr('counter')
    await source.client.rpush('list', 'x'.repeat(200))
    moments.push({ offset: await offsetOf(), counter })
  }
}

const keep = (to: string, env = {}, ...more: string[]): RrepProcess =>
  spawnRrep(['tail', address, '-o', archive, '--ship', to, '--ship-every', '200ms', ...more], {
    env,
  })

/** Until a line says that all up to here is there. */
async function shippedTo(running: RrepProcess, offset: number): Promise<void> {
  const lines = (): number[] =>
    [...running.err().matchAll(/everything up to offset (\d+)/g)].map((found) => Number(found[1]))
  await waitFor(() => lines().some((each) => each >= offset), { what: 'the copy' })
}

async function end(running: RrepProcess): Promise<void> {
  running.child.kill('SIGINT')
  await running.ended
}

async function expectMoments(
  from: string,
  chosen: readonly { offset: number; counter: number }[],
): Promise<void> {
  for (const { offset, counter } of chosen) {
    const at = ['--until', `offset:${offset}`]
    const shown = await runCli([
      'export',
      `${from}@archive`,
      ...at,
      '--match',
      'counter',
      '--format',
      'jsonl',
    ])
    expect(shown.out, `offset ${offset}: ${shown.err}`).toContain(`"value":"${counter}"`)
  }
}

const some = (all: typeof moments, wanted: number): typeof moments =>
  Array.from({ length: wanted }, () => all[Math.floor(Math.random() * all.length)]!)

test('a directory: killed and begun again it catches up, and any moment comes back', async () => {
  let running = keep(repo, {}, '--rotate', '2kb')
  await waitFor(() => running.err().includes('snapshot kept'), { what: 'the snapshot' })
  await write(40)
  await shippedTo(running, moments[20]!.offset)
  running.child.kill('SIGKILL')
  await running.ended
  await write(20)
  running = keep(repo, {}, '--snapshot-every', '400ms', '--rotate', '4kb')
  await write(40)
  await shippedTo(running, moments.at(-1)!.offset)
  await end(running)
  // It alone.
  rmSync(archive, { recursive: true })
  await expectMoments(repo, some(moments, 5))
  const { archives } = await readCatalogue(repo)
  expect(archives).toMatchObject([{ source: address, windows: [expect.anything()] }])
  const listed = await runCli(['backup', 'list', repo])
  expect(listed.out).toContain(archives[0]!.id)
  const [{ fromMs, toMs }] = archives[0]!.windows as [{ fromMs: number; toMs: number }]
  const data = join(dir, 'data')
  const until = new Date(toMs).toISOString()
  expect((await runCli(['restore', repo, data, '--until', until])).code).toBe(0)
  const restored = await startServer({ dir: data, args: ['--appendonly', 'yes'] })
  expect(await restored.client.get('counter')).toBe(String(moments.at(-1)!.counter))
  const early = new Date(fromMs - 60_000).toISOString()
  expect((await runCli(['restore', repo, join(dir, 'no'), '--until', early])).code).toBe(2)
  const { offset, counter } = moments[30]!
  const into = [
    'restore',
    repo,
    `127.0.0.1:${restored.port}`,
    '--until',
    `offset:${offset}`,
    '--yes',
  ]
  expect((await runCli(into)).code).toBe(0)
  expect(await restored.client.get('counter')).toBe(String(counter))
  await restored.stop()
})

test('without a directory the disk holds only what has not arrived; killed, and from elsewhere, it goes on', async () => {
  const spools = join(dir, `spools-${count}`)
  const alone = (spool: string, ...more: string[]): RrepProcess =>
    spawnRrep([
      ...['tail', address, '--ship', repo, '--ship-every', '200ms', '--rotate', '2kb'],
      ...['--spool-dir', spool, ...more],
    ])
  const partsIn = (at: string): { name: string; bytes: number }[] =>
    readdirSync(at, { recursive: true, encoding: 'utf8' })
      .filter((name) => /appendonly\.aof\.\d+\.(?:base\.rdb|incr\.aof)$/.test(name))
      .map((name) => ({ name, bytes: statSync(join(at, name)).size }))
  const onlyOpen = async (): Promise<void> => {
    await waitFor(() => partsIn(spools).length === 1, {
      what: 'the parts that have arrived to be gone here',
    })
    expect(partsIn(spools)[0]!.bytes).toBeLessThan(4096)
  }
  let running = alone(spools)
  await waitFor(() => running.err().includes('snapshot kept'), { what: 'the snapshot' })
  for (let round = 0; round < 3; round += 1) {
    await write(20)
    await shippedTo(running, moments.at(-1)!.offset)
    await onlyOpen()
  }
  expect(partsIn(repo).length).toBeGreaterThan(5)
  const second = alone(spools)
  expect(await second.ended).toMatchObject({ code: 1 })
  running.child.kill('SIGKILL')
  await running.ended
  await write(20)
  running = alone(spools)
  await shippedTo(running, moments.at(-1)!.offset)
  expect(running.err()).toContain('going on behind offset')
  expect(running.err()).not.toContain('snapshot kept')
  await onlyOpen()
  await end(running)
  expect(readdirSync(spools)).toEqual([])
  await write(10)
  const elsewhere = join(dir, `elsewhere-${count}`)
  running = alone(elsewhere)
  await shippedTo(running, moments.at(-1)!.offset)
  expect(running.err()).toContain('going on behind offset')
  running.child.kill('SIGKILL')
  await running.ended
  expect((await readCatalogue(repo)).archives).toHaveLength(1)
  await expectMoments(repo, [moments[0]!, ...some(moments, 2), moments.at(-1)!])
  expect((await runCli(['backup', 'verify', `${repo}@archive`])).code).toBe(0)
  // Its spool is lost: nobody knows whether it still runs.
  running = alone(spools, '--for', '1s')
  expect(await running.ended).toMatchObject({ code: 0 })
  expect(running.err()).toContain('was not ended')
  expect((await readCatalogue(repo)).archives).toHaveLength(2)
})

test('what the archive lets go goes there too; prune keeps windows whole', async () => {
  const running = keep(repo, {}, '--snapshot-every', '300ms', '--keep', '2')
  await waitFor(() => running.err().includes('snapshot kept'), { what: 'the snapshot' })
  for (let round = 0; round < 5; round += 1) {
    const before = running.err().split('snapshot kept').length
    await write(5)
    await waitFor(() => running.err().split('snapshot kept').length > before, { what: 'a base' })
  }
  await shippedTo(running, moments.at(-1)!.offset)
  await end(running)
  const [only] = (await readCatalogue(repo)).archives
  const there = (at: string): string[] =>
    readdirSync(join(at, 'appendonlydir')).filter((name) => name.startsWith('appendonly'))
  expect(there(only!.directory).sort()).toEqual(there(archive).sort())
  // Another archive of the same source, long ago.
  const old = only!.directory.replace(/archive-.*$/, 'archive-20200101T000000Z-0000abcd')
  cpSync(only!.directory, old, { recursive: true })
  const sidecar = join(old, 'appendonlydir', 'rrep.json')
  const text = readFileSync(sidecar, 'utf8')
  writeFileSync(
    sidecar,
    text
      .replaceAll(/"unixMs": \d+/g, '"unixMs": 1577836800000')
      .replace(/"unixSeconds": \d+/, '"unixSeconds": 1577836800'),
  )
  await prune(repo, { keep: { last: 1 } })
  expect(existsSync(old)).toBe(true)
  const { removed } = await prune(repo, { keep: { withinMs: 86_400_000 } })
  expect([removed, existsSync(old)]).toEqual([[old], false])
  // Bases went on coming behind the last write, and what lies before the first of them is let go.
  const { offset, counter } = moments.at(-1)!
  const [window] = openArchive(only!.directory).windows
  await expectMoments(repo, [{ offset: Math.max(offset, window!.fromReplOffset ?? 0), counter }])
})

test('a repository that cannot be written is told before the master saves', async () => {
  const running = keep(join(dir, 'no', 'such', 'place'))
  expect(await running.ended).toMatchObject({ code: 1 })
})

describe.skipIf(!hasSwift)('a bucket (Swift of Debian)', () => {
  test('through drops and throttles it catches up, and alone brings moments back', async () => {
    const swift = await startSwift()
    const proxy = await startStoreProxy(swift.port)
    try {
      await swift.makeBucket('backups')
      Object.assign(process.env, swift.env)
      const place = 's3://backups/ship'
      proxy.decide = (number) =>
        number % 20 === 5 ? 'drop' : number % 20 === 9 ? 'slow-down' : 'pass'
      const running = keep(place, envOf(proxy.port), '--rotate', '8kb')
      await waitFor(() => running.err().includes('snapshot kept'), { what: 'the snapshot' })
      await write(40)
      await shippedTo(running, moments.at(-1)!.offset)
      proxy.decide = () => 'slow-down'
      await write(10)
      const { requests } = proxy
      await waitFor(() => proxy.requests > requests + 1, { what: 'some refusals' })
      proxy.decide = () => 'pass'
      await shippedTo(running, moments.at(-1)!.offset)
      await end(running)
      rmSync(archive, { recursive: true })
      await expectMoments(place, some(moments, 3))
      const data = join(dir, 'from-bucket')
      const { offset } = moments[10]!
      expect((await runCli(['restore', place, data, '--until', `offset:${offset}`])).code).toBe(0)
      expect((await runCli(['diff', `${place}@archive`, address])).code).toBe(0)
      expect((await runCli(['backup', 'list', place])).out).toContain('archive-')
    } finally {
      await proxy.stop()
      await swift.stop()
    }
  })
})
