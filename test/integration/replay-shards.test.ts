/** A live cluster into one server, and into a cluster of fewer shards, while slots move: each counter and each
 * list is whole, and both are the same when the writers have stopped. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { keySlot } from '../../src/topology/key-slot.js'
import { clusterSeeds, replay, type ReplayEvent, type ReplayResult } from '../../src/index.js'
import { moveSlots, startCluster, tagsOf, type TestCluster } from '../helpers/cluster.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { serverBinary, startServer, waitFor } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-replay-shards-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const MOVED: readonly [number, number] = [0, 9]
const SLOTS = [...Array.from({ length: 10 }, (_, i) => i), 3000, 6000, 7000, 11_000, 12_000]
const LIBRARY = "#!lua name=one\nredis.register_function('f', function() return 1 end)"
const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startCluster(binary, { masters: 3, replicas: 0 })
  })
  afterAll(async () => await cluster.stop())

  test('into one server', async () => {
    const [a, b, c] = cluster.masters
    const target = await startServer({ binary })
    const writer = startClusterWriter(a!.port, tagsOf(SLOTS))
    const events: ReplayEvent[] = []
    const seen = (event: string): boolean => events.some((each) => each.event === event)
    try {
      await waitFor(() => writer.writes > 500, { what: 'writes before' })
      let failure: unknown
      const running: Promise<ReplayResult> = replay(
        { kind: 'cluster', seeds: clusterSeeds(`127.0.0.1:${b!.port}`) },
        `127.0.0.1:${target.port}`,
        { untilQuiet: true, verify: true, spoolDir: dir, onEvent: (event) => events.push(event) },
      )
      running.catch((error: unknown) => (failure = error))
      await waitFor(() => failure !== undefined || seen('caught-up'), { what: 'the streams' })
      await moveSlots(a!, b!, MOVED, [c!])
      const between = writer.writes
      await waitFor(() => writer.writes > between + 300, { what: 'writes between' })
      await moveSlots(b!, a!, MOVED, [c!])
      await writer.stop()
      const result = await running
      expect(result.ledger.failures).toEqual([])
      expect(result).toMatchObject({ complete: true, stopped: false, verified: { same: true } })
      expect(await target.client.dbsize()).toBe(2 * SLOTS.length)
      for (const tag of tagsOf(SLOTS)) {
        const list = await target.client.lrange(`l:{${tag}}`, 0, -1)
        expect(list).toEqual(list.map((_, i) => String(i + 1)))
        expect(await target.client.get(`n:{${tag}}`)).toBe(String(list.length))
      }
      if (family !== families[0]) return
      const synced = await replay(
        { kind: 'cluster', seeds: clusterSeeds(`127.0.0.1:${c!.port}`) },
        `127.0.0.1:${target.port}`,
        { untilSynced: true, verify: true, emptyTarget: true, spoolDir: dir },
      )
      expect(synced).toMatchObject({ complete: true, stopped: false, verified: { same: true } })
    } finally {
      await writer.stop()
      await target.stop()
    }
  })

  test.skipIf(family !== families[0])(
    'into a cluster of two, in both of which slots move',
    async () => {
      const [a, b, c] = cluster.masters
      const target = await startCluster(binary, { masters: 2, replicas: 0 })
      const [d, e] = target.masters
      const writer = startClusterWriter(a!.port, tagsOf(SLOTS))
      const events: ReplayEvent[] = []
      try {
        await waitFor(() => writer.writes > 500, { what: 'writes before' })
        let failure: unknown
        const running: Promise<ReplayResult> = replay(
          { kind: 'cluster', seeds: clusterSeeds(`127.0.0.1:${b!.port}`) },
          `127.0.0.1:${d!.port}`,
          { untilQuiet: true, verify: true, spoolDir: dir, onEvent: (event) => events.push(event) },
        )
        running.catch((error: unknown) => (failure = error))
        await waitFor(
          () => failure !== undefined || events.some((each) => each.event === 'caught-up'),
          {
            what: 'the streams',
          },
        )
        await Promise.all([moveSlots(a!, b!, MOVED, [c!]), moveSlots(d!, e!, [5, 14])])
        await a!.client.call('FUNCTION', 'LOAD', LIBRARY)
        const between = writer.writes
        await waitFor(() => writer.writes > between + 300, { what: 'writes between' })
        await Promise.all([moveSlots(b!, a!, MOVED, [c!]), moveSlots(e!, d!, [5, 14])])
        await writer.stop()
        const result = await running
        expect(result.ledger.failures).toEqual([])
        expect(result).toMatchObject({ complete: true, stopped: false, verified: { same: true } })
        const keys = await Promise.all(
          target.masters.map(async (node) => await node.client.dbsize()),
        )
        expect(keys[0]! + keys[1]!).toBe(2 * SLOTS.length)
        for (const tag of tagsOf(SLOTS)) {
          const { client } = keySlot(Buffer.from(tag)) < 8192 ? d! : e!
          const list = await client.lrange(`l:{${tag}}`, 0, -1)
          expect(list).toEqual(list.map((_, i) => String(i + 1)))
          expect(await client.get(`n:{${tag}}`)).toBe(String(list.length))
        }
        for (const { client } of target.masters) {
          expect(JSON.stringify(await client.call('FUNCTION', 'LIST'))).toContain('"one"')
        }
      } finally {
        await writer.stop()
        await target.stop()
        await a!.client.call('FUNCTION', 'FLUSH')
      }
    },
  )
})
