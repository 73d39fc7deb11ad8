/** The state of an archive at a moment, and that of a server, came out as text only. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { parseStates, readStates, sortStates, type KeyState } from '../helpers/fixtures.js'
import { digest, serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const FIXTURE = join(import.meta.dirname, '../../fixtures/redis-8.6')
const binary = serverBinary('redis-8.6')
const dir = mkdtempSync(join(tmpdir(), 'rrep-293-'))
let server: TestServer
beforeAll(async () => {
  if (binary === undefined) return
  server = await startServer({ binary, args: ['--dbfilename', 'in.rdb'] })
  await server.client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
})
afterAll(async () => {
  if (binary !== undefined) await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** Without what depends on when and how the server built it. */
function comparable(states: readonly KeyState[]): unknown[] {
  return sortStates(states).map((state) => ({
    ...state,
    encoding: undefined,
    value: state.type === 'stream' ? undefined : state.value,
  }))
}

test.skipIf(binary === undefined)('each moment of an archive, with its times', async () => {
  const { steps } = JSON.parse(readFileSync(join(FIXTURE, 'aof.steps.json'), 'utf8')) as {
    steps: { timestamp: number; expected: string }[]
  }
  expect(steps.length).toBeGreaterThan(3)
  for (const { timestamp, expected } of steps) {
    const out = join(dir, 'moment.rdb')
    const args = ['--until', String(timestamp), '--with-server', binary!.server, '-o', out]
    const result = await runCli(['export', join(FIXTURE, 'aof'), ...args])
    expect([result.code, result.err]).toEqual([0, expect.any(String)])
    const text = await runCli(['export', out, '--strings', 'base64', '-q'])
    expect(comparable(parseStates(text.out))).toEqual(
      comparable(readStates(join(FIXTURE, expected))),
    )
  }
})

test.skipIf(binary === undefined)(
  'fields keep their times, which are moved while it is built',
  async () => {
    const master = await startServer({ binary: binary!, args: ['--appendonly', 'yes'] })
    try {
      const time = 4102444800123
      await master.client.call('HSET', 'h', 'a', '1', 'b', '2')
      await master.client.call('HPEXPIREAT', 'h', time, 'FIELDS', 1, 'a')
      await master.client.call('HSET', 'plain', 'c', '3')
      await master.client.call('PEXPIREAT', 'plain', time + 1)
      const out = join(dir, 'fields.rdb')
      const from = join(master.dir, 'appendonlydir')
      const result = await runCli(['export', from, '--with-server', binary!.server, '-o', out])
      expect(result.code).toBe(0)
      copyFileSync(out, join(server.dir, 'in.rdb'))
      expect(await server.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
      const fields = await server.client.call('HPEXPIRETIME', 'h', 'FIELDS', 2, 'a', 'b')
      expect(fields).toEqual([time, -1])
      expect(await server.client.call('PEXPIRETIME', 'plain')).toBe(time + 1)
    } finally {
      await master.stop()
    }
  },
)

test.skipIf(binary === undefined)('a live server', async () => {
  const master = await startServer({ binary: binary! })
  try {
    for (let i = 0; i < 200; i += 1) {
      await master.client.set(`s${i}`, `value ${i}`)
      await master.client.zadd('z', i / 3, `m${i}`)
      await master.client.xadd('x', '*', 'f', String(i))
    }
    const out = join(dir, 'live.rdb')
    const result = await runCli(['export', `127.0.0.1:${master.port}`, '-o', out])
    expect(result.code).toBe(0)
    copyFileSync(out, join(server.dir, 'in.rdb'))
    expect(await server.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
    expect(await digest(server)).toBe(await digest(master))
  } finally {
    await master.stop()
  }
})
