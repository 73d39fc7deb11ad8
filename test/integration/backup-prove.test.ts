/** Backups that prove themselves, tell others, go elsewhere and come back. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { readCatalogue } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, serverBinary, startServer, type TestServer } from '../helpers/servers.js'

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

const take = async (...more: string[]) =>
  await runCli(['backup', address, '--to', repo, '--name', 'p', ...more])

/** A server that does not hold what it was given: what `dump` holds in its place. */
function liar(dump: string): string {
  const program = join(dir, `liar-${count}`)
  const script = [
    '#!/bin/sh',
    'if [ "$1" != --version ]; then',
    '  for word; do [ "$last" = --dir ] && place=$word; last=$word; done',
    `  rm "$place/dump.rdb"; cp '${dump}' "$place/dump.rdb"`,
    'fi',
    'exec redis-server "$@"',
  ]
  writeFileSync(program, `${script.join('\n')}\n`)
  chmodSync(program, 0o700)
  return program
}

test('a backup that a server has loaded and holds the same is proven, and stays', async () => {
  const proven = await take('--prove', '--json', '--compress', 'gzip')
  expect(proven.code, proven.err).toBe(0)
  const { proof } = JSON.parse(proven.out) as { proof: object }
  expect(proof).toMatchObject({
    keys: 1001,
    expired: 0,
    server: expect.stringMatching(/7\.0/) as string,
  })
  const [first] = (await readCatalogue(repo)).backups
  expect(Math.abs(first!.provenAtMs! - Date.now())).toBeLessThan(60_000)
  const file = readdirSync(first!.directory).find((name) => name.startsWith('proof-'))!
  expect(statSync(join(first!.directory, file)).mode & 0o777).toBe(0o600)
  expect(JSON.parse(readFileSync(join(first!.directory, file), 'utf8'))).toEqual(proof)
  await take()
  await take('--keep-last', '1')
  const { backups } = await readCatalogue(repo)
  expect(backups.map(({ provenAtMs }) => provenAtMs !== undefined)).toEqual([true, false])
  expect((await runCli(['backup', 'list', repo])).out).toMatch(/ ago +\d/)
  const pruned = await runCli(['backup', 'prune', repo, '--keep-last', '1'])
  expect(pruned.out).toContain('kept: proven')
})

test('one value that differs in the server that loaded it: stored, not proven, nothing removed', async () => {
  await take()
  const other = join(dir, 'other.rdb')
  await source.client.set('key:500', 'changed')
  expect((await runCli(['sync', address, '-o', other])).code).toBe(0)
  await source.client.call('DEBUG', 'RELOAD')
  await source.client.set('key:500', 'value:500')
  const lied = await take('--prove', '--with-server', liar(other), '--keep-last', '1', '--json')
  expect(lied.code, lied.err).toBe(8)
  expect(JSON.parse(lied.out)).toMatchObject({
    pruned: [],
    proofError: { code: 'ERR_NOT_PROVEN', message: expect.stringContaining('1 keys') as string },
  })
  expect((await readCatalogue(repo)).backups).toHaveLength(2)
  const verified = await runCli(['backup', 'verify', repo, '--prove', '--with-server', liar(other)])
  expect([verified.code, verified.err]).toEqual([7, expect.stringContaining('is not proven')])
})

test('a server that does not load it: told, and named; none at all: before the master forks', async () => {
  const broken = join(dir, 'broken.rdb')
  writeFileSync(broken, 'REDIS0099')
  const failed = await take('--prove', '--with-server', liar(broken))
  expect([failed.code, failed.err]).toEqual([8, expect.stringContaining('Fatal error loading')])
  const none = spawnRrep(['backup', address, '--to', join(dir, 'none'), '--prove'], {
    env: { PATH: '/nonexistent' },
  })
  expect(await none.ended).toMatchObject({
    code: 5,
    err: expect.stringContaining('PATH') as string,
  })
  expect(existsSync(join(dir, 'none'))).toBe(false)
})

const newer = serverBinary('redis-8.6')
test.skipIf(newer === undefined)(
  'a dump too new for the server of PATH is told as such',
  async () => {
    const server = await startServer({ binary: newer! })
    await server.client.set('a', '1')
    const place = `127.0.0.1:${server.port}`
    const failed = await runCli(['backup', place, '--to', repo, '--prove'])
    expect([failed.code, failed.err]).toEqual([
      8,
      expect.stringContaining('no server on PATH loads RDB 13'),
    ])
    const restored = await runCli(['restore', repo, join(dir, 'too-new')])
    expect([restored.code, restored.err]).toEqual([0, expect.stringContaining('loads RDB 13')])
    await server.stop()
  },
)

