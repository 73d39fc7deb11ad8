/**
 * Behind three Sentinels, with each family of servers.
 *
 * Invisible: `tail` and `serve` attached for a minute, then through failovers: SENTINEL REPLICAS never lists
 * them, no event names them; and how long a failover takes until its end is told, with them and without.
 *
 * Followed: an archive and the target of a live replay, while a writer goes on, through failovers of four
 * kinds: asked for; the master killed; frozen and thawed; killed and back without its data. After each both
 * are what the new master has, without another full resync; what a failover lost is told.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import {
  archive,
  diff,
  makeServerSettings,
  replay,
  watch,
  type ArchiveEvent,
  type ReplayEvent,
} from '../../src/index.js'
import { loadArchive } from '../helpers/archives.js'
import { startSentinels, type Sentinels } from '../helpers/sentinels.js'
import {
  digest,
  startServer,
  waitFor,
  type ServerBinary,
  type TestServer,
} from '../helpers/servers.js'
import { soakedServers } from '../helpers/soaked.js'
import { follow, parseInfo, startServing } from '../helpers/serving.js'

const FAMILIES = ['redis-7.0', 'valkey-9.1']
/** Of each kind. */
const ROUNDS = Number(process.env['SOAK_ROUNDS'] ?? 20)
const FAILOVERS = 5
const ATTACHED_MS = 60_000
const ALL = ['asked for', 'killed', 'frozen', 'back empty'] as const
const KINDS = ALL.filter((kind) => (process.env['SOAK_KINDS'] ?? kind).includes(kind))

export async function run(): Promise<void> {
  for (const binary of soakedServers(FAMILIES)) {
    const parts = process.env['SOAK_PARTS'] ?? 'invisible,followed'
    if (parts.includes('invisible')) await invisible(binary)
    if (parts.includes('followed')) await followed(binary)
  }
}

interface Deployment {
  servers: readonly TestServer[]
  sentinels: Sentinels
  master(): Promise<TestServer>
  /** Until all others follow the master that is named. */
  settled(): Promise<void>
  stop(): Promise<void>
}

async function deploy(
  binary: ServerBinary,
  replicas: number,
  timeoutMs = 10_000,
): Promise<Deployment> {
  const servers = await Promise.all(
    Array.from(
      { length: replicas + 1 },
      async () => await startServer({ binary, args: ['--repl-backlog-size', '64mb'] }),
    ),
  )
  for (const each of servers.slice(1)) await follow(each, servers[0]!.port)
  const sentinels = await startSentinels(binary, servers[0]!, [
    // A second failover is not begun before twice this.
    `sentinel failover-timeout mymaster ${timeoutMs}`,
  ])
  const master = async (): Promise<TestServer> => {
    const port = await sentinels.named()
    return servers.find((each) => each.port === port)!
  }
  return {
    servers,
    sentinels,
    master,
    settled: async () => {
      await waitFor(
        async () => {
          const at = await master()
          for (const each of servers) {
            // It has given up on one that was away for long.
            if (each.client.status === 'end') await each.client.connect().catch(() => undefined)
            if (each.client.status !== 'ready') return false
            const info = parseInfo(await each.client.info('replication'))
            if (each === at && info.get('role') !== 'master') return false
            const isFollowing =
              info.get('master_link_status') === 'up' && info.get('master_port') === String(at.port)
            if (each !== at && !isFollowing) return false
          }
          // It is an error where there are too few.
          const quorum = await sentinels.ask('SENTINEL', 'CKQUORUM', 'mymaster').catch(() => [])
          return quorum.length > 0
        },
        { what: 'the replicas to follow the new master', timeoutMs: 90_000 },
      )
    },
    stop: async () => {
      await sentinels.stop()
      for (const each of servers) await each.stop()
    },
  }
}

