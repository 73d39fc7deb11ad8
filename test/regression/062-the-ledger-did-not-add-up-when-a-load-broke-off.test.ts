/** A load that broke off (a wrong checksum, a file cut short, SIGINT, a target that died) said
 * "written 0" or less than the target held. Now all keys read are accounted for, and what the
 * target holds is said, with the way on. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { interrupt, runCli, type CliResult } from '../helpers/cli.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

interface FailedJson {
  event: string
  keys: Record<string, number>
  databases: Record<string, Record<string, Record<string, number>>>
  commands: Record<string, number> & { leftOut: Record<string, number> }
  target?: { keys: number }
}

const KEYS = 60_000
let dir: string
let whole: Buffer
let target: TestServer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-062-'))
  const source = await startServer()
  target = await startServer()
  await source.client.call('DEBUG', 'POPULATE', KEYS, 'key', 100)
  await source.client.hset(
    'h',
    Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((f) => [f, f])),
  )
  await source.client.call('SAVE')
  whole = readFileSync(join(source.dir, 'dump.rdb'))
  await source.stop()
})
beforeEach(async () => {
  await target.client.flushall()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(dir, name)
  writeFileSync(path, bytes)
  return path
}

const replayTo = async (
  file: string,
  address: string,
  more: readonly string[] = [],
  options: Parameters<typeof runCli>[1] = {},
): Promise<CliResult> => await runCli(['replay', file, address, ...more], options)

function checkSum({ out }: CliResult): FailedJson {
  const ledger = JSON.parse(out) as FailedJson
  for (const counts of [
    ledger.keys,
    ...Object.values(ledger.databases).flatMap((byType) => Object.values(byType) as unknown[]),
  ]) {
    const { read, written, skipped, failed, expired, unknown } = counts as Record<string, number>
    expect(written! + skipped! + failed! + expired! + unknown!).toBe(read)
  }
  expect(ledger.event).toBe('failed')
  expect(ledger.keys['read']).toBeGreaterThan(0)
  return ledger
}

test.each([
  ['a wrong checksum', (): Buffer => Buffer.concat([whole.subarray(0, -8), randomBytes(8)])],
  ['a file cut short', (): Buffer => whole.subarray(0, Math.floor(0.8 * whole.length))],
])('%s', async (name, bytes) => {
  const address = `127.0.0.1:${target.port}`
  const file = fileOf(`${name.replaceAll(' ', '-')}.rdb`, bytes())
  const result = await replayTo(file, address, ['--json'])
  expect(result.code).toBe(6)
  const { keys, target: end } = checkSum(result)
  const held = await target.client.dbsize()
  expect(end?.keys).toBe(held)
  // Everything sent was answered: only what never left is unknown.
  expect(keys['written']).toBe(held)

  await target.client.flushall()
  const { err } = await replayTo(file, address)
  expect(err).toContain('the target holds a part: ')
  expect(err).toContain('--on-conflict replace')
})

test('SIGINT in the middle of a load', async () => {
  const controller = new AbortController()
  const run = replayTo(
    fileOf('sigint.rdb', whole),
    `127.0.0.1:${target.port}`,
    ['--json', '--rate', '1mb'],
    { signal: controller.signal },
  )
  await waitFor(async () => (await target.client.dbsize()) > 1000, { what: 'keys in the target' })
  interrupt(controller)
  const result = await run
  expect(result.code).toBe(130)
  const { keys, target: end } = checkSum(result)
  expect(keys['written']).toBe(await target.client.dbsize())
  expect(end?.keys).toBe(keys['written'])
})

test('a target that dies: what it did not confirm is unknown', async () => {
  const doomed = await startServer()
  const run = replayTo(fileOf('killed.rdb', whole), `127.0.0.1:${doomed.port}`, [
    ...['--json', '--rate', '1mb', '--retries', '0'],
  ])
  await waitFor(async () => (await doomed.client.dbsize()) > 1000, { what: 'keys in the target' })
  await doomed.kill()
  const result = await run
  await doomed.stop()
  expect(result.code).not.toBe(0)
  expect(checkSum(result).keys['unknown']).toBeGreaterThan(0)
})
