/** Backups of real servers: stored, listed, verified, pruned, restored, read by every command. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { backup, readCatalogue } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startCluster } from '../helpers/cluster.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import {
  digest,
  serverBinaries,
  startServer,
  waitFor,
  type TestServer,
} from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-backup-'))
let source: TestServer
let address: string
let repo: string
let count = 0

beforeAll(async () => {
  source = await startServer()
  address = `127.0.0.1:${source.port}`
})
beforeEach(async () => {
  await source.client.flushall()
  await source.client.call('DEBUG', 'POPULATE', 1000, 'key', 100)
  await source.client.set('short', 'x', 'EX', 10_000)
  count += 1
  repo = join(dir, `repo-${count}`)
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

const take = async (...more: string[]) => await runCli(['backup', address, '--to', repo, ...more])

test('stored with a record, private, and read by every command', async () => {
  expect(await take('--name', 'prod', '--json', '--tag', 'nightly')).toMatchObject({ code: 0 })
  await source.client.set('later', '1')
  const packed = await take('--name', 'prod', '--compress', 'gzip', '--json')
  expect(JSON.parse(packed.out)).toMatchObject({ event: 'backed-up', keys: 1002, expires: 1 })
  const { backups } = await readCatalogue(repo)
  expect(backups.map(({ record }) => [record.name, record.keys, record.tags])).toEqual([
    ['prod', 1001, ['nightly']],
    ['prod', 1002, []],
  ])
  for (const { directory, record } of backups) {
    for (const name of readdirSync(directory)) {
      expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600)
    }
    expect(record.databases).toEqual({ '0': { keys: record.keys, expires: 1 } })
  }
  expect((await runCli(['inspect', `${repo}@latest`, '--json'])).out).toContain('"keys":1002')
  expect((await runCli(['inspect', `${repo}/prod@~1`, '--json'])).out).toContain('"keys":1001')
  expect((await runCli(['inspect', `${repo}@${backups[0]!.record.id}`, '--check'])).code).toBe(0)
  const compared = await runCli(['diff', `${repo}@~1`, `${repo}@latest`])
  expect([compared.code, compared.out]).toEqual([7, expect.stringContaining('later')])
  expect((await runCli(['diff', `${repo}@latest`, address])).code).toBe(0)
  const none = await runCli(['inspect', `${repo}@2020-01-01T00:00Z`])
  expect([none.code, none.err]).toEqual([1, expect.stringContaining('the oldest is')])
})

test('one flipped byte is found; what has no record is no backup', async () => {
  await take()
  const [only] = (await readCatalogue(repo)).backups
  expect((await runCli(['backup', 'verify', repo])).code).toBe(0)
  const dump = join(only!.directory, 'dump.rdb')
  const bytes = readFileSync(dump)
  for (const at of [0, 9, bytes.length >> 1, bytes.length - 9, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
    writeFileSync(dump, changed)
    expect((await runCli(['backup', 'verify', repo])).code, `byte ${at}`).toBe(6)
  }
  rmSync(join(only!.directory, 'rrep-backup.json'))
  const listed = await runCli(['backup', 'list', repo])
  expect(listed.err).toContain('has no record')
  expect((await runCli(['inspect', `${repo}@latest`])).code).toBe(1)
})

test('rules keep and remove, the guard holds after a FLUSHALL, and --max-age tells', async () => {
  await take('--keep-last', '2')
  await take('--keep-last', '2')
  await take('--keep-last', '2')
  expect((await readCatalogue(repo)).backups).toHaveLength(2)
  await source.client.flushall()
  for (let night = 1; night <= 10; night += 1) {
    const guarded = await take('--keep-last', '1')
    expect([guarded.code, guarded.err]).toEqual([8, expect.stringContaining('nothing was removed')])
    expect((await readCatalogue(repo)).backups).toHaveLength(2 + night)
  }
  const dry = await runCli(['backup', 'prune', repo, '--keep-last', '1', '--json'])
  expect(JSON.parse(dry.out)).toMatchObject({ dryRun: true, removed: [] })
  expect((await readCatalogue(repo)).backups).toHaveLength(12)
  // The newest, and the last that was whole.
  await runCli(['backup', 'prune', repo, '--keep-last', '1', '--yes'])
  expect((await readCatalogue(repo)).backups.map(({ record }) => record.keys)).toEqual([1001, 0])
  expect((await take('--keep-last', '1', '--no-guard')).code).toBe(0)
  expect((await readCatalogue(repo)).backups.map(({ record }) => record.keys)).toEqual([0])
  expect((await runCli(['backup', 'prune', repo])).code).toBe(2)
  expect((await runCli(['backup', 'list', repo, '--max-age', '1h'])).code).toBe(0)
  expect((await runCli(['backup', 'list', repo, '--max-age', '1ms'])).code).toBe(7)
})

test('options come from the environment, and a wrong call stores nothing', async () => {
  const env = { RREP_TO: repo, RREP_NAME: 'from-env', RREP_SOURCE: address }
  expect(await spawnRrep(['backup'], { env }).ended).toMatchObject({ code: 0 })
  expect((await readCatalogue(repo, 'from-env')).backups).toHaveLength(1)
  for (const args of [
    ['--name', '../x'],
    ['--keep-last', '0'],
    ['--guard', '200%'],
  ]) {
    expect((await take(...args)).code, args.join(' ')).toBe(2)
  }
  expect((await runCli(['backup', address])).code).toBe(2)
  expect((await take('--dry-run')).code).toBe(0)
  expect((await readCatalogue(repo)).backups).toHaveLength(1)
  const fresh = join(dir, 'fresh')
  expect((await runCli(['backup', address, '--to', fresh, '--dry-run'])).code).toBe(0)
  expect(existsSync(fresh)).toBe(false)
  expect((await runCli(['backup', address, '--to', 'gs://bucket/x'])).code).toBe(5)
  expect((await runCli(['backup', 'list', 'gs://bucket/x'])).code).toBe(5)
})

test('restored, every server starts on it with appendonly yes and no', async () => {
  await take('--compress', 'gzip')
  const wanted = await digest(source)
  for (const binary of serverBinaries()) {
    for (const appendonly of ['yes', 'no']) {
      const data = join(dir, `data-${binary.name}-${appendonly}`)
      expect((await runCli(['restore', `${repo}@latest`, data])).code).toBe(0)
      const server = await startServer({ binary, dir: data, args: ['--appendonly', appendonly] })
      expect(await digest(server), `${binary.name} ${appendonly}`).toBe(wanted)
      await server.stop()
      expect((await runCli(['restore', repo, data])).code).toBe(1)
    }
  }
  const refused = await runCli(['restore', repo, '127.0.0.1:6379'])
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('add --yes')])
})

test('a cluster: a dump a shard, and the whole of it comes back', async () => {
  const cluster = await startCluster(serverBinaries()[0]!, { masters: 3, replicas: 0 })
  const first = `127.0.0.1:${cluster.masters[0]!.port}`
  try {
    const dump = join(dir, 'one.rdb')
    await runCli(['sync', address, '-o', dump])
    await runCli(['replay', dump, first])
    const { record } = await backup(`redis-cluster://${first}`, { to: repo, name: 'c' })
    expect(record).toMatchObject({ keys: 1001, isCluster: true })
    expect(record.files).toHaveLength(3)
    expect((await runCli(['backup', 'verify', `${repo}@latest`])).code).toBe(0)
    expect((await runCli(['diff', `${repo}@latest`, dump])).code).toBe(0)
    const nodes = join((await readCatalogue(repo)).backups[0]!.directory, 'nodes.json')
    const text = readFileSync(nodes, 'utf8')
    writeFileSync(nodes, text.replace('master', 'MASTER'))
    const changed = await runCli(['backup', 'verify', `${repo}@latest`])
    expect([changed.code, changed.err]).toEqual([6, expect.stringContaining('nodes.json')])
    writeFileSync(nodes, text)
    for (const { client } of cluster.masters) await client.flushall()
    expect((await runCli(['replay', `${repo}@latest`, first, '--verify'])).code).toBe(0)
    const cut = ['--cluster', first, '--to', join(dir, 'cut'), '--moment', '--json']
    const atOnce = await runCli(['backup', ...cut, '--compress', 'gzip'])
    expect(atOnce.code, atOnce.err).toBe(0)
    const when = { from: expect.any(String) as string }
    expect(JSON.parse(atOnce.out)).toMatchObject({ keys: 1001, moment: when })
    expect((await runCli(['backup', 'verify', join(dir, 'cut')])).code).toBe(0)
    expect((await runCli(['diff', `${join(dir, 'cut')}@latest`, dump])).code).toBe(0)
    expect((await runCli(['backup', address, '--to', repo, '--moment'])).code).toBe(2)
    await cluster.masters[0]!.client.flushall()
    const restored = await runCli(['restore', repo, first, '--cluster', '--yes', '--verify'])
    expect(restored.code, restored.err).toBe(0)
    const proven = await runCli(['backup', 'verify', repo, '--prove', '--json'])
    expect(JSON.parse(proven.out)).toMatchObject({ keys: 1001, proof: { keys: 1001 } })
  } finally {
    await cluster.stop()
  }
})

test('killed at any moment, only whole backups are there, and nothing of the others stays', async () => {
  await source.client.call('DEBUG', 'POPULATE', 50_000, 'more', 500)
  for (let round = 0; round < 8; round += 1) {
    const running = spawnRrep(['backup', address, '--to', repo, '--name', 'k'])
    const place = join(repo, 'k')
    await waitFor(() => existsSync(place) && readdirSync(place).length > 0, { what: 'the begin' })
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 300))
    running.child.kill('SIGKILL')
    await running.ended
    for (const { record } of (await readCatalogue(repo)).backups) {
      expect((await runCli(['backup', 'verify', `${repo}@${record.id}`])).code).toBe(0)
    }
    expect((await readCatalogue(repo)).unfinished).toEqual([])
  }
  const before = (await readCatalogue(repo)).backups.length
  expect((await take('--name', 'k')).code).toBe(0)
  expect((await readCatalogue(repo)).backups).toHaveLength(before + 1)
  expect(readdirSync(join(repo, 'k')).filter((name) => name.startsWith('.'))).toEqual([])
})
