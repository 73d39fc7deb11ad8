/** `rrep sql`: commands, what is wrong with a query or a source, and what is left behind. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import stringWidth from 'string-width'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exitCodeOf } from '../../../src/cli/exit-codes.js'
import { hintOf } from '../../../src/cli/hints.js'
import type { RrepError } from '../../../src/errors.js'
import { printable } from '../../../src/bytes/printable.js'
import { sql } from '../../../src/verbs/sql/run.js'
import { findDuckdb } from '../../../src/verbs/sql/find-duckdb.js'
import { interrupt, runCli, type CliOptions, type CliResult } from '../../helpers/cli.js'
import { FIXTURES } from '../../helpers/fixtures.js'
import { startServer } from '../../helpers/servers.js'
import { rdbBody, rdbBytes } from '../../helpers/rdb-bytes.js'

const DEMO = join(FIXTURES, 'demo/ecommerce.rdb')
const ARCHIVE = join(FIXTURES, 'redis-7.0/aof')
const dir = mkdtempSync(join(tmpdir(), 'rrep-sql-test-'))
const temporary = join(dir, 'tmp')
const before = process.env['TMPDIR']

beforeAll(() => {
  mkdirSync(temporary)
  process.env['TMPDIR'] = temporary
})
afterAll(() => {
  if (before === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = before
  rmSync(dir, { recursive: true, force: true })
})

/** Nothing of ours is left in TMPDIR. */
async function run(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  const result = await runCli(['sql', ...args], options)
  expect(readdirSync(temporary).filter((name) => !name.startsWith('rrep-test-'))).toEqual([])
  return result
}

test('a pipe gets CSV, a terminal a table, --json objects', async () => {
  const query =
    "select type, count(*) n, null as none, '' as empty from keys where type = 'list' group by 1"
  const csv = await run([DEMO, query])
  expect(csv.out).toMatch(/^type,n,none,empty\nlist,\d+,,""\n$/)
  const table = await run([DEMO, query], { tty: true })
  expect(table.out).toMatch(/type.*n.*none.*empty/)
  expect(table.out).toMatch(/list +\d+ +.*NULL/)
  expect(JSON.parse((await run([DEMO, query, '--json'])).out)).toMatchObject({
    type: 'list',
    none: null,
    empty: '',
  })
  const asked = await run([DEMO, query, '--csv'], { tty: true })
  expect(asked.out).toBe(csv.out)
})

test('values of every kind', async () => {
  const query = `select 9007199254740993::bigint a, 1.50::decimal(9,2) b, [1, null] c, {'x': 'y'} d,
    timestamptz '2030-01-01 00:00:00.5Z' e, interval 3 hour f, 'nan'::double g, true h, 'a,"b' i,
    '=1' j, -1 k`
  const { out } = await run([DEMO, query])
  expect(out.split('\n')[1]).toBe(
    `9007199254740993,1.5,"[1,null]","{""x"":""y""}",2030-01-01T00:00:00.500Z,03:00:00,NaN,true,"a,""b","'=1",-1`,
  )
  expect(JSON.parse((await run([DEMO, query, '--json'])).out)).toEqual({
    ...{ a: '9007199254740993', b: 1.5, c: [1, null], d: { x: 'y' }, g: null, h: true, k: -1 },
    ...{ e: '2030-01-01T00:00:00.500Z', f: '03:00:00', i: 'a,"b', j: '=1' },
  })
})

test('commands of an archive are those that tail shows', async () => {
  const query =
    'select time, "offset", db, command, key, args, bytes from commands order by "offset"'
  const rows = (await run([ARCHIVE, query, '--json'])).out.trimEnd().split('\n')
  const tailed = (await runCli(['tail', ARCHIVE, '--json', '--strings', 'base64', '-q'])).out
    .trimEnd()
    .split('\n')
  expect(rows.length).toBe(tailed.length)
  for (const [index, line] of tailed.entries()) {
    const row = JSON.parse(rows[index]!) as Record<string, unknown>
    const { offset, time, db, command } = JSON.parse(line) as Record<string, unknown>
    const [name, ...args] = (command as string[]).map((arg) =>
      printable(Buffer.from(arg, 'base64')),
    )
    expect(row).toMatchObject({ offset, db, command: name!.toUpperCase(), args })
    expect(Date.parse(row['time'] as string)).toBe(Date.parse(time as string))
  }
  expect(rows.some((row) => row.includes('"key":"counter"'))).toBe(true)
  expect(rows.some((row) => row.includes('"key":null'))).toBe(true)
  // Keys at a moment of it.
  const keys = await run([ARCHIVE, 'select count(*) n from keys', '--json'])
  const csv = await runCli(['inspect', ARCHIVE, '--csv'])
  expect(JSON.parse(keys.out)).toEqual({ n: csv.out.split('\n').length - 2 })
})

