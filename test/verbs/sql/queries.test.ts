/** Questions in SQL have the answers that plain JavaScript finds in what `export` and `inspect` write. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { printable } from '../../../src/bytes/printable.js'
import { keySlot } from '../../../src/topology/key-slot.js'
import { runCli } from '../../helpers/cli.js'
import { FIXTURES, parseStates } from '../../helpers/fixtures.js'

interface Key {
  database: number
  type: string
  key: string
  bytes: Buffer
  size: number
  encoding: string
  elements: number
  largest: number | null
  expiry: string | null
}

async function keysOf(file: string): Promise<Key[]> {
  const states = parseStates((await runCli(['export', file, '--strings', 'base64', '-q'])).out)
  const told = parseStates((await runCli(['inspect', file, '--keys', '--json'])).out)
  const figures = told as unknown as { memory: number; elements: number }[]
  const csv = (await runCli(['inspect', file, '--csv'])).out.trimEnd().split('\n').slice(1)
  return states.map(({ db, key, type, encoding, expireAt }, index) => {
    const bytes = Buffer.from(key, 'base64')
    const largest = csv[index]!.split(',').at(-2)!
    return {
      ...{ database: db, type, key: printable(bytes), bytes, encoding },
      size: figures[index]!.memory,
      elements: figures[index]!.elements,
      largest: largest === '' ? null : Number(largest),
      expiry: expireAt === null ? null : new Date(expireAt).toISOString(),
    }
  })
}

type Row = readonly unknown[]

/** As JSON lines give it, a time cut to what differs. */
async function answer(args: readonly string[]): Promise<Row[]> {
  const { code, out, err } = await runCli(['sql', ...args, '--json'])
  expect([code, err]).toEqual([0, ''])
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Object.values(JSON.parse(line) as Record<string, unknown>))
}

function sorted(rows: readonly Row[]): string[] {
  return rows.map((row) => JSON.stringify(row)).sort()
}

function groups(
  keys: readonly Key[],
  by: (key: Key) => string | number,
  row: (of: Key[]) => Row,
): Row[] {
  const found = new Map<string | number, Key[]>()
  for (const key of keys) found.set(by(key), [...(found.get(by(key)) ?? []), key])
  return [...found].map(([name, of]) => [name, ...row(of)])
}

const sum = (keys: readonly Key[], of: (key: Key) => number): number =>
  keys.reduce((total, key) => total + of(key), 0)
const prefix = (key: string, depth = 1): string => {
  const parts = key.split(':')
  const kept = parts.slice(0, Math.min(depth, parts.length - 1))
  return kept.map((part) => `${part}:`).join('')
}
const one = (value: unknown): Row[] => [[value]]

