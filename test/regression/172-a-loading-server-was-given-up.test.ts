/**
 * What a user saw: `diff --by scan` of a server that had just been restarted ended at once with
 * "refused SCAN: LOADING"; a replay into one took the few keys that were there by then for all that
 * it holds; `tail --no-full-sync` said that the server would have to make a full snapshot, which it
 * had not when it was through. All of them wait now, as sync did, and say so.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

/** Some seconds of loading, cut short once somebody has said that he waits. */
const KEYS = 250
const DELAY_US = 12_000

let server: TestServer
let dir: string
let dump: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-test-'))
  dump = join(dir, 'dump.rdb')
  server = await startServer({ args: ['--loading-process-events-interval-bytes', '2048'] })
  // Nothing that could be packed: each key then ends a stretch behind which it answers.
  const values = Array.from({ length: KEYS }, () => randomBytes(2048))
  await Promise.all(values.map((value, i) => server.client.set(`key:${i}`, value)))
  expect((await runCli(['sync', at(), '-o', dump])).code).toBe(0)
  // What it takes to start a diff must not take the time of the loading.
  expect((await runCli(['diff', at(), dump, '--by', 'scan'])).code).toBe(0)
})

afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('diff --by scan waits for a server that is loading', async () => {
  const loading = await load()
  const result = await runCli(['diff', at(), dump, '--by', 'scan'], { onStderr: hasten })
  expect(result.err).toMatch(/is loading its data.*next attempt in/)
  expect(result.out).toBe('')
  expect(result.code, result.err).toBe(0)
  await loading.end()
})

test('and so does a replay into one', async () => {
  const loading = await load()
  const result = await runCli(['replay', dump, at(), '--on-conflict', 'skip'], {
    onStderr: hasten,
  })
  expect(result.err).toMatch(/is loading its data.*next attempt in/)
  expect(result.err).not.toContain('LOADING')
  expect(result.code, result.err).toBe(0)
  await loading.end()
})

test('--wait says for how long', async () => {
  const loading = await load()
  const result = await runCli(['diff', at(), dump, '--by', 'scan', '--wait', '10ms'])
  expect(result.err).toMatch(/refused PING: LOADING/)
  expect(result.code).toBe(3)
  hasten(result.err)
  await loading.end()
})

test('a history is asked for when it is loaded, not before', async () => {
  const halt = new AbortController()
  let said = ''
  const running = runCli(['tail', at(), '--no-full-sync', '--retries', '20', '--match', 'after'], {
    signal: halt.signal,
    onStdout: () => halt.abort(),
    onStderr: (chunk) => {
      said += chunk.toString()
      hasten(chunk)
    },
  })
  try {
    await waitFor(() => said.includes('from offset'), { what: 'tail to follow' })
    await server.client.set('before', '1')
    // What is saved at the end has the history in it.
    await server.client.call('CONFIG', 'SET', 'save', '3600 1', 'shutdown-timeout', '0')
    await server.kill('SIGTERM')
    await server.restart(['--key-load-delay', String(DELAY_US)])
    await waitFor(async () => (await persistence()).includes('loading:0'), { what: 'the load' })
    await server.client.set('after', '1')
    await running
  } finally {
    halt.abort()
    await running
  }
  const result = await running
  expect(result.err).toMatch(/is loading its data/)
  expect(result.err).not.toContain('full snapshot')
  expect(result.out).toMatch(/set "after" "1"/i)
})

function at(): string {
  return `127.0.0.1:${server.port}`
}

function hasten(said: Buffer | string): void {
  if (!/loading/i.test(said.toString())) return
  server.client.call('CONFIG', 'SET', 'key-load-delay', '0').catch(() => undefined)
}

async function persistence(): Promise<string> {
  return await server.client.info('persistence')
}

/** Makes it load its data again; resolves once it does, with a way to wait for the end. */
async function load(): Promise<{ end: () => Promise<unknown> }> {
  await server.client.call('CONFIG', 'SET', 'key-load-delay', String(DELAY_US))
  const reloaded = server.newClient().call('DEBUG', 'RELOAD')
  await waitFor(async () => (await persistence()).includes('loading:1'), { what: 'loading' })
  return { end: async () => await reloaded }
}
