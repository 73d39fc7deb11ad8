/** A call that could not work was answered with a hint that did not help, or with none. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import {
  freePort,
  serverBinaries,
  startServer,
  waitFor,
  type TestServer,
} from '../helpers/servers.js'
import { Redis } from 'ioredis'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-hints-'))
const out = join(dir, 'out')
const badPem = join(dir, 'bad.pem')
let plain: TestServer
let locked: TestServer
let node: TestServer
let sentinel: ChildProcess
let sentinelPort: number

beforeAll(async () => {
  writeFileSync(badPem, 'not a certificate')
  sentinelPort = await freePort()
  const config = join(dir, 'sentinel.conf')
  writeFileSync(config, `port ${sentinelPort}\nbind 127.0.0.1\n`)
  sentinel = spawn(serverBinaries()[0]!.server, [config, '--sentinel'], { stdio: 'ignore' })
  plain = await startServer()
  locked = await startServer({ args: ['--requirepass', 'pw'], password: 'pw' })
  node = await startServer({ args: ['--cluster-enabled', 'yes'] })
  const client = new Redis({ port: sentinelPort, lazyConnect: true, retryStrategy: () => 50 })
  client.on('error', () => undefined)
  await waitFor(
    async () =>
      await client.ping().then(
        () => true,
        () => false,
      ),
    {
      what: 'the Sentinel',
    },
  )
  client.disconnect()
})

afterAll(async () => {
  sentinel.kill()
  await once(sentinel, 'exit')
  for (const server of [plain, locked, node]) await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

type Words = () => { args: string[]; says: string; hint: string; code: number }
const at = (server: TestServer): string => `127.0.0.1:${server.port}`
const aSentinel = (...args: string[]): ReturnType<Words> => ({
  args: args.map((each) => (each === 'SENTINEL' ? `127.0.0.1:${sentinelPort}` : each)),
  says: 'is a Sentinel',
  hint: 'name the master',
  code: 5,
})
const aSocket = (...args: string[]): ReturnType<Words> => ({
  args: args.map((each) => (each === 'SOCKET' ? plain.socketPath : each)),
  says: plain.socketPath,
  hint: `unix://${plain.socketPath}`,
  code: 2,
})
const noTls = (...args: string[]): ReturnType<Words> => ({
  args: [...args, '--timeout', '300ms', '--retries', '0'],
  says: 'this port speaks no TLS, it answers without',
  hint: 'take redis://',
  code: 3,
})
const targetWantsPassword = (...args: string[]): ReturnType<Words> => ({
  args,
  says: 'wants a password',
  hint: 'RREP_TARGET_AUTH, --target-password-file',
  code: 4,
})

const CALLS: Record<string, Words> = {
  'sync by TLS from a plain port': () => noTls('sync', `rediss://${at(plain)}`, '-o', out),
  'replay by TLS into a plain port': () => noTls('replay', DUMP, `rediss://${at(plain)}`),
  'replay into a server with a password': () => targetWantsPassword('replay', DUMP, at(locked)),
  'diff with a server with a password as B': () => targetWantsPassword('diff', DUMP, at(locked)),
  'the same by SCAN': () => targetWantsPassword('diff', DUMP, at(locked), '--by', 'scan'),
  'diff with a server with a password as A': () => ({
    args: ['diff', at(locked), DUMP],
    says: 'wants a password',
    hint: 'REDISCLI_AUTH, --password-file',
    code: 4,
  }),
  'inspect of a word that is no file': () => ({
    args: ['inspect', 'nofile-nohost'],
    says: 'no such host',
    hint: 'no file has this name either',
    code: 3,
  }),
  'replay with its arguments swapped': () => ({
    args: ['replay', at(plain), DUMP],
    says: 'is a file',
    hint: `rrep replay ${DUMP} ${at(plain)}`,
    code: 2,
  }),
  'sync of a Sentinel': () => aSentinel('sync', 'SENTINEL', '-o', out),
  'inspect of a Sentinel': () => aSentinel('inspect', 'SENTINEL'),
  'diff with a Sentinel': () => aSentinel('diff', 'SENTINEL', DUMP),
  'diff with a Sentinel by SCAN': () => aSentinel('diff', 'SENTINEL', DUMP, '--by', 'scan'),
  'replay into a Sentinel': () => aSentinel('replay', DUMP, 'SENTINEL'),
  'tail of a Sentinel': () => aSentinel('tail', 'SENTINEL', '--count', '1'),
  'replay into a node of a cluster': () => ({
    args: ['replay', DUMP, at(node)],
    says: 'slots of the cluster have no owner',
    hint: 'into a cluster that is whole',
    code: 5,
  }),
  'a missing --cacert': () => ({
    args: ['sync', at(plain), '-o', out, '--cacert', join(dir, 'none.pem')],
    says: 'none.pem: no such file',
    hint: '',
    code: 1,
  }),
  'a --cert and --key that are none': () => ({
    args: ['sync', at(plain), '-o', out, '--cert', badPem, '--key', badPem],
    says: 'bad.pem is no PEM file',
    hint: '-----BEGIN',
    code: 1,
  }),
  'sync of a socket': () => aSocket('sync', 'SOCKET', '-o', out),
  'inspect of a socket': () => aSocket('inspect', 'SOCKET'),
  'replay into a socket': () => aSocket('replay', DUMP, 'SOCKET'),
  'diff with a socket': () => aSocket('diff', DUMP, 'SOCKET'),
}

describe('it is said what is wrong, and what to do:', () => {
  test.each(Object.keys(CALLS))('%s', async (name) => {
    const { args, says, hint, code } = CALLS[name]!()
    const result = await runCli(args)
    expect(result.err).toContain(says)
    expect(result.err).toContain(hint)
    expect(result.code).toBe(code)
  })

  test('what ends a run is said once', async () => {
    const { err } = await runCli(['tail', '127.0.0.1:1', '--retries', '0'])
    expect(err.match(/connection refused/g)).toHaveLength(1)
  })

  test('nothing is said of expiries that were never touched', async () => {
    const { err } = await runCli(['replay', 'nofile-nohost', at(plain)])
    expect(err).not.toContain('still moved')
  })
})
