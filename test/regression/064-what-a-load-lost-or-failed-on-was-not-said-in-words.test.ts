/** A target that throws out keys while it is loaded ended with 0 and "all written"; keys in the way
 * came as twenty lines without a hint; a transform that throws was "a bug in rrep". */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

const KEYS = 20_000
let dir: string
let source: TestServer
let file: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-064-'))
  source = await startServer()
  await source.client.call('DEBUG', 'POPULATE', KEYS, 'key', 300)
  await source.client.call('SAVE')
  file = join(source.dir, 'dump.rdb')
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('a target that evicts: exit 7, with the number and the policy', async () => {
  const target = await startServer({
    args: ['--maxmemory', '6mb', '--maxmemory-policy', 'allkeys-lru'],
  })
  try {
    const { code, err } = await runCli(['replay', file, `127.0.0.1:${target.port}`])
    expect(err).toMatch(/has thrown out [\d,]+ keys meanwhile .*\(maxmemory-policy allkeys-lru\)/)
    expect(err).toContain('not everything was written')
    expect(code).toBe(7)
  } finally {
    await target.stop()
  }
})

test('keys in the way: one line with their number, and what can be done', async () => {
  const address = `127.0.0.1:${source.port}`
  const { code, err } = await runCli(['replay', file, address])
  expect(code).toBe(7)
  expect(err.match(/the key exists/g)).toHaveLength(1)
  expect(err).toMatch(
    /failed: 20,000 times: .*the key exists in the target \(first: db 0 key:\d+\)/,
  )
  expect(err).toContain('--on-conflict skip')
})

test('a transform that throws: at which key, and where in its file', async () => {
  const path = join(dir, 'bad.mjs')
  writeFileSync(path, "export function transform(item) {\n  throw new Error('boom')\n}\n")
  const address = `127.0.0.1:${source.port}`
  const { code, err } = await runCli(['replay', file, address, '--transform', path])
  expect(err).toMatch(/the transform threw at key key:\d+: boom \(.*bad\.mjs:2:9\)/)
  expect(err).not.toContain('bug in rrep')
  expect(code).toBe(1)
})