test('pings, metrics and hooks come after the fact; where one fails the status is 8', async () => {
  const asked: string[] = []
  let status = 200
  const listener = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(status).end()
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/uuid`
  const textfile = join(dir, 'rrep.prom')
  const told = join(dir, 'told')
  const hooks = [
    ...[
      '--on-success',
      `echo "$RREP_BACKUP_NAME $RREP_BACKUP_KEYS $RREP_BACKUP_STATUS" >> ${told}`,
    ],
    ...['--on-failure', `echo "failed $RREP_BACKUP_STATUS" >> ${told}`],
  ]
  try {
    const well = await take('--ping', url, '--textfile', textfile, ...hooks)
    expect(well.code, well.err).toBe(0)
    expect(asked).toEqual(['POST /uuid/start', 'POST /uuid'])
    expect(readFileSync(told, 'utf8')).toBe('p 1001 0\n')
    const metrics = readFileSync(textfile, 'utf8')
    expect(metrics).toMatch(/^rrep_backup_keys\{name="p"\} 1001$/m)
    expect(metrics).toMatch(/^rrep_backup_last_exit_code\{name="p"\} 0$/m)
    expect(statSync(textfile).mode & 0o777).toBe(0o644)

    asked.length = 0
    const args = ['backup', '127.0.0.1:1', '--retries', '0', '--to', repo, '--name', 'p']
    const bad = await runCli([...args, '--ping', url, '--textfile', textfile, ...hooks])
    expect(bad.code).toBe(3)
    expect(asked).toEqual(['POST /uuid/start', 'POST /uuid/3'])
    expect(readFileSync(told, 'utf8')).toBe('p 1001 0\nfailed 3\n')
    const after = readFileSync(textfile, 'utf8')
    const success = /^rrep_backup_last_success.*$/m
    expect(success.exec(after)?.[0]).toBe(success.exec(metrics)?.[0])
    expect(after).toMatch(/^rrep_backup_last_exit_code\{name="p"\} 3$/m)
    expect(after).toMatch(/^rrep_backup_sets\{name="p"\} 1$/m)

    status = 500
    const unheard = await take('--ping', url)
    expect([unheard.code, unheard.err]).toEqual([8, expect.stringContaining('status 500')])
    expect(unheard.err).not.toContain('uuid')
    const hook = await take('--on-success', 'exit 3')
    expect([hook.code, hook.err]).toEqual([8, expect.stringContaining('the hook failed: status 3')])
    expect((await take('--textfile', join(dir, 'no', 'such.prom'))).code).toBe(8)
    expect((await readCatalogue(repo)).backups).toHaveLength(4)
  } finally {
    listener.closeAllConnections()
    listener.close()
  }
})

test('each option comes from the environment; a bad value names its variable', async () => {
  const env = { RREP_TO: repo, RREP_NAME: 'e', RREP_TAG: 'nightly', RREP_PROVE: '0' }
  const spawned = (more: Record<string, string>) =>
    spawnRrep(['backup', address, '--json'], { env: { ...env, ...more }, stdout: 'keep' })
  const first = spawned({ RREP_COMPRESS: 'gzip' })
  expect((await first.ended).code).toBe(0)
  expect(JSON.parse(first.out())).toMatchObject({
    ...{ name: 'e', tags: ['nightly'], files: [{ file: 'dump.rdb.gz' }] },
  })
  const bad = await spawned({ RREP_KEEP_DAILY: 'seven' }).ended
  expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('RREP_KEEP_DAILY')])
})

test('a copy is the same backup elsewhere; what changed on the way is not there', async () => {
  await take()
  const other = join(dir, `other-${count}`)
  const copy = async () => await runCli(['backup', 'copy', `${repo}@latest`, other, '--json'])
  expect(JSON.parse((await copy()).out)).toMatchObject({ event: 'copied', copied: true })
  expect(JSON.parse((await copy()).out)).toMatchObject({ copied: false })
  expect((await runCli(['backup', 'verify', other])).code).toBe(0)
  expect((await runCli(['diff', `${repo}@latest`, `${other}@latest`])).code).toBe(0)
  const [stored] = (await readCatalogue(repo)).backups
  const dump = join(stored!.directory, 'dump.rdb')
  const bytes = readFileSync(dump)
  bytes[200] = bytes[200]! ^ 1
  writeFileSync(dump, bytes)
  const third = join(dir, `third-${count}`)
  const damaged = await runCli(['backup', 'copy', `${repo}@latest`, third])
  expect([damaged.code, damaged.err]).toEqual([6, expect.stringContaining('not what was stored')])
  expect(existsSync(third)).toBe(false)
})

test('restored into a server, which held something else', async () => {
  await take()
  const wanted = await digest(source)
  const target = await startServer()
  await target.client.set('other', '1')
  const place = `127.0.0.1:${target.port}`
  expect((await runCli(['restore', repo, place])).code).toBe(2)
  expect(await target.client.get('other')).toBe('1')
  const restored = await runCli(['restore', repo, place, '--yes', '--verify'])
  expect(restored.code, restored.err).toBe(0)
  expect(await digest(target)).toBe(wanted)
  await target.stop()
})

test('a dump and a moment of an archive become backups, too', async () => {
  const dump = join(dir, 'my dump.rdb')
  await runCli(['sync', address, '-o', dump])
  expect((await runCli(['backup', dump, '--to', repo])).code).toBe(0)
  expect((await runCli(['diff', `${repo}/my_dump@latest`, dump])).code).toBe(0)
  const damaged = join(dir, 'damaged.rdb')
  writeFileSync(damaged, readFileSync(dump).subarray(0, 5000))
  expect((await runCli(['backup', damaged, '--to', repo])).code).toBe(6)
  const archive = join(dir, `archive-${count}`)
  mkdirSync(archive)
  writeFileSync(
    join(archive, 'appendonly.aof'),
    '#TS:1700000000\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n#TS:1700000100\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n2\r\n',
  )
  const aof = join(archive, 'appendonly.aof')
  const moment = await runCli(['backup', aof, '--to', repo, '--until', '1700000050', '--name', 'm'])
  expect(moment.code, moment.err).toBe(0)
  const exported = await runCli(['export', `${repo}/m@latest`, '-o', '-'])
  expect(JSON.parse(exported.out)).toMatchObject({ key: 'a', value: '1' })
  expect((await runCli(['backup', address, '--to', repo, '--until', '1700000050'])).code).toBe(2)
})
