/** `rrep inspect --compare` and `rrep diff --stat`, as a user calls them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'
import { startServer, type TestServer } from '../helpers/servers.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-growth-cli-'))
const older = join(scratch, 'older.rdb')
const newer = join(scratch, 'newer.rdb')

beforeAll(() => {
  write(older, { 'user:1': 'x', 'user:2': 'x', 'cart:1': 'x' })
  write(newer, { 'user:1': 'x'.repeat(60), 'user:3': 'x', 'user:4': 'x', 'cart:1': 'x' })
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function write(file: string, keys: Record<string, string>): void {
  writeFileSync(file, rdbBytes({ body: rdbBody(keys) }))
}

interface Compared {
  event: string
  newer: { keys: number }
  older: { keys: number }
  total: Record<'before' | 'now' | 'created' | 'gone' | 'grown', { keys: number; memory: number }>
  prefixes: { prefix: string | null; now: { keys: number } }[]
  grown: { key: string; before: number; now: number }[]
}

describe('rrep inspect --compare', () => {
  test('as text, with both sides and what grew most', async () => {
    const { code, out, err } = await runCli(['inspect', newer, '--compare', older])
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^Older {2}.*older\.rdb .*Redis 7\.0\.15\nNewer {2}.*newer\.rdb/)
    expect(out).toMatch(/\nkeys before +3 /)
    expect(out).toMatch(/\nnew +\+2 /)
    expect(out).toMatch(/\ngone +-1 /)
    expect(out).toMatch(/\nuser: +3 +\+1 /)
    expect(out).toMatch(/Grown most\n.*\n *\+\d+ B .* user:1\n/)
  })

  test('as JSON', async () => {
    const { code, out } = await runCli(['inspect', newer, '--compare', older, '--json'])
    expect(code).toBe(0)
    const result = JSON.parse(out) as Compared
    expect(result.event).toBe('compared')
    expect([result.newer.keys, result.older.keys]).toEqual([4, 3])
    const { before, now, created, gone, grown } = result.total
    expect([before, now, created, gone, grown].map(({ keys }) => keys)).toEqual([3, 4, 2, 1, 1])
    expect(result.grown.map(({ key }) => key)).toEqual(['user:1'])
    expect(result.prefixes.map(({ prefix }) => prefix)).toEqual(['user:', null])
  })

  test('on the page', async () => {
    const page = join(scratch, 'page.html')
    const args = ['inspect', newer, '--compare', older, '--html', page]
    expect((await runCli(args)).code).toBe(0)
    const text = readFileSync(page, 'utf8')
    expect(text).toContain('What grew')
    expect(text).toContain('Change by prefix')
    expect(text).toContain(`--compare ${older} --html`)
  })

  test('a damaged side ends with 6, whichever it is', async () => {
    const cut = join(scratch, 'cut.rdb')
    writeFileSync(cut, readFileSync(older).subarray(0, -15))
    for (const pair of [
      [cut, newer],
      [newer, cut],
    ]) {
      const { code, out, err } = await runCli(['inspect', pair[0]!, '--compare', pair[1]!])
      expect(code).toBe(6)
      expect(out).toContain('cut.rdb is damaged')
      expect(err).toContain('cut.rdb')
    }
    const { code } = await runCli(['inspect', newer, '--compare', join(scratch, 'none.rdb')])
    expect(code).toBe(1)
  })

  test.each([
    [['-', '--compare', '-'], 'only one source can be stdin'],
    [['dump.rdb', '--compare-until', '2026-01-01T00:00:00Z'], '--compare-until needs --compare'],
    [['dump.rdb', '--compare', 'x.rdb', '--keys'], '--compare is not for --keys'],
  ])('%j is refused', async (args, message) => {
    const { code, err } = await runCli(['inspect', ...args])
    expect(code).toBe(2)
    expect(err).toContain(message)
  })
})

describe('rrep diff --stat', () => {
  test('ends with 7 where keys differ, and shows the table in place of keys', async () => {
    const { code, out, err } = await runCli(['diff', older, newer, '--stat'])
    expect(code).toBe(7)
    expect(out).toMatch(/\nkeys now +4 /)
    expect(out).not.toContain('only in')
    expect(err).toContain('4 keys differ')
  })

  test('ends with 0 where they are the same, and with 7 where only a value is another', async () => {
    const other = join(scratch, 'other.rdb')
    write(other, { 'user:1': 'y', 'user:2': 'x', 'cart:1': 'x' })
    expect((await runCli(['diff', older, older, '--stat', '-q'])).code).toBe(0)
    const { code, out } = await runCli(['diff', older, other, '--stat', '--json'])
    expect(code).toBe(7)
    const result = JSON.parse(out) as { stat: Compared; differences: Record<string, number> }
    expect(result.differences).toEqual({ value: 1 })
    expect(result.stat.total.now).toEqual(result.stat.total.before)
  })

  test('of a live server', async () => {
    const server: TestServer = await startServer()
    try {
      await server.client.mset('user:1', 'x', 'user:2', 'x', 'new:1', 'x')
      const { code, out } = await runCli(['diff', older, `127.0.0.1:${server.port}`, '--stat'])
      expect(code).toBe(7)
      expect(out).toMatch(/\nnew: +1 +\+1 /)
      expect(out).toMatch(/\ncart: +0 +-1 /)
    } finally {
      await server.stop()
    }
  })

  test('refuses what shows single keys', async () => {
    expect((await runCli(['diff', older, newer, '--stat', '--values'])).code).toBe(2)
  })
})