async function invisible(binary: ServerBinary): Promise<void> {
  const deployment = await deploy(binary, 2)
  const { sentinels, servers } = deployment
  const heard = await sentinels.hear()
  try {
    const without = await failovers(deployment, heard)
    const server = makeServerSettings(sentinels.address())
    const relay = await startServing({ source: server })
    const stop = new AbortController()
    const watching = watch(server, { signal: stop.signal }).catch(() => undefined)
    const hidden = async (): Promise<number> => {
      const info = await (await deployment.master()).client.info('replication')
      return info.split('ip=rrep.invalid,').length - 1
    }
    await waitFor(async () => (await hidden()) === 2, { what: 'both links' })
    const isStrange = (port: number): boolean => servers.every((each) => each.port !== port)
    const listed: number[] = []
    const sinceMs = Date.now()
    let looks = 0
    while (Date.now() - sinceMs < ATTACHED_MS) {
      await new Promise((resolve) => setTimeout(resolve, 500))
      listed.push(...(await sentinels.listed()).filter(isStrange))
      looks += 1
    }
    const within = await failovers(deployment, heard, async () => {
      listed.push(...(await sentinels.listed()).filter(isStrange))
    })
    await waitFor(async () => (await hidden()) === 2, { what: 'both links behind the failovers' })
    stop.abort()
    await watching
    await relay.stop()
    const named = heard.filter((line) => {
      const replica = / slave \S+ \S+ (\d+) @ /.exec(line)?.[1]
      return line.includes('rrep') || (replica !== undefined && isStrange(Number(replica)))
    })
    console.log(
      `${binary.name}: listed ${listed.length} times in ${looks} looks and ${FAILOVERS} failovers; ` +
        `events that name it ${named.length}; ` +
        `failover-end after ${within.map((ms) => Math.round(ms)).join(', ')} ms, ` +
        `without rrep ${without.map((ms) => Math.round(ms)).join(', ')} ms ` +
        `(medians ${Math.round(median(within))} and ${Math.round(median(without))})`,
    )
    assert.deepEqual([listed, named], [[], []])
    assert.equal(relay.count('upstream-full-resync'), 1)
  } finally {
    await deployment.stop()
  }
}

