/**
 * Ways of a stream into a cluster that are seldom gone together: an archive, `mapDb`, `emptyTarget`, a slot that
 * is on the move by MIGRATE for long, with keys that are new meanwhile, and import-mode of Valkey while masters
 * are replaced. At the end source and target are the same. `RREP_SOAK_WAY=MIGRATE`: those with this in their name.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  archive,
  clusterSeeds,
  diff,
  replay,
  type ReplayEvent,
  type ReplayOptions,
  type ReplayResult,
  type TargetName,
} from '../../src/index.js'
import { startCluster, tagsOf, type ClusterNode, type TestCluster } from '../helpers/cluster.js'
import { killMaster } from '../helpers/cluster-faults.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'

const LONG_MS = 12_000
const STOP_MS = 15_000
const ONLY = process.env['RREP_SOAK_WAY'] ?? ''

export async function run(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-cluster-target-ways-'))
  try {
    for (const binary of soakedServers()) {
      const { name } = binary
      const source = await startServer({ binary, args: ['--repl-diskless-sync-delay', '0'] })
      const cluster = await startCluster(binary, { masters: 3, replicas: 3 })
      mkdirSync(join(dir, name))
      const ways = new Ways(source, cluster, join(dir, name))
      try {
        for (const [what, way] of ways.all) {
          if (!what.includes(ONLY)) continue
          await ways.empty()
          await way()
          console.log(`${binary.name}: ${what}: the same`)
        }
      } finally {
        await Promise.all([source.stop(), cluster.stop()])
      }
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

class Ways {
  readonly #source: TestServer
  readonly #cluster: TestCluster
  readonly #nodes: readonly ClusterNode[]
  readonly #seeds: TargetName & object
  readonly #from: string
  readonly #dir: string

  constructor(source: TestServer, cluster: TestCluster, dir: string) {
    this.#source = source
    this.#cluster = cluster
    this.#dir = dir
    this.#from = `127.0.0.1:${source.port}`
    this.#nodes = [...cluster.masters, ...cluster.replicas]
    const places = this.#nodes.map(({ port }) => `127.0.0.1:${port}`)
    this.#seeds = clusterSeeds(`redis-cluster://${places.join(',')}`)
  }

  get all(): readonly (readonly [string, () => Promise<void>])[] {
    return [
      ['an archive', async () => await this.#archive()],
      ['another database', async () => await this.#mapDb()],
      ['emptied before', async () => await this.#emptyTarget()],
      ['a long MIGRATE', async () => await this.#longMigrate()],
      ['a stop while replicas hang', async () => await this.#stopped()],
      ['expiries and failovers', async () => await this.#failovers()],
    ]
  }

  async empty(): Promise<void> {
    await this.#source.client.flushall()
    for (const { client } of this.#cluster.masters) await client.flushall()
  }

  async #write(count: number, db = 0): Promise<void> {
    const pipeline = this.#source.client.pipeline()
    pipeline.select(db)
    for (let i = 0; i < count; i += 1) {
      pipeline.incr(`n:${i % 500}`)
      pipeline.rpush(`l:${i % 500}`, String(i))
      pipeline.set(`t:${i}`, 'x', 'EX', 1000)
    }
    pipeline.select(0)
    await pipeline.exec()
  }

  /** While it streams, `work` is done at the source. */
  async #follow(options: ReplayOptions, work: () => Promise<unknown>): Promise<ReplayResult> {
    const events: ReplayEvent[] = []
    let failure: unknown
    const running = replay(this.#from, this.#seeds, {
      ...{ untilQuiet: true, spoolDir: this.#dir, onEvent: (event) => events.push(event) },
      ...options,
    })
    running.catch((error: unknown) => (failure = error))
    const isThere = (): boolean => events.some(({ event }) => event === 'caught-up')
    await waitFor(() => failure !== undefined || isThere(), { what: 'the stream' })
    await work()
    const result = await running
    assert.deepEqual(result.ledger.failures, [])
    assert.ok(result.complete)
    return result
  }

  async #archive(): Promise<void> {
    await this.#write(3000)
    const stop = new AbortController()
    const dir = join(this.#dir, 'archive')
    const keeping = archive(this.#from, {
      dir,
      signal: stop.signal,
      onProgress: ({ commands }) => {
        if (commands >= 9000) stop.abort()
      },
    })
    const kept = keeping.catch((error: unknown) => {
      if (error !== stop.signal.reason) throw error
    })
    await sleep(1500)
    await this.#write(3000)
    await kept
    await replay(dir, this.#seeds)
    const target = { kind: 'cluster', seeds: this.#seeds } as never
    assert.ok((await diff(this.#from, target)).same)
  }

  async #mapDb(): Promise<void> {
    await this.#write(1000, 3)
    const mapDb = new Map([[3, 0]])
    await this.#follow({ mapDb }, async () => await this.#write(1000, 3))
    const sizes = await Promise.all(
      this.#cluster.masters.map(async ({ client }) => await client.dbsize()),
    )
    assert.equal(
      sizes.reduce((a, b) => a + b, 0),
      2000,
    )
  }

  async #emptyTarget(): Promise<void> {
    const tags = tagsOf(this.#cluster.masters.map((_, i) => 5462 * i + 3))
    for (const [i, { client }] of this.#cluster.masters.entries()) {
      await client.set(`old:{${tags[i]!}}`, 'x')
    }
    await this.#write(1000)
    const options = { emptyTarget: true, verify: true }
    const { verified } = await this.#follow(options, async () => await this.#write(1000))
    assert.ok(verified?.same)
  }

  async #longMigrate(): Promise<void> {
    const [a, b] = this.#cluster.masters as [ClusterNode, ClusterNode]
    const [tag] = tagsOf([100])
    const { client } = this.#source
    for (let i = 0; i < 200; i += 1) await client.set(`k${i}:{${tag!}}`, 'x')
    const { verified } = await this.#follow({ verify: true }, async () => {
      await b.client.call('CLUSTER', 'SETSLOT', 100, 'IMPORTING', a.id)
      await a.client.call('CLUSTER', 'SETSLOT', 100, 'MIGRATING', b.id)
      await migrate(a, b)
      for (let i = 0; i < 300; i += 1) {
        await client.incr(`new${i}:{${tag!}}`)
        await client.append(`k${i % 200}:{${tag!}}`, 'y')
      }
      await sleep(LONG_MS)
      while (await migrate(a, b));
      for (const { client: node } of [b, a, this.#cluster.masters[2]!]) {
        await node.call('CLUSTER', 'SETSLOT', 100, 'NODE', b.id)
      }
    })
    assert.ok(verified?.same)
  }

  /** It does not wait for them, and the next run leaves nothing out. */
  async #stopped(): Promise<void> {
    await this.#write(1000)
    const stop = new AbortController()
    let stoppedMs = 0
    const pids = await Promise.all(
      this.#cluster.replicas.map(async ({ client }) => {
        const info = String(await client.call('INFO', 'server'))
        return Number(/process_id:(\d+)/.exec(info)?.[1])
      }),
    )
    const { stopped } = await this.#follow({ untilQuiet: false, signal: stop.signal }, async () => {
      await this.#write(500)
      for (const pid of pids) process.kill(pid, 'SIGSTOP')
      await this.#write(500)
      await sleep(500)
      stoppedMs = performance.now()
      stop.abort()
    }).finally(() => {
      for (const pid of pids) process.kill(pid, 'SIGCONT')
    })
    assert.ok(stopped)
    assert.ok(performance.now() - stoppedMs < STOP_MS)
    const { verified } = await this.#follow({ verify: true }, async () => await this.#write(500))
    assert.ok(verified?.same)
  }

  async #failovers(): Promise<void> {
    const { client } = this.#source
    for (let i = 0; i < 500; i += 1) await client.set(`t${i}`, 'x', 'PX', 4000 + i * 10)
    const { verified } = await this.#follow({ verify: true }, async () => {
      for (let kill = 0; kill < 2; kill += 1) {
        const killing = killMaster(this.#nodes, kill)
        for (let i = 0; i < 100; i += 1) {
          await client.set(`u${kill}:${i}`, 'x', 'PX', 3000 + i * 10)
          await client.incr('n')
          await sleep(20)
        }
        assert.ok(await killing)
      }
      await client.set('ttl', 'x', 'EX', 500)
    })
    assert.ok(verified?.same)
    for (const node of this.#nodes) {
      const [, mode = 'no'] = await node.client.config('GET', 'import-mode')
      assert.equal(mode, 'no')
    }
  }
}

/** Some keys of slot 100. False: there are none. */
async function migrate(from: ClusterNode, to: ClusterNode): Promise<boolean> {
  const keys = (await from.client.call('CLUSTER', 'GETKEYSINSLOT', 100, 50)) as string[]
  if (keys.length === 0) return false
  const where = ['127.0.0.1', to.port, '', 0, 5000, 'REPLACE', 'KEYS', ...keys]
  await from.client.call('MIGRATE', ...where.map(String))
  return true
}
