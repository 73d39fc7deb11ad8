/** Servers that call themselves by addresses that lead nowhere, as behind NAT: `--map-address`. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeServerSettings, sync } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startCluster, tagsOf, type TestCluster } from '../helpers/cluster.js'
import { startProxy } from '../helpers/cutting-proxy.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { MASTER, startSentinels } from '../helpers/sentinels.js'
import {
  freePort,
  serverBinary,
  startServer,
  waitFor,
  type TestServer,
} from '../helpers/servers.js'
import { follow } from '../helpers/serving.js'

const binary = serverBinary('redis-7.0')!
const dir = mkdtempSync(join(tmpdir(), 'rrep-map-address-'))
let cluster: TestCluster
let target: TestServer
let maps: string[]

beforeAll(async () => {
  ;[cluster, target] = await Promise.all([
    startCluster(binary, { masters: 3, replicas: 0 }),
    startServer({ binary }),
  ])
  maps = []
  const tags = tagsOf([0, 6000, 12_000])
  for (const [i, node] of cluster.masters.entries()) {
    const announced = await freePort()
    maps.push(`127.0.0.1:${announced}=127.0.0.1:${node.port}`)
    await node.client.set(`{${tags[i]!}}key`, '1')
    await node.client.config('SET', 'cluster-announce-port', announced)
  }
  for (const node of cluster.masters) {
    await waitFor(
      async () => {
        const text = String(await node.client.call('CLUSTER', 'NODES'))
        return maps.every((map) => text.includes(` ${map.split('=')[0]!}@`))
      },
      { what: 'all to know the addresses' },
    )
  }
})
afterAll(async () => {
  await Promise.all([cluster.stop(), target.stop()])
  rmSync(dir, { recursive: true, force: true })
})

const mapped = (option = '--map-address'): string[] => maps.flatMap((map) => [option, map])

test('a cluster is read, followed and written under addresses that are mapped', async () => {
  const seed = `127.0.0.1:${cluster.masters[0]!.port}`
  const dumps = join(dir, 'dumps')
  const lost = await runCli(['sync', '--cluster', seed, '-o', dumps, '--retries', '0'])
  expect([lost.code, existsSync(dumps)]).toEqual([3, false])

  const kept = await runCli(['sync', '--cluster', seed, '-o', dumps, ...mapped()])
  expect([kept.code, kept.err]).toEqual([0, expect.any(String)])
  expect(JSON.parse((await runCli(['inspect', dumps, '--json'])).out)).toMatchObject({ keys: 3 })

  const watching = spawnRrep(['tail', '--cluster', seed, '--json', ...mapped()], { stdout: 'keep' })
  const named = maps.map((map) => map.split('=')[0]!)
  await waitFor(
    async () => {
      for (const { client } of cluster.masters) {
        await client.set(String(await client.randomkey()), '2')
      }
      return named.every((name) => watching.out().includes(name))
    },
    { what: `each shard under its own name: ${watching.err()}` },
  )
  watching.child.kill('SIGINT')
  await watching.ended
  const into = `127.0.0.1:${target.port}`
  const copied = await runCli(['replay', '--cluster', seed, into, '--until-quiet', ...mapped()])
  expect([copied.code, await target.client.dbsize()]).toEqual([0, 3])

  const back = await runCli([
    ...['replay', dumps, seed, '--target-cluster', '--on-conflict', 'replace'],
    ...mapped('--target-map-address'),
  ])
  expect([back.code, back.err]).toEqual([0, expect.any(String)])
  for (const { client } of cluster.masters) {
    expect(await client.get(String(await client.randomkey()))).toBe('1')
  }
})

test('what Sentinels name is mapped too, and what is no mapping is refused', async () => {
  const replica = await startServer({ binary })
  await follow(replica, target.port)
  const sentinels = await startSentinels(binary, target)
  const proxy = await startProxy(target.port)
  try {
    const mapAddress = [`127.0.0.1:${target.port}=127.0.0.1:${proxy.port}`]
    const source = makeServerSettings(sentinels.address(), { mapAddress })
    const output = join(dir, `${MASTER}.rdb`)
    await sync(source, { output })
    // The question whether it is a master, and the link.
    expect(proxy.connections).toBeGreaterThanOrEqual(2)
    expect(existsSync(output)).toBe(true)
  } finally {
    await proxy.stop()
    await sentinels.stop()
    await replica.stop()
  }
  for (const map of ['a:1', 'a=b', 'a:1=b', 'a:1=b:2=c:3', 'a:1=b:99999']) {
    const refused = await runCli([
      'sync',
      '127.0.0.1:1',
      '-o',
      join(dir, 'x'),
      '--map-address',
      map,
    ])
    expect([map, refused.code]).toEqual([map, 2])
  }
})
