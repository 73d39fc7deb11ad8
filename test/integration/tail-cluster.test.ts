/** The streams of all shards of a real cluster: through a failover, and with a shard that is added. */
import { Cluster } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { watchCluster, type TailClusterEvent } from '../../src/index.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { startCluster, type TestCluster } from '../helpers/cluster.js'
import { serverBinary, waitFor } from '../helpers/servers.js'

const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)

describe.each(families)('%s', (family) => {
  let cluster: TestCluster
  let client: Cluster
  const addressOf = (i: number): string => `127.0.0.1:${cluster.masters[i]!.port}`

  beforeAll(async () => {
    cluster = await startCluster(serverBinary(family)!, { masters: 3, replicas: 1 })
    client = new Cluster([{ host: '127.0.0.1', port: cluster.masters[0]!.port }])
  })
  afterAll(async () => {
    client.disconnect()
    await cluster.stop()
  })

  test('each line has its shard, as text and in --json', async () => {
    const args = ['tail', '--cluster', `127.0.0.1:${cluster.replicas[0]!.port}`]
    const runs = [args, [...args, '--json']].map((each) => spawnRrep(each, { stdout: 'keep' }))
    const hasAll = (): boolean =>
      runs.every((run) => [0, 1, 2].every((i) => run.out().includes(addressOf(i))))
    for (let i = 0; !hasAll(); i += 1) await client.set(`key:${i % 100}`, String(i))
    for (const { child } of runs) child.kill('SIGINT')
    expect((await Promise.all(runs.map(({ ended }) => ended))).map(({ code }) => code)).toEqual([
      130, 130,
    ])
    const [text, json] = runs.map((run) => run.out().trim().split('\n')) as [string[], string[]]
    const ofText = text.map((line) => /^\S+Z (\S+) \d+ db[0?] set "key:/i.exec(line)?.[1])
    const ofJson = json.map((line) => (JSON.parse(line) as { shard: string }).shard)
    const all = new Set([0, 1, 2].map(addressOf))
    expect(new Set(ofText)).toEqual(all)
    expect(new Set(ofJson)).toEqual(all)
  })

  test('a shard is followed to the replica that is promoted when its master is killed', async () => {
    const halt = new AbortController()
    const events: TailClusterEvent[] = []
    const seen: { key: string; shard: string | undefined }[] = []
    const running = watchCluster(`127.0.0.1:${cluster.masters[1]!.port}`, {
      signal: halt.signal,
      onEvent: (event) => events.push(event),
      onCommand: (command, { shard }) => {
        seen.push({ key: command.arg(1).toString(), shard })
      },
    })
    const ended = expect(running).rejects.toMatchObject({ name: 'AbortError' })
    const started = (): number => events.filter(({ event }) => event === 'started').length
    await waitFor(() => started() === 3, { what: 'three shards' })
    // `06S` is in slot 0.
    await client.set('{06S}before', '1')
    await waitFor(() => seen.some(({ key }) => key === '{06S}before'), { what: 'the first write' })
    const replica = cluster.replicas[0]!
    await cluster.masters[0]!.kill('SIGKILL')
    await waitFor(async () => String(await replica.client.call('ROLE')).startsWith('master'), {
      what: 'the replica to be promoted',
    })
    await waitFor(() => started() === 4, { what: 'the promoted replica to be followed' })
    await replica.client.set('{06S}behind', '1')
    await waitFor(() => seen.some(({ key }) => key === '{06S}behind'), { what: 'its write' })
    expect(seen.at(-1)).toEqual({ key: '{06S}behind', shard: `127.0.0.1:${replica.port}` })
    expect(events.filter(({ event }) => event === 'gap')).toEqual([])
    expect(events).toContainEqual({
      event: 'master-changed',
      shard: `127.0.0.1:${replica.port}`,
      before: addressOf(0),
      id: cluster.masters[0]!.id,
    })
    halt.abort()
    await ended
  })
})
