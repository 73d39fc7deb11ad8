/** With `--cluster` a Sentinel was told to be "a server by itself", and a server given as a Sentinel was
 * told to be nobody. Every verb says what it was given, and leaves nothing behind in a target. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Redis } from 'ioredis'
import { runCli } from '../helpers/cli.js'
import {
  freePort,
  serverBinary,
  startServer,
  waitFor,
  type TestServer,
} from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-sentinel-'))
const dump = join(dir, 'dump.rdb')
let server: TestServer
let sentinel: ChildProcess
let at: string
let isThere = false

beforeAll(async () => {
  server = await startServer({ binary: serverBinary('redis-7.0')! })
  await server.client.set('a', '1')
  const port = await freePort()
  at = `127.0.0.1:${port}`
  const config = join(dir, 'sentinel.conf')
  writeFileSync(
    config,
    `port ${port}\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 ${server.port} 1\n`,
  )
  sentinel = spawn('redis-server', [config, '--sentinel'], { stdio: 'ignore', cwd: dir })
  const client = new Redis({ port, retryStrategy: () => 50 })
  client.on('error', () => undefined)
  await waitFor(async () => (await client.ping()).length > 0, { what: 'the Sentinel' })
  client.disconnect()
  isThere = (await runCli(['sync', `127.0.0.1:${server.port}`, '-o', dump])).code === 0
  mkdirSync(join(dir, 'repo'))
  await runCli(['backup', dump, '--to', join(dir, 'repo'), '--name', 'n'])
})
afterAll(async () => {
  sentinel.kill('SIGKILL')
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

const SENTINEL = '<sentinel>'
const other = (): string => `127.0.0.1:${server.port}`

const CALLS: readonly (readonly string[])[] = [
  ['sync', SENTINEL, '-o', join(dir, 'x.rdb')],
  ['sync', '--cluster', SENTINEL, '-o', join(dir, 'cluster')],
  ['inspect', SENTINEL],
  ['inspect', SENTINEL, '--key', 'a'],
  ['inspect', '--cluster', SENTINEL],
  ['inspect', dump, '--compare', SENTINEL],
  ['export', SENTINEL, '-o', join(dir, 'x.jsonl')],
  ['export', dump, '--split', SENTINEL, '-o', join(dir, 'part.rdb')],
  ['tail', SENTINEL],
  ['tail', SENTINEL, '--stats'],
  ['tail', '--cluster', SENTINEL],
  ['tail', SENTINEL, '-o', join(dir, 'archive')],
  ['tail', '--cluster', SENTINEL, '-o', join(dir, 'archives')],
  ['replay', SENTINEL, '<server>'],
  ['replay', '<server>', SENTINEL],
  ['replay', dump, SENTINEL],
  ['replay', dump, SENTINEL, '--dry-run'],
  ['replay', dump, SENTINEL, '--via-replica'],
  ['replay', dump, SENTINEL, '--target-cluster'],
  ['replay', '--cluster', SENTINEL, '<server>'],
  ['replay', '--finish', SENTINEL],
  ['diff', SENTINEL, dump],
  ['diff', dump, SENTINEL],
  ['diff', '<server>', SENTINEL],
  ['diff', dump, SENTINEL, '--stat'],
  ['serve', SENTINEL, '--listen', '127.0.0.1:0'],
  ['backup', SENTINEL, '--to', join(dir, 'repo')],
  ['restore', `${join(dir, 'repo')}@latest`, SENTINEL, '--yes'],
  ['doctor', SENTINEL],
  ['doctor', dump, SENTINEL],
]

test.each(
  CALLS.map((call) => [call.map((word) => word.replace(dir, 'DIR')).join(' '), call] as const),
)('rrep %s', async (_name, call) => {
  expect(isThere).toBe(true)
  const args = call.map((word) => word.replace(SENTINEL, at).replace('<server>', other()))
  const { code, err } = await runCli([...args, '--retries', '0'])
  expect(err).toContain(`${at} is a Sentinel: it holds no keys`)
  expect(err).toContain(`redis-sentinel://${at}#NAME`)
  expect(code).toBe(5)
  expect(await server.client.dbsize()).toBe(1)
})

test('a server given as a Sentinel is told as one', async () => {
  const args = ['sync', `redis-sentinel://${other()}#m`, '-o', join(dir, 'x.rdb'), '--retries', '0']
  const { code, err } = await runCli(args)
  expect(err).toContain(`${other()} is a server, and no Sentinel`)
  expect(err).toContain('redis-sentinel:// names Sentinels')
  expect(code).toBe(5)
})