test('what is wrong with a query ends with 2 and the words of DuckDB', async () => {
  for (const [query, words] of [
    ['selec 1 from keys', /Parser Error: .*selec/],
    ['select nope from keys', /Binder Error: .*nope/],
    ['select * from nothing', /Catalog Error: .*nothing/],
    ['select key::integer from keys', /Conversion Error/],
  ] as const) {
    const { code, err } = await run([DEMO, query])
    expect(code).toBe(2)
    expect(err).toMatch(words)
    expect(err).not.toContain('    at ')
  }
  expect((await run([DEMO])).code).toBe(2)
  expect((await run([DEMO, 'select count(*) from commands'])).err).toContain(
    'no commands follow it',
  )
})

test('without DuckDB one line says how to get it, and what works without', () => {
  let error: unknown
  try {
    findDuckdb([join(dir, 'nowhere', '_')])
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ code: 'ERR_NO_DUCKDB' })
  expect(exitCodeOf(error, undefined)).toBe(5)
  expect(hintOf(error as RrepError, [])).toMatch(/npm install .*@duckdb\/node-api.*--csv \| duckdb/)
})

test('a damaged source ends it with 6; salvaged, what can be read is the answer', async () => {
  const cut = join(dir, 'cut.rdb')
  writeFileSync(cut, readFileSync(DEMO).subarray(0, 200_000))
  const query = 'select count(*) n from keys'
  const refused = await run([cut, query])
  expect([refused.code, refused.out]).toEqual([6, ''])
  const salvaged = await run([cut, query, '--salvage'])
  expect([salvaged.code, salvaged.out]).toEqual([6, 'n\n2024\n'])
  expect(salvaged.err).toContain('lost')
})

test('a server is asked for its snapshot once, whatever the query reads', async () => {
  const server = await startServer()
  try {
    await server.client.mset('a:1', 'x', 'a:2', 'y', 'b', 'z')
    const query = 'select count(*) from keys a, keys b where a.key <> b.key'
    const { out, code } = await run([`127.0.0.1:${server.port}`, query])
    expect([code, out]).toEqual([0, 'count_star()\n6\n'])
    expect(await server.client.info('stats')).toContain('sync_full:1')
  } finally {
    await server.stop()
  }
})

test('standard input is read as often as the query needs', async () => {
  const query = 'select count(*) n from keys a join keys b using (database, key)'
  const { out } = await run(['-', query], { stdin: readFileSync(DEMO) })
  expect(out).toBe('n\n4641\n')
})

test('an interrupt ends it in the middle of whatever is at work', async () => {
  const endless = 'select count(*) from range(1000000) a, range(1000000) b'
  for (const [query, afterMs] of [
    ...[0, 20, 60, 90, 120, 150, 300].map((ms) => [endless, ms] as const),
    ['select a.key from keys a, keys b, keys c order by hash(a.key)', 300],
  ] as const) {
    const controller = new AbortController()
    setTimeout(() => interrupt(controller), afterMs)
    expect((await run([DEMO, query], { signal: controller.signal })).code).toBe(130)
  }
})

test('a reader who leaves early, and a query that wants few rows, end the reading', async () => {
  const body = rdbBody(
    Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`k${i}`, 'v'])),
  )
  const file = join(dir, 'many.rdb')
  writeFileSync(file, rdbBytes({ body, checksum: 'zero' }))
  let rows = 0
  for await (const part of sql(file, 'select key from keys')) {
    rows += part.rows.length
    if (rows > 0) break
  }
  expect(rows).toBeGreaterThan(0)
  expect((await run([file, 'select key from keys limit 3'])).out.split('\n').length).toBe(5)
  expect((await run([file, 'select count(distinct key), count(*) from keys'])).out).toContain(
    '200000,200000',
  )
})

