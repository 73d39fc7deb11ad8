/** replay sent any command of an AOF or an archive to the target with its own rights: users were
 * made, settings changed, the target became a replica; QUIT connected again without an end, DISCARD
 * took the transaction apart; in diff's own server MIGRATE sent keys to strangers and a script
 * without end could not be interrupted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { interrupt, runCli } from '../helpers/cli.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

interface LedgerJson {
  commands: {
    read: number
    written: number
    skipped: number
    failed: number
    leftOut: Record<string, number>
  }
  failures: { command: string; reason: string }[]
}

let dir: string
let target: TestServer
let address: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-061-'))
  target = await startServer({ args: ['--lua-time-limit', '100'] })
  address = `127.0.0.1:${target.port}`
})
beforeEach(async () => {
  await target.client.flushall()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

function aofOf(name: string, ...commands: readonly (readonly string[])[]): string {
  const path = join(dir, name)
  writeFileSync(path, Buffer.concat(commands.map((args) => encodeCommand(...args))))
  return path
}

const NO_DATA: readonly (readonly string[])[] = [
  ['ACL', 'SETUSER', 'evil', 'on', 'nopass', '~*', '+@all'],
  ['CONFIG', 'SET', 'maxclients', '17'],
  ['REPLICAOF', '127.0.0.1', '1'],
  ['SLAVEOF', '127.0.0.1', '1'],
  ['MODULE', 'LOAD', '/nowhere.so'],
  ['DEBUG', 'SEGFAULT'],
  ['CLIENT', 'PAUSE', '100000'],
  ['CLIENT', 'KILL', 'TYPE', 'normal'],
  ['BGSAVE'],
  ['BGREWRITEAOF'],
  ['SAVE'],
  ['SHUTDOWN', 'NOSAVE'],
  ['MIGRATE', '127.0.0.1', '1', 'a', '0', '10'],
  ['QUIT'],
  ['DISCARD'],
  ['RESET'],
  ['WATCH', 'a'],
  ['SUBSCRIBE', 'c'],
  ['MONITOR'],
  ['AUTH', 'x'],
  ['HELLO', '3'],
  ['GET', 'a'],
  ['KEYS', '*'],
  ['WAIT', '1', '0'],
  ['FAILOVER'],
  ['SCRIPT', 'KILL'],
  ['FUNCTION', 'KILL'],
  ['FCALL', 'f', '0'],
  ['NO.SUCH', 'a'],
]

test('what is no data is refused by name and counted; the data around it is written', async () => {
  const file = aofOf('evil.aof', ['SET', 'a', '1'], ...NO_DATA, ['SET', 'b', '2'])
  const { code, out } = await runCli(['replay', file, address, '--json'])
  const ledger = JSON.parse(out) as LedgerJson
  expect(ledger.commands).toMatchObject({
    read: NO_DATA.length + 2,
    written: 2,
    failed: NO_DATA.length,
  })
  expect(ledger.failures.map(({ command }) => command)).toEqual(NO_DATA.map(([name]) => name))
  expect(code).toBe(7)
  expect(await target.client.mget('a', 'b')).toEqual(['1', '2'])
  expect(await target.client.call('ACL', 'LIST')).toHaveLength(1)
  expect(await target.client.call('CONFIG', 'GET', 'maxclients')).not.toContain('17')
  expect(await target.client.info('replication')).toContain('role:master')
})

test('in a transaction of the source, too: what stands beside it is one transaction still', async () => {
  const file = aofOf(
    'inside.aof',
    ['MULTI'],
    ['SET', 'a', '1'],
    ['RESET'],
    ['SET', 'b', '2'],
    ['EXEC'],
  )
  const { code, out } = await runCli(['replay', file, address, '--json'])
  expect(code).toBe(7)
  expect((JSON.parse(out) as LedgerJson).commands).toMatchObject({ written: 2, failed: 1 })
  expect(await target.client.mget('a', 'b')).toEqual(['1', '2'])
})

test('scripts of old servers are executed; one without an end is ended, and ends the run', async () => {
  const good = aofOf('eval.aof', [
    'EVAL',
    "return redis.call('SET', KEYS[1], ARGV[1])",
    '1',
    'k',
    'v',
  ])
  expect((await runCli(['replay', good, address])).code).toBe(0)
  expect(await target.client.get('k')).toBe('v')
  const endless = aofOf('endless.aof', ['SET', 'a', '1'], ['EVAL', 'while true do end', '0'])
  const { code, err } = await runCli(['replay', endless, address, '--timeout', '1s'])
  expect(err).toContain('a script of the source')
  expect(code).toBe(7)
  expect(await target.client.ping()).toBe('PONG')
})

test("diff's own server connects to nobody, and a script without an end can be interrupted", async () => {
  let visits = 0
  const stranger = createServer(() => (visits += 1))
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
  const port = String((stranger.address() as { port: number }).port)
  const file = aofOf(
    'migrate.aof',
    ['SET', 'a', '1'],
    ['MIGRATE', '127.0.0.1', port, 'a', '0', '500'],
    ['EVAL', `return redis.pcall('MIGRATE', '127.0.0.1', '${port}', 'a', '0', '500')`, '0'],
  )
  await target.client.set('a', '1')
  const { code } = await runCli(['diff', file, address])
  stranger.close()
  expect(visits).toBe(0)
  expect(code).toBe(7)

  const endless = aofOf('endless-diff.aof', ['SET', 'a', '1'], ['EVAL', 'while true do end', '0'])
  const controller = new AbortController()
  const run = runCli(['diff', endless, address], { signal: controller.signal })
  await waitFor(() => true, { what: 'the next turn' })
  setTimeout(() => interrupt(controller, 'SIGTERM'), 1500)
  const startMs = performance.now()
  expect((await run).code).toBe(143)
  expect(performance.now() - startMs).toBeLessThan(10_000)
})
