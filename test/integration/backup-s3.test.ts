/** Backups in a bucket of a real S3 server (Swift), with and without trouble on the way. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCli, type CliResult } from '../helpers/cli.js'
import { startCluster } from '../helpers/cluster.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import {
  digest,
  serverBinaries,
  startServer,
  waitFor,
  type TestServer,
} from '../helpers/servers.js'
import { startStoreProxy, type StoreProxy } from '../helpers/store-proxy.js'
import { envOf, hasSwift, startSwift, type Swift } from '../helpers/swift.js'

describe.skipIf(!hasSwift)('S3 (Swift of Debian)', () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-s3-'))
  let swift: Swift
  let proxy: StoreProxy
  let source: TestServer
  let address: string
  let count = 0

  beforeAll(async () => {
    ;[swift, source] = await Promise.all([
      startSwift(),
      startServer({ args: ['--repl-diskless-sync-delay', '0'] }),
    ])
    proxy = await startStoreProxy(swift.port)
    address = `127.0.0.1:${source.port}`
    await swift.makeBucket('backups')
    // Some parts: values that nothing makes smaller.
    await source.client.config('SET', 'rdbcompression', 'no')
    await source.client.call('DEBUG', 'POPULATE', 2000, 'large', 10_000)
    await source.client.set('short', 'x', 'EX', 10_000)
  })
  afterAll(async () => {
    await proxy.stop()
    await source.stop()
    await swift.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  /** The SDK looks into the environment of the process. */
  const rrep = async (
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<CliResult> => {
    Object.assign(process.env, swift.env, { AWS_MAX_ATTEMPTS: '4' }, env)
    return await runCli(args)
  }
  const place = (): string => `s3://backups/test/${(count += 1)}`
  const keysOf = async (repo: string): Promise<string[]> => {
    const prefix = repo.slice('s3://backups/'.length)
    const listed = await swift.client.send(
      new ListObjectsV2Command({ Bucket: 'backups', Prefix: `${prefix}/` }),
    )
    return (listed.Contents ?? []).map(({ Key }) => Key!.slice(prefix.length + 1))
  }

  test('stored in parts, listed, verified, read by every command, restored, pruned', async () => {
    const repo = place()
    expect(await rrep(['backup', address, '--to', repo, '--name', 'p'])).toMatchObject({ code: 0 })
    const packed = await rrep([
      'backup',
      address,
      '--to',
      repo,
      '--name',
      'p',
      '--compress',
      'gzip',
      '--json',
    ])
    const { id, directory, keys, expires } = JSON.parse(packed.out) as Record<string, string>
    expect([keys, expires, directory]).toEqual([2001, 1, `${repo}/p/${id!}`])
    // Two of the same second are in the order of chance.
    const stored = await keysOf(repo)
    expect(stored.filter((each) => each.startsWith(`p/${id!}/`))).toEqual([
      `p/${id!}/dump.rdb.gz`,
      `p/${id!}/rrep-backup.json`,
    ])
    expect(stored.filter((each) => !each.startsWith(`p/${id!}/`))).toEqual([
      expect.stringMatching(/^p\/\w+-\w+\/dump\.rdb$/),
      expect.stringMatching(/^p\/\w+-\w+\/rrep-backup\.json$/),
    ])
    expect(await swift.openUploads('backups')).toEqual([])
    expect((await rrep(['backup', 'verify', `${repo}/p@~1`])).code).toBe(0)
    expect((await rrep(['backup', 'verify', repo])).code).toBe(0)
    expect((await rrep(['inspect', `${repo}@latest`, '--json'])).out).toContain('"keys":2001')
    expect((await rrep(['diff', `${repo}@~1`, `${repo}@${id!}`])).code).toBe(0)
    const data = join(dir, 'data')
    expect((await rrep(['restore', `${repo}@~1`, data])).code).toBe(0)
    const restored = await startServer({ dir: data, args: ['--appendonly', 'yes'] })
    expect(await digest(restored)).toBe(await digest(source))
    await restored.client.flushall()
    const replayed = ['replay', `${repo}@latest`, `127.0.0.1:${restored.port}`, '--verify']
    expect((await rrep(replayed)).code).toBe(0)
    await restored.stop()
    expect((await rrep(['backup', 'prune', repo, '--keep-last', '1', '--yes'])).code).toBe(0)
    expect(await keysOf(repo)).toEqual([`p/${id!}/dump.rdb.gz`, `p/${id!}/rrep-backup.json`])
  })

  test('what cannot be written is told before the master saves, with one error', async () => {
    const saves = async (): Promise<string> =>
      /rdb_saves:\d+|total_forks:\d+/.exec(await source.client.info())![0]
    const before = await saves()
    const cases: readonly [string, Record<string, string>, number, string][] = [
      ['s3://backups/x', { AWS_SECRET_ACCESS_KEY: 'wrong' }, 4, 'ERR_STORE_AUTH'],
      ['s3://backups/x', { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }, 4, 'ERR_STORE_AUTH'],
      [
        's3://backups/x',
        { AWS_ACCESS_KEY_ID: 'test:guest', AWS_SECRET_ACCESS_KEY: 'guest' },
        4,
        'ERR_STORE_DENIED',
      ],
      ['s3://no-such-bucket/x', {}, 1, 'ERR_NO_SUCH_BUCKET'],
      ['s3://Not_A_Bucket', {}, 2, 'ERR_USAGE'],
      ['gs://backups/x', {}, 5, 'ERR_NOT_SUPPORTED'],
    ]
    for (const [to, env, code, error] of cases) {
      const failed = await rrep(['backup', address, '--to', to, '--json'], env)
      expect([failed.code, failed.err.split('\n').length, JSON.parse(failed.err)]).toEqual([
        code,
        2,
        expect.objectContaining({ error }),
      ])
    }
    expect(await saves()).toBe(before)
  })

  test('one flipped byte in the store is found', async () => {
    const repo = place()
    await rrep(['backup', address, '--to', repo])
    const Key = `${repo.slice('s3://backups/'.length)}/${(await keysOf(repo))[0]!}`
    const got = await swift.client.send(new GetObjectCommand({ Bucket: 'backups', Key }))
    const bytes = Buffer.from(await got.Body!.transformToByteArray())
    for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
      await swift.client.send(new PutObjectCommand({ Bucket: 'backups', Key, Body: changed }))
      expect((await rrep(['backup', 'verify', repo])).code, `byte ${at}`).toBe(6)
      const data = join(dir, `flipped-${at}`)
      expect((await rrep(['restore', repo, data])).code).toBe(6)
    }
  })

  test('a store that drops, throttles and cuts is asked again; one that never works is told', async () => {
    const repo = place()
    const env = envOf(proxy.port)
    proxy.decide = (number) =>
      number % 20 === 3
        ? 'drop'
        : number % 20 === 7
          ? 'slow-down'
          : number % 20 === 11
            ? 'cut-answer'
            : 'pass'
    for (let round = 0; round < 2; round += 1) {
      expect(await rrep(['backup', address, '--to', repo], env)).toMatchObject({ code: 0 })
      expect((await rrep(['backup', 'verify', repo], env)).code).toBe(0)
    }
    for (const [fate, code] of [
      ['slow-down', 'ERR_STORE_BUSY'],
      ['drop', 'ERR_STORE_UNREACHABLE'],
    ] as const) {
      // From the second part on.
      proxy.decide = (_, { url }) => (url?.includes('partNumber=2') === true ? fate : 'pass')
      const failed = await rrep(['backup', address, '--to', repo, '--json'], env)
      expect([failed.code, JSON.parse(failed.err)]).toEqual([
        3,
        expect.objectContaining({ error: code }),
      ])
    }
    proxy.decide = () => 'pass'
    const listed = await rrep(['backup', 'list', repo, '--json'], env)
    const { backups, unfinished } = JSON.parse(listed.out) as { backups: object[]; unfinished: [] }
    expect([backups.length, unfinished]).toEqual([2, []])
    expect(await keysOf(repo)).toHaveLength(4)
    expect(await swift.openUploads('backups')).toEqual([])
  })

  test('killed at any moment, only whole backups are there; the next run removes the rest', async () => {
    const repo = place()
    const env = { ...swift.env }
    for (let round = 0; round < 4; round += 1) {
      const before = (await keysOf(repo)).length
      const running = spawnRrep(['backup', address, '--to', repo, '--name', 'k'], { env })
      await waitFor(async () => (await keysOf(repo)).length > before, { what: 'the begin' })
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 700))
      running.child.kill(round === 3 ? 'SIGTERM' : 'SIGKILL')
      const { code } = await running.ended
      if (round === 3 && code === 143) expect(await swift.openUploads('backups')).toEqual([])
      const listed = await rrep(['backup', 'list', repo, '--json'])
      const { backups } = JSON.parse(listed.out) as { backups: { id: string }[] }
      for (const { id } of backups) {
        expect((await rrep(['backup', 'verify', `${repo}@${id}`])).code).toBe(0)
      }
    }
    expect((await rrep(['backup', address, '--to', repo, '--name', 'k'])).code).toBe(0)
    const ids = new Set((await keysOf(repo)).map((each) => each.split('/')[1]))
    const listed = await rrep(['backup', 'list', repo, '--json'])
    const { backups, unfinished } = JSON.parse(listed.out) as { backups: object[]; unfinished: [] }
    expect([backups.length, unfinished]).toEqual([ids.size, []])
    expect(await swift.openUploads('backups')).toEqual([])
  })

  test('a cluster: all shards are one source', async () => {
    const cluster = await startCluster(serverBinaries()[0]!, { masters: 3, replicas: 0 })
    const first = `127.0.0.1:${cluster.masters[0]!.port}`
    const repo = place()
    try {
      const dump = join(dir, 'one.rdb')
      await rrep(['sync', address, '-o', dump])
      await rrep(['replay', dump, first])
      expect((await rrep(['backup', '--cluster', first, '--to', repo])).code).toBe(0)
      expect((await rrep(['backup', 'verify', repo])).code).toBe(0)
      expect((await rrep(['diff', `${repo}@latest`, dump])).code).toBe(0)
      expect((await rrep(['inspect', `${repo}@latest`, '--check'])).code).toBe(0)
    } finally {
      await cluster.stop()
    }
  })

  test('nothing of a dump lies on this machine meanwhile', async () => {
    const scratch = join(dir, 'scratch')
    mkdirSync(scratch)
    const running = spawnRrep(['backup', address, '--to', place()], {
      env: { ...swift.env, TMPDIR: scratch },
    })
    const seen = new Set<string>()
    const watch = setInterval(() => readdirSync(scratch).forEach((name) => seen.add(name)), 5)
    expect(await running.ended).toMatchObject({ code: 0 })
    clearInterval(watch)
    expect([...seen].filter((name) => !/^(tsx|node-compile)/.test(name))).toEqual([])
  })
})
