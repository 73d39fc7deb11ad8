/**
 * A target lost its last confirmed writes (kill -9, and an append-only file that ends earlier, as a
 * power cut leaves it with `appendfsync everysec`): rrep went on as if nothing had happened, and
 * said at the end that all keys were written, or that source and target are the same.
 */
import { copyFileSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import type { ServerSettings } from '../../src/net/server-settings.js'
import { replay, type ReplayEvent, type ReplayCall } from '../../src/verbs/replay/run.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const start = ({ source, target, ...rest }: ReplayCall): ReturnType<typeof replay> =>
  replay(source, target, rest)

const KEYS = 20_000

let source: TestServer
let target: TestServer
let dir: string

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-torn-'))
  source = await startServer()
  target = await startServer({ args: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  await source.client.call('DEBUG', 'POPULATE', String(KEYS), 'key', '100')
  await source.client.set('short', 'x', 'EX', 1000)
})
afterEach(async () => {
  await source.stop()
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

const settings = (server: TestServer): ServerSettings =>
  makeServerSettings(`127.0.0.1:${server.port}`)
const aofPath = (): string => {
  const files = join(target.dir, 'appendonlydir')
  return join(
    files,
    readdirSync(files).find((name) => name.endsWith('.incr.aof'))!,
  )
}
/** Killed, and back with the beginning of what it had written. */
async function comeBackWith(aofBytes: (size: number) => number): Promise<void> {
  await target.kill('SIGKILL')
  truncateSync(aofPath(), aofBytes(statSync(aofPath()).size))
  await target.restart()
}
const loaded = async (keys: number): Promise<void> =>
  await waitFor(async () => (await target.client.dbsize()) > keys, { what: `${keys} keys` })
const live = (events: ReplayEvent[]): ReplayCall => ({
  source: { kind: 'server', server: settings(source) },
  target: settings(target),
  untilQuiet: true,
  spoolDir: dir,
  retries: 30,
  rateBytesPerSecond: 2_000_000,
  onEvent: (event) => events.push(event),
})
const isLoadedAgain = (event: ReplayEvent): boolean =>
  event.event === 'warning' && event.message.includes('loaded again')

test('a file whose keys a target has lost again is not told as written', async () => {
  await source.client.save()
  copyFileSync(join(source.dir, 'dump.rdb'), join(dir, 'dump.rdb'))
  const running = replay({ kind: 'file', path: join(dir, 'dump.rdb') }, settings(target), {
    retries: 30,
    rateBytesPerSecond: 2_000_000,
  })
  const failed = expect(running).rejects.toMatchObject({ code: 'ERR_TARGET_RESTARTED' })
  await loaded(KEYS / 3)
  await comeBackWith((size) => Math.floor(size * 0.5))
  await failed
})

test('a file goes on where the restarted target has all that it had confirmed', async () => {
  await source.client.save()
  copyFileSync(join(source.dir, 'dump.rdb'), join(dir, 'dump.rdb'))
  const running = replay({ kind: 'file', path: join(dir, 'dump.rdb') }, settings(target), {
    retries: 30,
    rateBytesPerSecond: 2_000_000,
  })
  await loaded(KEYS / 3)
  await target.restart()
  expect(await running).toMatchObject({ complete: true })
  expect(await target.client.dbsize()).toBe(KEYS + 1)
})

test('a live load whose keys the target has lost again is begun again', async () => {
  const events: ReplayEvent[] = []
  const running = start(live(events))
  await loaded(KEYS / 3)
  await source.client.incr('counter')
  await comeBackWith((size) => Math.floor(size * 0.5))
  const result = await running
  expect(result).toMatchObject({ complete: true, ledger: { keys: { read: KEYS + 1 } } })
  expect(events.some(isLoadedAgain)).toBe(true)
  expect(await digest(target)).toBe(await digest(source))
})

test('a target thrown back from the stream into the load is loaded again', async () => {
  const events: ReplayEvent[] = []
  const stop = new AbortController()
  const running = start({ ...live(events), untilQuiet: false, signal: stop.signal })
  await loaded(KEYS / 3)
  const inLoad = statSync(aofPath()).size
  const phase = async (): Promise<string | null> =>
    await target.client.hget('rrep:checkpoint', 'phase')
  await waitFor(async () => (await phase()) === 'stream', { what: 'the stream' })
  await source.client.incr('counter')
  await waitFor(async () => (await target.client.get('counter')) === '1', { what: 'a command' })
  await comeBackWith(() => inLoad)
  await source.client.incr('counter')
  await waitFor(async () => (await target.client.get('counter')) === '2', { what: 'the rest' })
  stop.abort('SIGINT')
  expect(await running).toMatchObject({ stopped: true })
  expect(events.some(isLoadedAgain)).toBe(true)
  await target.client.del('rrep:checkpoint')
  expect(await digest(target)).toBe(await digest(source))
})
