/** A live replay had applied writes that the promoted replica never got: its target kept them, or the run
 * ended with a full resync that it may not take. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { replay, type ReplayEvent, type ReplayOptions, type ReplayResult } from '../../src/index.js'
import { startFailingOver, type FailingOver } from '../helpers/failing-over.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { serverBinary } from '../helpers/servers.js'

const binary = serverBinary('redis-7.0')!
let pair: FailingOver
let target: TestServer
let spoolDir: string
let writing: NodeJS.Timeout | undefined
let events: ReplayEvent[]

beforeEach(async () => {
  pair = await startFailingOver(binary)
  target = await startServer({ binary })
  spoolDir = mkdtempSync(join(tmpdir(), 'rrep-lost-'))
  events = []
})
afterEach(async () => {
  clearInterval(writing)
  await pair.stop()
  await target.stop()
  rmSync(spoolDir, { recursive: true, force: true })
})

const run = async (options: ReplayOptions = {}): Promise<ReplayResult> =>
  await replay(pair.source, `127.0.0.1:${target.port}`, {
    spoolDir,
    onEvent: (event) => events.push(event),
    ...options,
  })

const isTold = (name: ReplayEvent['event']) => () => events.some(({ event }) => event === name)

/** Several databases and types, among them what names several keys. */
async function prepare({ master, heir }: FailingOver): Promise<void> {
  await master.client.mset({ counter: '5', gone: 'x', moved: 'y', kept: 'k' })
  await master.client.rpush('list', 'a', 'b')
  const other = master.newClient(2)
  await other.hset('hash', 'f', '1')
  await sameAs({ master, heir })
}

async function sameAs({ master, heir }: Pick<FailingOver, 'master' | 'heir'>): Promise<void> {
  await waitFor(async () => (await digest(heir)) === (await digest(master)), { what: 'the heir' })
}

async function lose({ master }: FailingOver): Promise<void> {
  const { client } = master
  await client.multi().incrby('counter', 100).rpush('list', 'lost').exec()
  await client.del('gone')
  await client.rename('moved', 'renamed')
  await client.set('fresh', '1', 'EX', 1000)
  await master.newClient(2).hset('hash', 'f', '2', 'g', '3')
  await client.lpush('marker', 'x')
  await waitFor(async () => (await target.client.llen('marker')) === 1, { what: 'what is lost' })
}

/** What the new master's clients do to keys that are being put right, and to others. */
async function goOn({ heir }: FailingOver): Promise<void> {
  const { client } = heir
  await client.incr('counter')
  await client.copy('list', 'copied')
  await client.set('own', '1', 'PX', 1_000_000)
  await client.rename('moved', 'again')
  writing = setInterval(() => {
    void client.incr('counter')
    void client.rpush('list', 'c')
    void client.lmove('list', 'copied', 'LEFT', 'RIGHT')
    void client.incr('other')
  }, 5)
}

test('the keys are put right from the new master, while it is written to', async () => {
  await prepare(pair)
  writing = setInterval(() => void pair.master.client.incr('other'), 50)
  const ended = run({ untilQuiet: true })
  await waitFor(isTold('caught-up'), { what: 'the replay' })
  clearInterval(writing)
  // The last of these is not to be lost with the others.
  await sameAs(pair)
  await pair.cutOff()
  await lose(pair)
  await pair.promote()
  await goOn(pair)
  await waitFor(isTold('repaired'), { what: JSON.stringify(events) })
  clearInterval(writing)
  const { complete } = await ended
  expect(complete).toBe(true)
  expect(await digest(target)).toBe(await digest(pair.heir))
  expect(await target.client.get('fresh')).toBe(null)
  const lost = events.find((each) => each.event === 'writes-lost')
  expect(lost).toMatchObject({ writes: 7, keys: 8 })
  expect(lost!.names).toEqual(
    expect.arrayContaining(['counter', 'list', 'gone', 'moved', 'renamed']),
  )
})

test('a run that ends in between goes on with that', async () => {
  await prepare(pair)
  const stop = new AbortController()
  const ended = run({
    signal: stop.signal,
    onEvent: (event) => {
      events.push(event)
      if (event.event === 'writes-lost') stop.abort()
    },
  })
  await waitFor(isTold('caught-up'), { what: 'the replay' })
  await pair.cutOff()
  await lose(pair)
  await pair.promote()
  await goOn(pair)
  await ended
  expect(isTold('repaired')()).toBe(false)
  const again = run({ untilQuiet: true })
  await waitFor(isTold('repaired'), { what: JSON.stringify(events) })
  clearInterval(writing)
  await again
  expect(await digest(target)).toBe(await digest(pair.heir))
})

test('what names no keys is said, and ends the run', async () => {
  await prepare(pair)
  const ended = run().catch((error: unknown) => error)
  await waitFor(isTold('caught-up'), { what: 'the replay' })
  await pair.cutOff()
  await pair.master.client.flushall()
  await waitFor(async () => (await target.client.exists('kept')) === 0, { what: 'what is lost' })
  await pair.promote()
  expect(await ended).toMatchObject({
    code: 'ERR_FULL_RESYNC_NEEDED',
    message: expect.stringContaining('FLUSHALL') as string,
  })
})
