/** All shards of a cluster into a directory, against real clusters of three masters. */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readRdb, syncCluster } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startCluster, type TestCluster } from '../helpers/cluster.js'
import { follow, startServing } from '../helpers/serving.js'
import { serverBinary, startServer, waitFor } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-sync-cluster-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const KEYS = 300
const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!
  let cluster: TestCluster
  let first: string

  beforeAll(async () => {
    cluster = await startCluster(binary, { masters: 3, replicas: 1 })
    first = `127.0.0.1:${cluster.masters[0]!.port}`
    const client = new Cluster([{ host: '127.0.0.1', port: cluster.masters[0]!.port }])
    await Promise.all(
      Array.from({ length: KEYS }, async (_, i) => await client.set(`key:${i}`, String(i))),
    )
    client.disconnect()
  })
  afterAll(async () => await cluster.stop())

  const nothingLeft = (): void =>
    expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([])

  test('each shard once, and nodes.json as redis-cli writes it', async () => {
    const output = join(dir, `${family}-whole`)
    // By the replica: any node will do.
    const { code, out } = await runCli([
      ...['sync', '--cluster', `127.0.0.1:${cluster.replicas[0]!.port}`, '-o', output, '--json'],
    ])
    expect(code).toBe(0)
    const { shards } = JSON.parse(out) as { shards: { file: string; slots: number[][] }[] }
    expect(shards.flatMap(({ slots }) => slots)).toEqual([
      [0, 5461],
      [5462, 10923],
      [10924, 16383],
    ])
    const keys: string[] = []
    for (const { file } of shards) {
      expect(statSync(join(output, file)).mode & 0o777).toBe(0o600)
      for await (const { key } of readRdb(join(output, file))) keys.push(key.toString())
    }
    expect(keys.sort()).toEqual(Array.from({ length: KEYS }, (_, i) => `key:${i}`).sort())
    const theirs = join(dir, `${family}-theirs`)
    mkdirSync(theirs)
    execFileSync(binary.cli, ['--cluster', 'backup', first, theirs], { stdio: 'ignore' })
    // valkey-cli calls them valkey-node-….
    const names = readdirSync(theirs).map((name) => name.replace(/^valkey-/, 'redis-'))
    expect(readdirSync(output).sort()).toEqual(names.sort())
    const nodesOf = (of: string): unknown[] =>
      (JSON.parse(readFileSync(join(of, 'nodes.json'), 'utf8')) as { name: string }[]).sort(
        (a, b) => (a.name < b.name ? -1 : 1),
      )
    const mine = nodesOf(output) as { replicate: string | null }[]
    expect(mine.filter(({ replicate }) => replicate === null)).toEqual(
      (nodesOf(theirs) as { replicate: string | null }[]).filter(
        ({ replicate }) => replicate === null,
      ),
    )
    nothingLeft()
  })

  test('what stands there is not replaced', async () => {
    const output = join(dir, `${family}-mine`)
    mkdirSync(output)
    writeFileSync(join(output, 'mine'), 'x')
    const { code, err } = await runCli(['sync', `redis-cluster://${first}`, '-o', output])
    expect([code, err]).toEqual([1, expect.stringContaining('is not an empty directory')])
    expect(readFileSync(join(output, 'mine'), 'utf8')).toBe('x')
    nothingLeft()
  })

  test('the directory, and the cluster itself, are one source for every verb', async () => {
    const output = join(dir, `${family}-one`)
    await syncCluster(first, { output })
    const live = `redis-cluster://${first}`
    for (const source of [output, live]) {
      const inspected = await runCli(['inspect', source, '--json'])
      expect(JSON.parse(inspected.out)).toMatchObject({
        keys: KEYS,
        checksum: 'ok',
        complete: true,
      })
      const exported = await runCli(['export', source, '-o', '-'])
      expect(exported.out.trim().split('\n')).toHaveLength(KEYS)
    }
    expect(await runCli(['inspect', '--cluster', first, '--check'])).toMatchObject({ code: 0 })
    expect(await runCli(['diff', output, live])).toMatchObject({ code: 0 })
    const target = await startServer({ binary })
    const address = `127.0.0.1:${target.port}`
    try {
      expect(await runCli(['replay', output, address])).toMatchObject({ code: 0 })
      expect(await target.client.dbsize()).toBe(KEYS)
      expect(await runCli(['diff', live, address])).toMatchObject({ code: 0 })
      await target.client.set('key:1', 'another')
      expect(await runCli(['diff', '--cluster', first, address])).toMatchObject({ code: 7 })
      const served = await runCli(['serve', live])
      expect([served.code, served.err]).toEqual([
        5,
        expect.stringContaining('cannot be followed as one'),
      ])
      await target.client.flushall()
      const serving = await startServing({ source: output })
      await follow(target, serving.port)
      await waitFor(async () => (await target.client.dbsize()) === KEYS, { what: 'the keys' })
      await serving.stop()
    } finally {
      await target.stop()
    }
  })

  test('damage in one of the dumps is told with its name and place; a missing one too', async () => {
    const output = join(dir, `${family}-damaged`)
    await syncCluster(first, { output })
    const dumps = readdirSync(output).filter((name) => name.endsWith('.rdb'))
    const victim = join(output, dumps[1]!)
    const bytes = readFileSync(victim)
    const at = bytes.lastIndexOf('key:')
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    writeFileSync(victim, bytes)
    const flipped = await runCli(['inspect', output, '--check', '--json'])
    expect(flipped.code).toBe(6)
    expect(JSON.parse(flipped.err)).toMatchObject({
      error: 'ERR_RDB_CORRUPT',
      file: victim,
      byteOffset: bytes.length - 9,
    })
    bytes.writeUInt8(0xf1, bytes.length - 20)
    writeFileSync(victim, bytes.subarray(0, bytes.length - 30))
    expect(JSON.parse((await runCli(['inspect', output, '--json'])).err)).toMatchObject({
      error: expect.stringMatching(/^ERR_RDB_(TRUNCATED|CORRUPT)$/) as string,
      file: victim,
    })
    rmSync(victim)
    const missing = await runCli(['export', output, '-o', '-'])
    expect([missing.code, missing.err]).toEqual([5, expect.stringContaining('lacks the dump')])
  })

  test('slots on the move are waited for, and told in the end', async () => {
    const [, , third] = cluster.masters
    const [target] = cluster.masters
    await third!.client.call('CLUSTER', 'SETSLOT', 16383, 'MIGRATING', target!.id)
    const output = join(dir, `${family}-moving`)
    const warnings: string[] = []
    const moving = syncCluster(first, {
      output,
      onEvent: (event) => {
        warnings.push(event.message)
        if (warnings.length === 1) void third!.client.call('CLUSTER', 'SETSLOT', 16383, 'STABLE')
      },
    })
    expect((await moving).shards).toHaveLength(3)
    expect(warnings).toEqual([expect.stringContaining('they are taken again')])
    await third!.client.call('CLUSTER', 'SETSLOT', 16383, 'MIGRATING', target!.id)
    await expect(syncCluster(first, { output: `${output}-2` })).rejects.toMatchObject({
      code: 'ERR_CLUSTER_CHANGES',
    })
    await third!.client.call('CLUSTER', 'SETSLOT', 16383, 'STABLE')
    expect(existsSync(`${output}-2`)).toBe(false)
    nothingLeft()
  })

  test('a master that is down, or an interruption, leaves nothing', async () => {
    const stop = new AbortController()
    const output = join(dir, `${family}-stopped`)
    const stopped = syncCluster(first, {
      output,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    })
    const reason: unknown = await stopped.catch((error: unknown) => error)
    expect(reason).toBe(stop.signal.reason)
    await cluster.masters[2]!.kill('SIGKILL')
    await expect(syncCluster(first, { output, retries: 0 })).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(CONNECT_REFUSED|CLUSTER_DOWN)$/) as string,
    })
    expect(existsSync(output)).toBe(false)
    nothingLeft()
    await cluster.masters[2]!.restart()
  })
})