test('names of every length and kind are what they are, and drive no terminal', async () => {
  const names = [
    ...Array.from({ length: 40 }, (_, length) => 'é'.repeat(length >> 1) + 'x'.repeat(length)),
    ...['\x1b[31m', '\u202e', 'a\nb', '', "'quoted'", '"', '\\x', 'x'.repeat(60_000)],
  ]
  const body = rdbBody(Object.fromEntries(names.map((name) => [name, 'v'])))
  const file = join(dir, 'names.rdb')
  writeFileSync(file, rdbBytes({ body, checksum: 'zero' }))
  const { out } = await run([file, 'select key from keys', '--json'])
  const { out: told } = await runCli(['inspect', file, '--keys', '--json'])
  const keysOf = (text: string): unknown[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { key: string }).key)
  expect(keysOf(out).length).toBe(new Set(names).size)
  const plain = (key: unknown): boolean => /^[ -[\]-~é]*$/.test(key as string)
  expect(keysOf(out).filter(plain).sort()).toEqual(keysOf(told).filter(plain).sort())
  const shown = await run([file, "select key || chr(27) || '[31m' from keys"], { tty: true })
  // eslint-disable-next-line no-control-regex
  expect(shown.out.replaceAll(/\x1b\[(1|2|22|39)m/g, '')).not.toMatch(/[\x00-\x09\x0b-\x1f]/)
})

test('in a terminal a row is a line: texts are cut to fit, numbers and moments never', async () => {
  const query = "select key || key || key || '値' k, size_in_bytes, expiry from keys"
  const wide = await run([DEMO, query], { tty: true, columns: 64 })
  // eslint-disable-next-line no-control-regex
  const lines = wide.out.replaceAll(/\x1b\[\d+m/g, '').split('\n')
  expect(Math.max(...lines.map((line) => stringWidth(line)))).toBe(64)
  expect(lines.slice(2, 30).every((line) => /\d+ {2}(NULL|\S+Z)$/.test(line))).toBe(true)
  expect([lines[2]!.includes('…'), wide.err]).toEqual([true, expect.stringContaining('cut to fit')])
  const whole = await run([DEMO, 'select type, count(*) from keys group by 1'], { tty: true })
  expect(whole.err).not.toContain('cut to fit')
})

test('sources are called what they were typed as', async () => {
  const repo = join(dir, 'repo')
  mkdirSync(repo)
  expect((await runCli(['backup', DEMO, '--to', repo, '--name', 'a', '-q'])).code).toBe(0)
  const query = 'select distinct source from keys order by 1'
  const { out } = await run([`${repo}@latest`, DEMO, query])
  expect(out.trimEnd().split('\n').slice(1).sort()).toEqual([`${repo}@latest`, DEMO].sort())
})

test('several statements: the last one is answered; a plan is drawn', async () => {
  const query = 'create table t as select type from keys; select count(*) n from t'
  expect((await run([DEMO, query])).out).toBe('n\n4641\n')
  expect((await run([DEMO, 'explain select count(*) from keys'])).out).toMatch(/^┌─+┐\n/)
})

test('what needs more memory than it may use goes to disk, and is gone behind it', async () => {
  const query = `select count(*) n from (select distinct a.key, b.key from keys a, keys b
    where a.type = 'hash' and b.type = 'string' and length(b.key) < 16)`
  const { code, out } = await run([DEMO, query, '--memory', '64mb'])
  expect([code, out]).toEqual([0, (await run([DEMO, query])).out])
})

test('the thread is made of the sources that lie beside it', () => {
  const build = join(import.meta.dirname, '../../../src/verbs/sql/worker/build.mjs')
  const printed = execFileSync(process.execPath, [build, '--print'], { encoding: 'utf8' })
  const kept = join(import.meta.dirname, '../../../src/verbs/sql/worker.generated.ts')
  expect(readFileSync(kept, 'utf8')).toBe(printed)
})
