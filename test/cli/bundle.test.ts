/**
 * The bundle that users run, made afresh, against a real server: the other tests run the sources,
 * where what is bundled with them cannot be missing.
 */
import { execFile, spawn } from 'node:child_process'
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const fixture = join(root, 'fixtures/demo/ecommerce.rdb')
// Inside of the project: it imports what is not bundled from its node_modules.
const bundle = join(root, `dist/bundle-test-${process.pid}`)
const entry = join(bundle, 'rrep.cjs')
let dir: string
let server: TestServer
let address: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-bundle-'))
  await run(process.execPath, [join(root, 'src/cli/build.mjs'), bundle])
  writeFileSync(entry, "require('./start.cjs').run().then((code) => (process.exitCode = code))\n")
  server = await startServer()
  address = `127.0.0.1:${server.port}`
})

afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
  rmSync(bundle, { recursive: true, force: true })
})

async function rrep(...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, [entry, ...args])
  return stdout + stderr
}

test('files: inspect, export, and the demo', async () => {
  expect(await rrep('inspect', fixture, '--check')).toContain('sound: RDB 11, 4,641 keys')
  expect(await rrep('inspect', fixture)).toContain('4,641')
  expect(await rrep('export', fixture, '--format', 'jsonl')).toContain('user:1997')
  expect(await rrep('demo')).toContain('checksum ok')
})

test('--debug names the places of the sources', async () => {
  const failed = run(process.execPath, [entry, 'inspect', join(dir, 'none.rdb'), '--debug'])
  const { stderr } = await failed.then(
    () => ({ stderr: '' }),
    (error: unknown) => error as { stderr: string },
  )
  expect(stderr).toMatch(/at classifySource \(src\/source\/classify\.ts:\d+:\d+\)/)
  expect(stderr).not.toContain('run.js')
})

test('the code that V8 kept is used; damaged or of another Node, it is not missed', async () => {
  const ask = "console.log(require('./start.cjs').hasKeptCode)"
  const asked = join(bundle, 'ask.cjs')
  writeFileSync(asked, ask)
  const hasKeptCode = async (...args: string[]): Promise<string> => {
    const { stdout } = await run(process.execPath, [asked, ...args])
    return stdout.trim()
  }
  for (const command of ['inspect', 'export', 'sync', '--help', '../run']) {
    expect(await hasKeptCode(command)).toBe('true')
  }
  expect(await hasKeptCode()).toBe('true')
  // Else what is kept for the rest would do.
  renameSync(join(bundle, 'run.cache'), join(bundle, 'run.kept'))
  const cache = join(bundle, 'inspect.cache')
  const kept = readFileSync(cache)
  const flipped = Buffer.from(kept)
  flipped[kept.length >> 1]! ^= 1
  const empty = Buffer.alloc(0)
  for (const bytes of [kept.subarray(0, 1000), Buffer.alloc(kept.length, 'x'), flipped, empty]) {
    writeFileSync(cache, bytes)
    expect(await hasKeptCode('inspect')).toBe('false')
    expect(await rrep('inspect', fixture, '--check')).toContain('sound: RDB 11, 4,641 keys')
  }
  rmSync(cache)
  expect(await rrep('inspect', fixture, '--check')).toContain('sound: RDB 11, 4,641 keys')
  writeFileSync(cache, kept)
  expect(await hasKeptCode('inspect')).toBe('true')
  const script = readFileSync(join(bundle, 'run.js'))
  appendFileSync(join(bundle, 'run.js'), ' ')
  expect(await hasKeptCode('inspect')).toBe('false')
  writeFileSync(join(bundle, 'run.js'), script)
  renameSync(join(bundle, 'run.kept'), join(bundle, 'run.cache'))
})

test('what is loaded late: unpackers, transforms, what writes Parquet, the thread of DuckDB', async () => {
  const packed = join(dir, 'dump.rdb.gz')
  writeFileSync(packed, gzipSync(readFileSync(fixture)))
  expect(await rrep('inspect', packed, '--check')).toContain('sound: RDB 11, 4,641 keys')
  expect(await rrep('export', fixture, '-o', join(dir, 'keys.parquet'))).toContain('as parquet')
  expect(readFileSync(join(dir, 'keys.parquet')).subarray(-4).toString()).toBe('PAR1')
  expect(await rrep('sql', fixture, 'select count(*) n from keys')).toBe('n\n4641\n')
  const transform = join(dir, 'transform.mjs')
  writeFileSync(transform, 'export default (item) => item.key.includes("user:") ? item : null\n')
  expect(await rrep('replay', fixture, address, '--dry-run', '--transform', transform)).toMatch(
    /of 4,641 keys/,
  )
})

test('servers: replay, sync, diff by both ways, and serve', async () => {
  expect(await rrep('replay', fixture, address)).toContain('4,641 of 4,641 keys written')
  const dump = join(dir, 'dump.rdb')
  expect(await rrep('sync', address, '-o', dump)).toContain('checksum ok')
  expect(readFileSync(dump, 'latin1').slice(0, 5)).toBe('REDIS')
  expect(await rrep('diff', fixture, address)).toContain('same')
  expect(await rrep('diff', fixture, address, '--by', 'scan')).toContain('same')
  const port = await freePort()
  const serving = spawn(process.execPath, [entry, 'serve', dump, '--listen', `127.0.0.1:${port}`])
  try {
    const copy = join(dir, 'copy.rdb')
    expect(await rrep('sync', `127.0.0.1:${port}`, '-o', copy)).toContain('checksum ok')
    expect(await rrep('diff', dump, copy)).toContain('same')
  } finally {
    serving.kill()
    await waitFor(() => serving.exitCode !== null || serving.signalCode !== null, { what: 'serve' })
  }
})

test('tail, to its end by a signal', async () => {
  const tail = spawn(process.execPath, [entry, 'tail', address, '--json'])
  let out = ''
  let talk = ''
  tail.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  tail.stderr.on('data', (chunk: Buffer) => (talk += chunk.toString()))
  await waitFor(
    async () => {
      await server.client.incr('bundle:counter')
      return out.includes('bundle:counter')
    },
    { what: 'a command' },
  )
  tail.kill('SIGINT')
  await waitFor(() => tail.exitCode !== null, { what: 'the end of tail' })
  expect(talk).not.toContain('bug in rrep')
})
