/**
 * A link that was ahead of the replica that is promoted had its resume refused: tail had a gap and asked
 * for a snapshot, an archive and a relay took a full resync, and nobody heard of the writes that the
 * failover lost.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  archive,
  tail,
  watch,
  type ArchiveEvent,
  type ServerSettings,
  type TailEvent,
} from '../../src/index.js'
import { startFailingOver, type FailingOver } from '../helpers/failing-over.js'
import { loadArchive } from '../helpers/archives.js'
import { follow, replicationInfo, startServing } from '../helpers/serving.js'
import {
  digest,
  freePort,
  serverBinary,
  startServer,
  waitFor,
  type TestServer,
} from '../helpers/servers.js'

/** The newest are in the soak of Sentinels. */
const families = ['redis-7.0'].filter((name) => serverBinary(name) !== undefined)

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!
  const stops: (() => unknown)[] = []
  let pair: FailingOver
  let master: TestServer
  let heir: TestServer
  let source: ServerSettings

  beforeEach(async () => {
    pair = await startFailingOver(binary)
    ;({ master, heir, source } = pair)
  })
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop()
    await pair.stop()
  })

  test('tail goes on with the new master and says how many writes were lost', async () => {
    const events: TailEvent[] = []
    const seen: string[] = []
    const stop = new AbortController()
    const ended = watch(source, {
      signal: stop.signal,
      allowFullResync: false,
      onEvent: (event) => events.push(event),
      onCommand: (command) => seen.push(String(command.arg(1))),
    }).catch(() => undefined)
    stops.push(async () => {
      stop.abort()
      await ended
    })
    await waitFor(() => events.some(({ event }) => event === 'started'), { what: 'tail' })
    await master.client.set('kept', '1')
    await waitFor(async () => (await heir.client.get('kept')) === '1', { what: 'the heir' })
    await pair.cutOff()
    await master.client.multi().set('lost1', '1').set('lost2', '1').exec()
    await master.client.publish('channel', 'of no account')
    await waitFor(() => seen.includes('channel'), { what: 'what is lost' })
    await pair.promote()
    await waitFor(() => seen.includes('after'), {
      what: `the new master: ${JSON.stringify(events)}`,
    })
    const lost = events.find((each) => each.event === 'writes-lost')
    expect(lost).toMatchObject({ writes: 2 })
    const second = (await replicationInfo(heir)).fields.get('second_repl_offset')
    expect(String(lost?.fromReplOffset)).toBe(second)
    expect(events.filter(({ event }) => event === 'gap')).toEqual([])
  })

  test('an archive is cut back to what the new master has; the rest is set aside', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'rrep-lost-'))
    stops.push(() => rmSync(dir, { recursive: true, force: true }))
    const events: ArchiveEvent[] = []
    const keep = (rotateBytes: number): { end: () => Promise<void> } => {
      const stop = new AbortController()
      const { signal } = stop
      const onEvent = (event: ArchiveEvent): void => void events.push(event)
      const ended = archive(source, { dir, rotateBytes, signal, onEvent }).catch(
        (error: unknown) => {
          if (error !== signal.reason) throw error
        },
      )
      return {
        end: async () => {
          stop.abort()
          await ended
        },
      }
    }
    const run = keep(1000)
    stops.push(run.end)
    const isKept = (offset: string | undefined) => () =>
      events.some((each) => each.event === 'rotated' && each.replOffset > Number(offset))
    await waitFor(() => events.some(({ event }) => event === 'snapshot'), { what: 'the snapshot' })
    await master.client.set('kept', '1')
    await waitFor(async () => (await heir.client.get('kept')) === '1', { what: 'the heir' })
    await pair.cutOff()
    await master.client.select(3)
    // Over several files.
    for (let i = 0; i < 100; i += 1) await master.client.rpush('lost', 'x'.repeat(50))
    const { fields } = await replicationInfo(master)
    await waitFor(isKept(String(Number(fields.get('master_repl_offset')) - 1500)), {
      what: 'the files',
    })
    await pair.promote()
    await heir.client.rpush('lost', 'not')
    await waitFor(() => events.some(({ event }) => event === 'writes-lost'), { what: 'the end' })
    const lost = events.find((each) => each.event === 'writes-lost')
    expect(lost).toMatchObject({
      writes: 100,
      file: expect.stringContaining('rrep-lost-') as string,
    })
    const names: string[] = []
    for await (const { db, args } of tail(lost!.file!)) names.push(`${db} ${String(args[1])}`)
    expect(names).toEqual(Array.from({ length: 100 }, () => '3 lost'))
    await waitFor(async () => await isSame(dir), { what: 'the state of the new master' })
    await run.end()
    expect(events.filter(({ event }) => event === 'full-resync')).toHaveLength(1)
    expect(events.filter(({ event }) => event === 'gap')).toHaveLength(0)

    // A later run goes on behind it.
    const again = keep(0)
    stops.push(again.end)
    await heir.client.set('later', '1')
    await waitFor(async () => await isSame(dir), { what: 'the state of later' })
    expect(events.filter(({ event }) => event === 'full-resync')).toHaveLength(1)
  })

  const isSame = async (dir: string): Promise<boolean> => {
    const server = await loadArchive(dir, binary)
    try {
      return (await digest(server)) === (await digest(heir))
    } finally {
      await server.stop()
    }
  }

  test.each(['in memory', 'on disk'])(
    'a relay, its backlog %s, goes on; only who has what was lost takes a full resync',
    async (where) => {
      const backlogDir = mkdtempSync(join(tmpdir(), 'rrep-lost-'))
      stops.push(() => rmSync(backlogDir, { recursive: true, force: true }))
      const relay = await startServing({
        source,
        ...(where === 'on disk' ? { backlogDir } : {}),
      })
      stops.push(async () => await relay.stop())
      const [ahead, behind] = await Promise.all([startServer({ binary }), startServer({ binary })])
      for (const each of [ahead, behind]) stops.push(async () => await each.stop())
      await follow(ahead, relay.port)
      await follow(behind, relay.port)
      await master.client.set('kept', '1')
      for (const each of [heir, ahead, behind]) {
        await waitFor(async () => (await each.client.get('kept')) === '1', { what: 'all' })
      }
      await pair.cutOff()
      await behind.client.replicaof('127.0.0.1', await freePort())
      await master.client.rpush('lost', 'x'.repeat(100_000))
      await waitFor(async () => (await ahead.client.llen('lost')) === 1, { what: 'what is lost' })
      await pair.promote()
      await waitFor(() => relay.count('upstream-renamed') === 1, { what: 'the relay' })
      await behind.client.replicaof('127.0.0.1', relay.port)
      for (const each of [ahead, behind]) {
        await waitFor(
          async () =>
            (await each.client.get('after')) === '1' &&
            (await digest(each)) === (await digest(heir)),
          { what: `both replicas: ${JSON.stringify(relay.events)}` },
        )
      }
      expect(relay.count('upstream-full-resync')).toBe(1)
      expect(relay.events.find((each) => each.event === 'upstream-lost-writes')).toMatchObject({
        writes: 1,
      })
      expect(relay.events.filter(({ event }) => event === 'full-resync')).toHaveLength(3)
    },
  )
})
