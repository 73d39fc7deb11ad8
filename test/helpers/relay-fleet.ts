/** A master under writes, a relay, and replicas behind it: what the relay's proofs have in common. */
import { Redis, type ChainableCommander } from 'ioredis'
import { expect } from 'vitest'
import { digest, startServer, waitFor, type TestServer } from './servers.js'
import { replicationInfo } from './serving.js'

export const REPLICA_ARGS = ['--repl-backlog-size', '64mb', '--repl-timeout', '20'] as const

export async function startReplicas(count: number, port: number): Promise<TestServer[]> {
  const args = [...REPLICA_ARGS, '--replicaof', `127.0.0.1 ${port}`]
  return await Promise.all(Array.from({ length: count }, () => startServer({ args })))
}

export interface Writer {
  readonly writes: number
  /** Writes per second, as measured. */
  readonly rate: number
  stop(): Promise<void>
}

/** Mixed writes in several databases, transactions and expiries included. */
export function startWriter(port: number, perSecond: number): Writer {
  const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 50 })
  client.on('error', () => undefined)
  const startedMs = performance.now()
  let stoppedMs = 0
  let writes = 0
  let isRunning = true
  const run = async (): Promise<void> => {
    while (isRunning) {
      const due = ((performance.now() - startedMs) / 1000) * perSecond
      const batch = Math.min(1000, Math.floor(due) - writes)
      if (batch <= 0) {
        await new Promise((resolve) => setTimeout(resolve, 2))
        continue
      }
      const pipeline = client.pipeline()
      for (let index = 0; index < batch; index += 1) addWrite(pipeline, writes + index)
      await pipeline.exec().catch(() => undefined)
      writes += batch
    }
  }
  const running = run()
  return {
    get writes() {
      return writes
    },
    get rate() {
      return writes / (((stoppedMs === 0 ? performance.now() : stoppedMs) - startedMs) / 1000)
    },
    stop: async () => {
      isRunning = false
      await running
      stoppedMs = performance.now()
      client.disconnect()
    },
  }
}

function addWrite(pipeline: ChainableCommander, number: number): void {
  const key = `key:${number % 5000}`
  switch (number % 10) {
    case 0:
      pipeline.hset(`hash:${number % 100}`, key, `value ${number}`)
      break
    case 1:
      pipeline.lpush(`list:${number % 50}`, `element ${number}`).ltrim(`list:${number % 50}`, 0, 99)
      break
    case 2:
      pipeline.zadd(`zset:${number % 50}`, number, key)
      break
    case 3:
      pipeline.set(`expiring:${number % 1000}`, 'soon', 'EX', 1000)
      break
    case 4:
      if (number % 1000 === 4) pipeline.select((number / 1000) & 3)
      else pipeline.incr('counter')
      break
    case 5:
      pipeline.call('MULTI').set(key, number).incr('transactions').call('EXEC')
      break
    default:
      pipeline.set(key, `a value of some length, number ${number}`)
  }
}

/** Waits until everybody is where the master is, and compares their data. */
export async function expectSame(
  master: TestServer,
  replicas: readonly TestServer[],
  timeoutMs = 30_000,
): Promise<void> {
  for (const replica of replicas) {
    await waitFor(
      async () => {
        const [ahead, behind] = await Promise.all([
          replicationInfo(master),
          replicationInfo(replica),
        ])
        return behind.linkUp && behind.replOffset >= ahead.replOffset
      },
      { what: `replica ${replica.port} to catch up`, timeoutMs },
    )
  }
  const wanted = await digest(master)
  for (const replica of replicas) expect(await digest(replica)).toBe(wanted)
}
