/** Sentinels over a master and its replicas, as one has them: three, so that two are a majority. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { owned } from './children.js'
import { freePort, waitFor, type ServerBinary, type TestServer } from './servers.js'

export const MASTER = 'mymaster'

export interface Sentinels {
  readonly ports: readonly number[]
  /** What each of them says to this. */
  ask(...words: readonly string[]): Promise<readonly unknown[]>
  /** Ports of the replicas that they list, each of all of them. */
  listed(): Promise<readonly number[]>
  /** What all of them tell from now on: `channel message`. */
  hear(): Promise<string[]>
  /** `redis-sentinel://…#mymaster`, by the first of them alone unless told otherwise. */
  address(scheme?: string): string
  /** Whom the first names. */
  named(): Promise<number>
  /** SENTINEL FAILOVER, until all of them name another. */
  failover(): Promise<void>
  /** Until all of them name another than this port. */
  untilNot(port: number): Promise<void>
  /** All but the first hang, as behind a cut line. */
  pauseOthers(): void
  stop(): Promise<void>
}

export async function startSentinels(
  binary: ServerBinary,
  master: TestServer,
  extra: readonly string[] = [],
): Promise<Sentinels> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-sentinels-'))
  const children: ChildProcess[] = []
  const clients: Redis[] = []
  const listening: Redis[] = []
  const ports: number[] = []
  for (let i = 0; i < 3; i += 1) {
    const port = await freePort()
    const config = join(dir, `${port}.conf`)
    writeFileSync(
      config,
      [
        `port ${port}`,
        'bind 127.0.0.1',
        `sentinel monitor ${MASTER} 127.0.0.1 ${master.port} 2`,
        `sentinel down-after-milliseconds ${MASTER} 2000`,
        `sentinel failover-timeout ${MASTER} 10000`,
        ...extra,
        '',
      ].join('\n'),
    )
    children.push(
      owned(spawn(binary.server, [config, '--sentinel'], { stdio: 'ignore', cwd: dir })),
    )
    const client = new Redis({ port, lazyConnect: true, retryStrategy: () => 50 })
    client.on('error', () => undefined)
    clients.push(client)
    ports.push(port)
  }
  const namedBy = async (client: Redis): Promise<number> => {
    const named = (await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER)) as string[]
    return Number(named[1])
  }
  const row = async (client: Redis): Promise<Map<string, string>> => {
    const flat = (await client.call('SENTINEL', 'MASTER', MASTER)) as string[]
    return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]!]] : [])))
  }
  const ask = async (...words: readonly string[]): Promise<readonly unknown[]> => {
    const [name, ...args] = words
    return await Promise.all(clients.map(async (client) => await client.call(name!, ...args)))
  }
  const untilNot = async (port: number): Promise<void> =>
    await waitFor(
      async () => (await Promise.all(clients.map(namedBy))).every((each) => each !== port),
      { what: 'another master', timeoutMs: 40_000 },
    )
  await waitFor(
    async () => {
      const known = await Promise.all(clients.map(async (client) => await row(client)))
      return known.every(
        (each) =>
          each.get('num-other-sentinels') === '2' &&
          Number(each.get('num-slaves')) > 0 &&
          each.get('flags') === 'master',
      )
    },
    { what: 'the Sentinels to know of each other', timeoutMs: 40_000 },
  )
  return {
    ports,
    ask,
    listed: async () => {
      const lists = (await ask('SENTINEL', 'REPLICAS', MASTER)) as string[][][]
      const found = lists.flat().map((flat) => Number(flat[flat.indexOf('port') + 1]))
      return [...new Set(found)].sort((a, b) => a - b)
    },
    hear: async () => {
      const heard: string[] = []
      for (const port of ports) {
        const client = new Redis({ port, retryStrategy: () => 50 })
        client.on('error', () => undefined)
        client.on('pmessage', (_pattern: string, channel: string, message: string) => {
          heard.push(`${channel} ${message}`)
        })
        listening.push(client)
        await client.psubscribe('*')
      }
      return heard
    },
    address: (scheme = 'redis-sentinel') => `${scheme}://127.0.0.1:${ports[0]!}#${MASTER}`,
    named: async () => await namedBy(clients[0]!),
    failover: async () => {
      const before = await namedBy(clients[0]!)
      await clients[0]!.call('SENTINEL', 'FAILOVER', MASTER)
      await untilNot(before)
    },
    untilNot,
    pauseOthers: () => children.slice(1).forEach((child) => child.kill('SIGSTOP')),
    stop: async () => {
      for (const client of [...clients, ...listening]) client.disconnect()
      for (const child of children) {
        if (child.exitCode !== null) continue
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
