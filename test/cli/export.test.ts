/** `rrep export`: files, filters, formats, and what a broken input leaves behind. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { parseStates } from '../helpers/fixtures.js'

const DEMO = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-export-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe('rrep export', () => {
  test('writes a line a key to stdout', async () => {
    const result = await runCli(['export', DEMO])
    expect(result.code).toBe(0)
    const keys = parseStates(result.out)
    const types = new Set(keys.map((each) => each.type))
    expect([...types].sort()).toEqual(['hash', 'list', 'set', 'stream', 'string', 'zset'])
    expect(result.err).toContain(`${keys.length.toLocaleString('en-US')} keys as jsonl`)
  })

  test('-o makes the file whole, for its owner only, in the form of its name', async () => {
    const file = join(dir, 'keys.json')
    const result = await runCli(['export', DEMO, '-o', file, '--type', 'zset', '--json'])
    expect(result.code).toBe(0)
    const keys = JSON.parse(readFileSync(file, 'utf8')) as { type: string }[]
    expect(new Set(keys.map((each) => each.type))).toEqual(new Set(['zset']))
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(JSON.parse(result.out)).toMatchObject({
      event: 'exported',
      format: 'json',
      keys: { written: keys.length },
    })
    expect(readdirSync(dir)).toEqual(['keys.json'])
  })

  test('filters by name, expiry and size', async () => {
    const all = parseStates((await runCli(['export', DEMO, '--strings', 'base64'])).out)
    const users = parseStates((await runCli(['export', DEMO, '--match', 'user:*'])).out)
    expect(users.length).toBe(
      all.filter((each) => Buffer.from(each.key, 'base64').toString().startsWith('user:')).length,
    )
    expect(users.length).toBeGreaterThan(0)
    const timeless = parseStates((await runCli(['export', DEMO, '--ttl', 'none'])).out)
    expect(timeless.length).toBe(all.filter((each) => each.expireAt === null).length)
    const big = parseStates(
      (await runCli(['export', DEMO, '--min-size', '2kb', '--strings', 'base64'])).out,
    )
    expect(big.length).toBeGreaterThan(0)
    expect(big.length).toBeLessThan(all.length)
    const byKey = new Map(all.map((each) => [each.key, each]))
    // Values that were held back until they were big enough are the same values.
    for (const each of big) expect(each).toEqual(byKey.get(each.key))
  })

  test('reads gzip from stdin', async () => {
    const plain = await runCli(['export', DEMO, '-q'])
    const piped = await runCli(['export', '-', '-q'], { stdin: gzipSync(readFileSync(DEMO)) })
    expect(piped.code).toBe(0)
    expect(piped.out).toBe(plain.out)
  })

  test('a file cut short is exit 6 and leaves the old output as it was', async () => {
    const cut = join(dir, 'cut.rdb')
    const whole = readFileSync(DEMO)
    writeFileSync(cut, whole.subarray(0, whole.length >> 1))
    const target = join(dir, 'out.jsonl')
    writeFileSync(target, 'old\n')
    const result = await runCli(['export', cut, '-o', target])
    expect(result.code).toBe(6)
    expect(result.err).toContain(`byte ${whole.length >> 1}`)
    expect(readFileSync(target, 'utf8')).toBe('old\n')
    expect(readdirSync(dir).filter((name) => name.endsWith('.part'))).toEqual([])
  })

  test('what --for cannot hold is told, and is no success', async () => {
    const held = await runCli(['export', DEMO, '--format', 'resp', '--type', 'stream'])
    expect(held.code).toBe(0)
    const lost = await runCli([
      ...['export', DEMO, '--format', 'resp', '--type', 'stream'],
      ...['--for', 'redis-4.0'],
    ])
    expect(lost.code).toBe(5)
    expect(lost.err).toContain('the target lacks streams: 1')
  })

  test('options that do not fit together are wrong usage', async () => {
    const strings = await runCli(['export', DEMO, '--format', 'resp', '--strings', 'base64'])
    expect(strings.code).toBe(2)
    expect((await runCli(['export', DEMO, '--for', 'redis-7'])).code).toBe(2)
    expect((await runCli(['export', DEMO, '--format', 'resp', '--for', 'seven'])).code).toBe(2)
  })
})
