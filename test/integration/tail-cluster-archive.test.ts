/**
 * The archives of a real cluster under load: slots to and fro, a master killed, rrep killed and started
 * again. What each archive boots to is what its shard holds.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text as streamText } from 'node:stream/consumers'
import { afterAll, describe, expect, test } from 'vitest'
import { clusterSeeds, diff, exportKeys, replay } from '../../src/index.js'
import { moveSlots, startCluster, tagsOf, type ClusterNode } from '../helpers/cluster.js'
import { startClusterWriter } from '../helpers/cluster-writer.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-tail-cluster-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)
const MOVED: readonly [number, number] = [0, 9]

interface Told {
  event: string
  shard: string
  id?: string
}

interface NodesFile {
  shards: { id: string; port: number }[]
  handovers: { shard: string; needs: Record<string, number> }[]
}

function nodesOf(path: string): NodesFile {
  return JSON.parse(readFileSync(join(path, 'nodes.json'), 'utf8')) as NodesFile
}

function eventsOf(rrep: RrepProcess): readonly Told[] {
  const lines = rrep.out().split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Told)
}

async function offsetOf({ client }: TestServer): Promise<number> {
  const info = await client.info('replication')
  return Number(/^(?:master|slave)_repl_offset:(\d+)/m.exec(info)![1])
}

/** Keys and values of a server by itself, of these slots. */
async function stateOf(server: TestServer): Promise<Readonly<Record<string, unknown>>> {
  const found: Record<string, unknown> = {}
  const names = (await server.client.keys('*')).sort()
  for (const name of names) {
    found[name] = name.startsWith('l:')
      ? await server.client.lrange(name, 0, -1)
      : await server.client.get(name)
  }
  return found
}

async function mergedStateOf(
  servers: readonly TestServer[],
): Promise<Readonly<Record<string, unknown>>> {
  const states = await Promise.all(servers.map(stateOf))
  return Object.assign({}, ...states) as Readonly<Record<string, unknown>>
}

/** Of an archive, at a time. */
async function exported(
  path: string,
  unixMs: number,
  withServer: string,
): Promise<Readonly<Record<string, unknown>>> {
  const lines = new PassThrough()
  const text = streamText(lines)
  await exportKeys(path, { output: lines, format: 'jsonl', until: { unixMs }, withServer })
  lines.end()
  const rows = (await text).trim().split('\n')
  const keys = rows.map((row) => JSON.parse(row) as { key: string; value: unknown })
  expect(new Set(keys.map(({ key }) => key)).size).toBe(keys.length)
  return Object.fromEntries(keys.map(({ key, value }) => [key, value]))
}

