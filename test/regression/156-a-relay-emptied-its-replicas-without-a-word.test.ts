/** An upstream that came back without its data was passed on to the replicas like any other. A
 * replica in the middle would do the same; the relay tells of it before it does. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeEvent, isWarning } from '../../src/cli/render/serve-events.js'
import type { ServeEvent } from '../../src/verbs/serve/run.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { follow, startServing, upstreamOf, type Serving } from '../helpers/serving.js'

let master: TestServer
let replica: TestServer
let relay: Serving

beforeAll(async () => {
  ;[master, replica] = await Promise.all([startServer(), startServer()])
  await master.client.set('key', 'value')
  relay = await startServing({ source: { kind: 'server', server: upstreamOf(master) } })
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
  await follow(replica, relay.port)
})

afterAll(async () => {
  await relay.stop()
  await Promise.all([master.stop(), replica.stop()])
})

async function restarted(times: number): Promise<readonly ServeEvent[]> {
  const before = relay.events.length
  await master.client.call('DEBUG', 'CHANGE-REPL-ID')
  await master.client.call('CLIENT', 'KILL', 'TYPE', 'replica')
  await waitFor(() => relay.count('replica-online') > times, { what: 'the replica' })
  return relay.events.slice(before)
}

test('another history is told before the replicas have to take it', async () => {
  const events = await restarted(1)
  const names = events.map(({ event }) => event)
  const told = events.find(({ event }) => event === 'upstream-other-history')!
  expect(isWarning(told)).toBe(true)
  expect(describeEvent(told)).toContain('all replicas are given its data instead')
  expect(names.indexOf('upstream-other-history')).toBeLessThan(names.indexOf('replica-lost'))
  expect(names).not.toContain('upstream-empty')
  expect(await master.client.get('key')).toBe('value')
})

test('an upstream that has no keys any more is told before the replicas are emptied', async () => {
  await master.client.flushall()
  const events = await restarted(2)
  const names = events.map(({ event }) => event)
  const told = events.find(({ event }) => event === 'upstream-empty')!
  expect(isWarning(told)).toBe(true)
  expect(describeEvent(told)).toBe(
    `127.0.0.1:${master.port}: has no keys any more: all replicas are emptied`,
  )
  expect(names.indexOf('upstream-empty')).toBeLessThan(names.indexOf('replica-online'))
  await waitFor(async () => (await replica.client.dbsize()) === 0, { what: 'the replica' })
})
