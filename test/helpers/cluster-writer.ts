/** Writers to slots of a cluster, through moves and failovers: a counter and the list of its values for
 * each tag. What is applied twice, or not at all, shows in both. */
import { Cluster } from 'ioredis'
import { waitFor } from './servers.js'

export interface ClusterWriter {
  readonly writes: number
  /** While it holds, nobody writes. Resolves when all have answers. */
  pause(): Promise<void>
  resume(): void
  stop(): Promise<void>
}

/** @param everyMs each of them waits so long before it goes on */
export function startClusterWriter(
  port: number,
  tags: readonly string[],
  everyMs = 0,
): ClusterWriter {
  const client = new Cluster([{ host: '127.0.0.1', port }], {
    clusterRetryStrategy: () => 50,
    retryDelayOnFailover: 50,
    retryDelayOnTryAgain: 20,
  })
  client.on('error', () => undefined)
  let isOver = false
  let writes = 0
  let paused: Promise<void> | undefined
  let resume = (): void => undefined
  let waiting = 0
  const write = async (tag: string): Promise<void> => {
    while (!isOver) {
      if (paused !== undefined) {
        waiting += 1
        await paused
        waiting -= 1
      }
      try {
        const n = await client.incr(`n:{${tag}}`)
        await client.rpush(`l:{${tag}}`, String(n))
        writes += 2
        if (everyMs > 0) await new Promise((resolve) => setTimeout(resolve, everyMs))
      } catch {
        // A failover is under way.
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  const running = Promise.all(tags.map(write))
  return {
    get writes() {
      return writes
    },
    pause: async () => {
      paused = new Promise((resolve) => (resume = resolve))
      await waitFor(() => waiting === tags.length, { what: 'the writers to pause' })
    },
    resume: () => {
      paused = undefined
      resume()
    },
    stop: async () => {
      isOver = true
      paused = undefined
      resume()
      await running
      client.disconnect()
    },
  }
}