const QUESTIONS: readonly (readonly [string, (keys: readonly Key[]) => Row[]])[] = [
  ['select count(*) from keys', (keys) => one(keys.length)],
  ['select sum(size_in_bytes) from keys', (keys) => one(sum(keys, ({ size }) => size))],
  [
    'select type, count(*), sum(size_in_bytes) from keys group by 1',
    (keys) =>
      groups(
        keys,
        ({ type }) => type,
        (of) => [of.length, sum(of, ({ size }) => size)],
      ),
  ],
  [
    'select prefix(key), count(*), sum(size_in_bytes) from keys group by 1',
    (keys) =>
      groups(
        keys,
        ({ key }) => prefix(key),
        (of) => [of.length, sum(of, ({ size }) => size)],
      ),
  ],
  [
    'select prefix(key, 2), max(num_elements) from keys group by 1',
    (keys) =>
      groups(
        keys,
        ({ key }) => prefix(key, 2),
        (of) => [Math.max(...of.map(({ elements }) => elements))],
      ),
  ],
  [
    'select encoding, min(size_in_bytes), max(size_in_bytes) from keys group by 1',
    (keys) =>
      groups(
        keys,
        ({ encoding }) => encoding,
        (of) => [Math.min(...of.map(({ size }) => size)), Math.max(...of.map(({ size }) => size))],
      ),
  ],
  [
    'select database, count(expiry) from keys group by 1',
    (keys) =>
      groups(
        keys,
        ({ database }) => database,
        (of) => [of.filter(({ expiry }) => expiry !== null).length],
      ),
  ],
  ['select key from keys', (keys) => keys.map(({ key }) => [key])],
  [
    'select epoch_ms(expiry)::bigint, key from keys where expiry is not null',
    (keys) =>
      keys
        .filter(({ expiry }) => expiry !== null)
        .map(({ expiry, key }) => [Date.parse(expiry!), key]),
  ],
  [
    'select key, size_in_bytes from keys order by size_in_bytes desc, key limit 10',
    (keys) =>
      [...keys]
        .sort((a, b) => b.size - a.size || (a.key < b.key ? -1 : 1))
        .slice(0, 10)
        .map(({ key, size }) => [key, size]),
  ],
  [
    'select sum(num_elements), max(len_largest_element), count(len_largest_element) from keys',
    (keys) => [
      [
        sum(keys, ({ elements }) => elements),
        Math.max(...keys.map(({ largest }) => largest ?? 0)),
        keys.filter(({ largest }) => largest !== null).length,
      ],
    ],
  ],
  [
    "select count(*) from keys where type = 'hash' and num_elements > 3",
    (keys) => one(keys.filter(({ type, elements }) => type === 'hash' && elements > 3).length),
  ],
  [
    'select slot(key), count(*) from keys group by 1',
    (keys) =>
      groups(
        keys,
        ({ bytes }) => keySlot(bytes),
        (of) => [of.length],
      ),
  ],
  [
    "select length(key), count(*) from keys where key ~ '^[a-z:]+$' group by 1",
    (keys) =>
      groups(
        keys.filter(({ key }) => /^[a-z:]+$/.test(key)),
        ({ key }) => key.length,
        (of) => [of.length],
      ),
  ],
  [
    "select coalesce(strftime(expiry, '%Y'), '-'), count(*) from keys group by 1",
    (keys) =>
      groups(
        keys,
        ({ expiry }) => expiry?.slice(0, 4) ?? '-',
        (of) => [of.length],
      ),
  ],
  [
    'select type, encoding, count(*) from keys group by all having count(*) > 1',
    (keys) =>
      groups(
        keys,
        ({ type, encoding }) => `${type} ${encoding}`,
        (of) => [of.length],
      )
        .filter(([, count]) => (count as number) > 1)
        .map(([name, count]) => [...(name as string).split(' '), count]),
  ],
  [
    'select quantile_disc(size_in_bytes, 0.5) from keys',
    (keys) => {
      const sizes = keys.map(({ size }) => size).sort((a, b) => a - b)
      return one(sizes[Math.ceil(sizes.length / 2) - 1])
    },
  ],
  // Read twice.
  [
    'select count(*) from keys a join keys b on a.key = b.key and a.database = b.database',
    (keys) => one(keys.length),
  ],
  [
    `with big as (select prefix(key) p, sum(size_in_bytes) s from keys group by 1 having s > 1000)
     select count(*) from keys where prefix(key) in (select p from big)`,
    (keys) => {
      const big = groups(
        keys,
        ({ key }) => prefix(key),
        (of) => [sum(of, ({ size }) => size)],
      ).filter(([, size]) => (size as number) > 1000)
      const names = new Set(big.map(([name]) => name))
      return one(keys.filter(({ key }) => names.has(prefix(key))).length)
    },
  ],
  [
    'select key, row_number() over (partition by type order by size_in_bytes desc, key) n from keys qualify n <= 2',
    (keys) =>
      groups(
        keys,
        ({ type }) => type,
        (of) => of,
      ).flatMap(([, ...of]) =>
        (of as Key[])
          .sort((a, b) => b.size - a.size || Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
          .slice(0, 2)
          .map(({ key }, index) => [key, index + 1]),
      ),
  ],
]

const FILES = ['redis-8.6/types.rdb', 'demo/ecommerce.rdb'].map((name) => join(FIXTURES, name))

const dir = mkdtempSync(join(tmpdir(), 'rrep-queries-'))
const file = join(dir, 'both.rdb')
let keys: readonly Key[]

beforeAll(async () => {
  expect((await runCli(['export', ...FILES, '-o', file])).code).toBe(0)
  keys = await keysOf(file)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test.each(QUESTIONS)('%s', async (query, expected) => {
  expect(sorted(await answer([file, query]))).toEqual(sorted(expected(keys)))
})

test('all columns are those of --csv', async () => {
  const head = (await runCli(['inspect', file, '--csv'])).out.split('\n')[0]
  expect((await runCli(['sql', file, 'select * from keys limit 0'])).out).toBe(`${head!}\n`)
  const rows = await answer([file, 'select * from keys'])
  expect(sorted(rows)).toEqual(
    sorted(
      keys.map((each) => [
        ...[each.database, each.type, each.key, each.size, each.encoding],
        ...[each.elements, each.largest],
        each.expiry,
      ]),
    ),
  )
})

test.each([
  ['--match', '*1*'],
  ['--type', 'hash,set'],
  ['--min-size', '100'],
  ['--db', '0'],
])('%s %s chooses what it chooses in inspect', async (...filter) => {
  const csv = (await runCli(['inspect', file, '--csv', ...filter])).out.split('\n').length - 2
  expect(await answer([file, ...filter, 'select count(*) from keys'])).toEqual([[csv]])
})

test('several sources have a column that tells them apart', async () => {
  const counts = await Promise.all(FILES.map(async (each) => (await keysOf(each)).length))
  const rows = await answer([...FILES, 'select source, count(*) from keys group by 1'])
  expect(sorted(rows)).toEqual(sorted(FILES.map((each, index) => [each, counts[index]])))
})
