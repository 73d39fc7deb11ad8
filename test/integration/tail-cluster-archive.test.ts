/**
 * The archives of a real cluster under load: slots to and fro, a master killed, rrep killed and started
 * again. What each archive boots to is what its shard holds.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
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

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!

  test('boots to what each shard holds, behind moves, a failover and a kill', async () => {
    const cluster = await startCluster(binary, { masters: 3, replicas: 1 })
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
      await hasWritten(200)
      await moveSlots(a, b, MOVED, [c])
      await hasWritten(200)
      await waitFor(() => handovers().some(({ shard }) => shard === b.id), {
        what: 'the hand-over to be noted',
      })
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
      const replica = cluster.replicas[0]!
      await writer.pause()
      await waitFor(async () => (await offsetOf(replica)) === (await offsetOf(a)), {
        what: 'the replica to have all of it',
      })
      await a.kill('SIGKILL')
      await waitFor(
        () => eventsOf(rrep).filter(({ event }) => event === 'continued').length === 4,
        { what: 'the promoted replica to be followed' },
      )
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
