/** `export --format rdb --lzf` with what else there is for a dump: the servers at hand come to the same from
 * it as from the dump that is made without. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { fixtureFiles } from '../helpers/fixtures.js'
import { digest, serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-lzf-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
let server: TestServer | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

function fixture(name: string): string {
  return fixtureFiles(name)[0]!.path
}

/** @returns what the server comes to */
async function load(file: string): Promise<string> {
  copyFileSync(file, join(server!.dir, 'in.rdb'))
  expect(await server!.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
  return await digest(server!)
}

async function start(name: string): Promise<void> {
  const args = ['--dbfilename', 'in.rdb', '--databases', '20000']
  server = await startServer({ binary: serverBinary(name)!, args })
  await server.client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
}

/** Into `out`, without and with --lzf; the same is said of both. */
async function both(source: string, code: number, ...more: string[]): Promise<[string, string]> {
  const [plain, packed] = [join(dir, 'plain.rdb'), join(dir, 'packed.rdb')]
  const told: string[] = []
  for (const [output, lzf] of [
    [plain, []],
    [packed, ['--lzf']],
  ] as const) {
    const result = await runCli([
      'export',
      source,
      '--format',
      'rdb',
      '-o',
      output,
      ...more,
      ...lzf,
    ])
    expect(result.code, result.err).toBe(code)
    told.push(result.err.replace(/[\d.]+ [KM]?i?B/g, 'bytes').replace(/plain|packed/g, 'out'))
  }
  expect(told[1]).toBe(told[0])
  return [plain, packed]
}

const FOR = [
  ['redis-7.0', 'redis-7.0/uncompressed.rdb', 0, 1],
  ['redis-7.0', 'valkey-9.1/uncompressed.rdb', 0, 1],
  ['redis-7.0', 'redis-8.6/hash-field-ttl.rdb', 7, 0],
  ['valkey-9.1', 'redis-7.4/types.rdb', 0, 0],
  ['redis-8.6', 'valkey-9.1/streams.rdb', 0, 0],
] as const

test.each(FOR.filter(([name]) => serverBinary(name)))(
  'for %s of %s',
  async (name, source, code, shrinks) => {
    await start(name)
    const [plain, packed] = await both(fixture(source), code, '--for', name)
    expect(await load(packed)).toBe(await load(plain))
    const [before, after] = [plain, packed].map((file) => readFileSync(file).length)
    if (shrinks === 1) expect(after).toBeLessThan(0.7 * before!)
    else expect(after).toBeLessThanOrEqual(before!)
  },
)

test('each part of a split', async () => {
  await start('redis-7.0')
  const source = fixture('redis-7.0/uncompressed.rdb')
  await both(source, 0, '--split', '3')
  const sums = [0, 0]
  for (let part = 0; part < 3; part += 1) {
    const [plain, packed] = ['plain', 'packed'].map((name) => join(dir, `${name}-${part}.rdb`))
    expect(await load(packed!)).toBe(await load(plain!))
    expect(await server!.client.info('keyspace')).toContain('keys=')
    const sizes = [plain, packed].map((file) => readFileSync(file!).length)
    expect(sizes[1]).toBeLessThan(sizes[0]!)
    for (const [index, size] of sizes.entries()) sums[index]! += size
  }
  expect(sums[1]).toBeLessThan(0.7 * sums[0]!)
})

test.each([
  'listpack-wrong-count',
  'flipped-bit-in-value',
  'truncated-in-string',
  'intset-not-sorted',
])('what can be salvaged of %s', async (name) => {
  await start('redis-8.6')
  const [plain, packed] = await both(fixture(`corrupt/${name}.rdb`), 6, '--salvage')
  expect(await load(packed)).toBe(await load(plain))
})