/** How long each took until its leader said that it is over. */
async function failovers(
  deployment: Deployment,
  heard: string[],
  during: () => Promise<void> = async () => await Promise.resolve(),
): Promise<number[]> {
  const { sentinels } = deployment
  const times: number[] = []
  const ends = (): number => heard.filter((line) => line.startsWith('+failover-end ')).length
  for (let i = 0; i < FAILOVERS; i += 1) {
    await deployment.settled()
    const before = ends()
    const sinceMs = performance.now()
    await waitFor(
      async () => {
        try {
          await sentinels.failover()
          return true
        } catch (error) {
          // One is under way, or a replica is not known to be good yet.
          if (/INPROG|NOGOODSLAVE/.test(String(error))) return false
          throw error
        }
      },
      { what: 'a failover', timeoutMs: 60_000 },
    )
    await waitFor(() => ends() > before, { what: 'its end', timeoutMs: 60_000 })
    times.push(performance.now() - sinceMs)
    await during()
  }
  return times
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

/** Commands of several kinds to whoever is the master, one after the other. */
class Writer {
  acknowledged = 0
  #client: Redis | undefined
  #isStopped = false
  #done: Promise<void>
  readonly #sentinels: Sentinels

  constructor(sentinels: Sentinels) {
    this.#sentinels = sentinels
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#done
    this.#client?.disconnect()
  }

  again(): void {
    this.#isStopped = false
    this.#done = this.#run()
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#isStopped; i += 1) {
      try {
        this.#client ??= await this.#connect()
        const results = await this.#client
          .multi()
          .incr('counter')
          .rpush(`list:${i % 20}`, i)
          .ltrim(`list:${i % 20}`, -50, -1)
          .hset(`hash:${i % 50}`, 'field', i, `f${i % 7}`, 'x')
          .set(`text:${i % 30}`, i)
          .del(`list:${(i + 7) % 20}`)
          .exec()
        if (results?.some(([error]) => error !== null) === true) throw new Error('refused')
        this.acknowledged += 1
      } catch {
        this.#client?.disconnect()
        this.#client = undefined
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }

  async #connect(): Promise<Redis> {
    const client = new Redis({
      port: await this.#sentinels.named(),
      maxRetriesPerRequest: 0,
      commandTimeout: 1000,
      retryStrategy: () => null,
      lazyConnect: true,
    })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }
}

async function followed(binary: ServerBinary): Promise<void> {
  const deployment = await deploy(binary, 1, 3000)
  const { sentinels } = deployment
  const target = await startServer({ binary })
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-sentinel-'))
  const kept: ArchiveEvent[] = []
  const played: ReplayEvent[] = []
  const source = makeServerSettings(sentinels.address())
  const stop = new AbortController()
  const { signal } = stop
  const failures: unknown[] = []
  const fail = (error: unknown): void => {
    if (error !== signal.reason) failures.push(error)
  }
  const writer = new Writer(sentinels)
  const keeping = archive(source, {
    dir: join(dir, 'archive'),
    rotateBytes: 1 << 20,
    signal,
    onEvent: (event) => kept.push(event),
  }).catch(fail)
  const playing = replay(source, `127.0.0.1:${target.port}`, {
    spoolDir: join(dir, 'spool'),
    retries: 40,
    signal,
    onEvent: (event) => played.push(event),
  }).catch(fail)
  try {
    await waitFor(() => kept.some(({ event }) => event === 'snapshot'), { what: 'the archive' })
    await waitFor(() => played.some(({ event }) => event === 'caught-up'), { what: 'the replay' })
    for (const kind of KINDS) {
      for (let round = 0; round < ROUNDS; round += 1) {
        await oneFailover(kind, deployment)
        await deployment.settled()
        await writer.stop()
        const now = await deployment.master()
        await waitFor(
          async () => {
            if (failures.length > 0) throw failures[0] as Error
            return await isSame(target, now)
          },
          { what: `the target after ${kind}, round ${round}`, timeoutMs: 60_000 },
        ).catch((error: unknown) => {
          console.log(JSON.stringify(played.slice(-10)))
          throw error
        })
        await waitFor(async () => await isKept(join(dir, 'archive'), binary, now), {
          what: `the archive after ${kind}, round ${round}`,
          timeoutMs: 60_000,
        })
        writer.again()
      }
      const fulls = kept.filter(({ event }) => event === 'full-resync').length
      const losses = kept.filter((each) => each.event === 'writes-lost')
      const lost = losses.reduce((sum, { writes }) => sum + (writes ?? 0), 0)
      const repairs = played.filter(({ event }) => event === 'repaired').length
      console.log(
        `${binary.name}: ${kind}, ${ROUNDS} rounds: archive and target are what the new master has; ` +
          `${fulls} full resync in all, ${losses.length} failovers lost ${lost} writes that we had, ` +
          `${repairs} repairs of the target`,
      )
      assert.equal(fulls, 1)
      assert.equal(kept.filter(({ event }) => event === 'gap').length, 0)
    }
    await writer.stop()
    const counter = Number(await (await deployment.master()).client.get('counter'))
    console.log(
      `${binary.name}: ${writer.acknowledged} transactions acknowledged, the counter is ${counter}`,
    )
  } finally {
    await writer.stop()
    stop.abort()
    await Promise.all([keeping, playing])
    await target.stop()
    await deployment.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function oneFailover(kind: (typeof ALL)[number], deployment: Deployment): Promise<void> {
  const { sentinels } = deployment
  const before = await deployment.master()
  switch (kind) {
    case 'asked for':
      await sentinels.failover()
      break
    case 'killed':
      await before.kill('SIGKILL')
      await sentinels.untilNot(before.port)
      await before.restart(['--replicaof', `127.0.0.1 ${await sentinels.named()}`])
      break
    case 'frozen':
      process.kill(before.pid, 'SIGSTOP')
      try {
        await sentinels.untilNot(before.port)
      } finally {
        process.kill(before.pid, 'SIGCONT')
      }
      break
    case 'back empty':
      await before.kill('SIGKILL')
      await sentinels.untilNot(before.port)
      await before.restart()
  }
}

/** But for the checkpoint, which is ours. */
async function isSame(target: TestServer, master: TestServer): Promise<boolean> {
  const [a, b] = [master, target].map(({ port }) => makeServerSettings(`127.0.0.1:${port}`))
  return (await diff(a!, b!, { filter: { noMatch: ['rrep:checkpoint'] } })).same
}

async function isKept(dir: string, binary: ServerBinary, master: TestServer): Promise<boolean> {
  // A child that rewrites it would outlive the server.
  const server = await loadArchive(dir, binary, ['--auto-aof-rewrite-percentage', '0'])
  try {
    return (await digest(server)) === (await digest(master))
  } finally {
    await server.stop()
  }
}