const OLD_ENOUGH_MS = 4500

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!

  test('boots to what each shard holds, behind moves, a failover and a kill', async () => {
    // It takes seconds, and is the same in all.
    const replicas = family === 'redis-7.0' ? 1 : 0
    const cluster = await startCluster(binary, { masters: 3, replicas })
    const [a, b, c] = cluster.masters as [ClusterNode, ClusterNode, ClusterNode]
    const output = join(dir, family)
    const args = ['tail', '--cluster', `127.0.0.1:${b.port}`, '-o', output, '--json']
    const begin = (): RrepProcess => spawnRrep(args, { stdout: 'keep' })
    const slots = [0, 1, 4, 9, 10, 3000, 6000, 7000, 11_000, 12_000]
    const writer = startClusterWriter(b.port, tagsOf(slots))
    let rrep = begin()
    const handovers = (): NodesFile['handovers'] => nodesOf(output).handovers
    const isKept = (n: number): boolean =>
      eventsOf(rrep).filter(({ event }) => event === 'snapshot').length >= n
    const hasWritten = async (n: number): Promise<void> => {
      const from = writer.writes
      await waitFor(() => writer.writes >= from + n, { what: 'writes' })
    }
    try {
      await waitFor(() => isKept(3), { what: 'three snapshots' })
      const begunMs = Date.now()
      await hasWritten(200)
      // A moment is cut by when things were received: under load that is later than written.
      await isReceived([a, b, c])
      const fromMs = Date.now()
      await moveSlots(a, b, MOVED, [c])
      await hasWritten(200)
      const toMs = Date.now()
      // On receipt first, then with what its owner before had sent.
      const isAsked = ({ needs }: NodesFile['handovers'][number]): boolean =>
        Object.keys(needs).length > 0
      await waitFor(() => handovers().length > 0 && handovers().every(isAsked), {
        what: 'the hand-over to be noted',
      })
      // Moments near a kill go back by up to four seconds: so many are to be there.
      await waitFor(() => Date.now() > begunMs + OLD_ENOUGH_MS, { what: 'an archive that old' })
      rrep.child.kill('SIGKILL')
      await rrep.ended
      await hasWritten(200)
      rrep = begin()
      await waitFor(
        () => eventsOf(rrep).filter(({ event }) => event === 'continued').length === 3,
        {
          what: 'all three to go on',
        },
      )
      await moveSlots(b, a, MOVED, [c])
      await hasWritten(200)

      // With writes under way we may have what the replica never got.
      await writer.pause()
      const replica = cluster.replicas[0] ?? a
      if (replica !== a) {
        await waitFor(async () => (await offsetOf(replica)) === (await offsetOf(a)), {
          what: 'the replica to have all of it',
        })
        await a.kill('SIGKILL')
        await waitFor(
          () => eventsOf(rrep).filter(({ event }) => event === 'continued').length === 4,
          { what: 'the promoted replica to be followed' },
        )
      }
      // What was written before the pause is kept now: it counts for the second in which it came.
      await waitFor(
        async () => (await Promise.all([replica, b, c].map(isAcknowledged))).every(Boolean),
        { what: 'the last writes to be kept' },
      )
      const quietMs = Date.now()
      const quiet = await mergedStateOf([replica, b, c])
      // The archive counts in whole seconds.
      await waitFor(() => Math.floor(Date.now() / 1000) > Math.floor(quietMs / 1000), {
        what: 'the next second',
      })
      writer.resume()
      await hasWritten(200)
      await writer.stop()
      expect(eventsOf(rrep).filter(({ event }) => event === 'gap')).toEqual([])

      const live = [replica, b, c]
      const ends = tagsOf([3000, 7000, 12_000])
      for (const [i, node] of live.entries()) await node.client.set(`end:{${ends[i]!}}`, family)
      const dirs = [a, b, c].map(({ id }) => join(output, `shard-${id}`))
      const isIn = (path: string, text: string): boolean =>
        readdirSync(join(path, 'appendonlydir')).some((name) =>
          readFileSync(join(path, 'appendonlydir', name), 'latin1').includes(text),
        )
      await waitFor(() => dirs.every((path, i) => isIn(path, `end:{${ends[i]!}}`)), {
        what: 'the last writes to be kept',
      })
      // What TRIMSLOTS deleted no server can load: a snapshot behind it can.
      const hasTrims = (path: string): boolean => {
        const parts = join(path, 'appendonlydir')
        const manifest = readFileSync(join(parts, 'appendonly.aof.manifest'), 'utf8')
        const names = [...manifest.matchAll(/^file (\S+\.incr\.aof)/gm)].map(([, name]) => name!)
        return names.some((name) => readFileSync(join(parts, name), 'latin1').includes('RREP:trim'))
      }
      if (family === 'redis-8.6') {
        expect(dirs.map((path) => isIn(path, 'RREP:trim'))).toEqual([true, true, false])
      }
      await waitFor(() => !dirs.some(hasTrims), {
        what: 'snapshots behind the slots that were trimmed',
      })
      rrep.child.kill('SIGINT')
      expect((await rrep.ended).code).toBe(130)

      for (const [i, path] of dirs.entries()) {
        const copy = join(dir, `${family}-boot-${i}`)
        cpSync(path, copy, { recursive: true })
        const booted = await startServer({ binary, dir: copy, args: ['--appendonly', 'yes'] })
        try {
          expect(await stateOf(booted)).toEqual(await stateOf(live[i]!))
        } finally {
          await booted.stop()
        }
      }
      // As one source: the end is what the cluster holds, a moment what it held.
      const seeds = clusterSeeds(`127.0.0.1:${b.port}`)
      const same = await diff({ kind: 'cluster', seeds }, output, { withServer: binary.server })
      expect([same.same, same.b.keys]).toEqual([true, 2 * slots.length + 3])
      expect(await exported(output, quietMs, binary.server)).toEqual(quiet)
      // While the slots moved, no key is missing, and none stands twice.
      for (const atMs of [fromMs, (fromMs + toMs) / 2, toMs]) {
        const state = await exported(output, atMs, binary.server)
        for (const tag of tagsOf(slots)) {
          const list = state[`l:{${tag}}`] as string[]
          expect(list).toEqual(list.map((_, i) => String(i + 1)))
          // In a slot that moves key by key they may be of two shards, whose streams are not
          // received at once.
          const ahead = Number(state[`n:{${tag}}`]) - list.length
          expect(Math.abs(ahead)).toBeLessThan(1000)
        }
      }
      const target = await startServer({ binary })
      try {
        await replay(output, `127.0.0.1:${target.port}`, { withServer: binary.server })
        expect(await stateOf(target)).toEqual(await mergedStateOf(live))
        // All shards are cut at one vector.
        const until = { unixMs: quietMs }
        await replay(output, `127.0.0.1:${target.port}`, {
          ...{ until, withServer: binary.server, emptyTarget: true },
        })
        expect(await stateOf(target)).toEqual(quiet)
      } finally {
        await target.stop()
      }
      expect(nodesOf(output).shards.map(({ id, port }) => [id, port])).toEqual([
        [a.id, replica.port],
        [b.id, b.port],
        [c.id, c.port],
      ])
      expect(new Set(handovers().map(({ shard }) => shard))).toEqual(new Set([a.id, b.id]))
      for (const { shard, needs } of handovers()) {
        expect(Object.keys(needs)).toEqual([shard === a.id ? b.id : a.id])
      }
    } finally {
      await writer.stop()
      if (rrep.child.exitCode === null) rrep.child.kill('SIGKILL')
      await cluster.stop()
    }
  }, 60_000)
})

/** All who follow them have told that they have what was written by now. */
async function isReceived(nodes: readonly TestServer[]): Promise<void> {
  for (const node of nodes) {
    const written = await offsetOf(node)
    await waitFor(
      async () => {
        const told = acknowledged(await node.client.info('replication'))
        return told.length > 0 && told.every((offset) => offset >= written)
      },
      { what: 'what was written to be received' },
    )
  }
}

function acknowledged(info: string): readonly number[] {
  return [...info.matchAll(/^slave\d+:.*,offset=(\d+)/gm)].map(([, offset]) => Number(offset))
}

/** All who follow it have told that they have all of it. */
async function isAcknowledged({ client }: TestServer): Promise<boolean> {
  const info = await client.info('replication')
  const sent = Number(/master_repl_offset:(\d+)/.exec(info)![1])
  const told = acknowledged(info)
  return told.length > 0 && told.every((offset) => offset >= sent)
}
