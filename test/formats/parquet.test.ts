/** Parquet, written by DuckDB and without it, read back by DuckDB: the same keys as the other forms tell. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { exportKeys } from '../../src/verbs/export/run.js'
import type { InputError } from '../../src/errors.js'
import { duckRows } from '../helpers/duckdb.js'
import { runCli } from '../helpers/cli.js'
import { FIXTURES, parseStates } from '../helpers/fixtures.js'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'
import { printable } from '../../src/bytes/printable.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-parquet-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const DEMO = join(FIXTURES, 'demo/ecommerce.rdb')
const FILES = [
  DEMO,
  ...['redis-8.6', 'redis-7.0', 'valkey-9.1'].map((each) => join(FIXTURES, each, 'types.rdb')),
]

interface Row {
  database: number
  type: string
  key: string
  size: number
  encoding: string
  elements: number
  largest: number | null
  expiry: number | null
}

/** In file order. */
async function parquetRows(file: string): Promise<Row[]> {
  const rows = await duckRows(
    `select database, type, key, size_in_bytes::double size, encoding, num_elements::double elements,
     len_largest_element::double largest, epoch_ms(expiry)::double expiry from '${file}'`,
  )
  return rows as unknown as Row[]
}

async function exported(name: string, ...args: string[]): Promise<string> {
  const file = join(dir, name)
  expect(await runCli(['export', ...args, '-o', file, '-q'])).toMatchObject({ code: 0, err: '' })
  return file
}

/** By the writer of rrep's own. */
async function exportedAlone(name: string, source: string): Promise<string> {
  const output = join(dir, name)
  await exportKeys(source, { output, format: 'parquet', withoutDuckdb: true })
  return output
}

describe.each(FILES)('%s', (source) => {
  test('DuckDB and the writer without it make the same table, and tell the same', async () => {
    const [one, other] = [join(dir, 'one.parquet'), join(dir, 'other.parquet')]
    const filter = { match: [Buffer.from('*')], minSizeBytes: 60 }
    for (const more of [{}, { filter }]) {
      const told = await exportKeys(source, { output: one, format: 'parquet', ...more })
      const alone = { output: other, format: 'parquet', withoutDuckdb: true, ...more } as const
      const bare = await exportKeys(source, alone)
      expect({ ...told, writtenBytes: 0 }).toEqual({ ...bare, writtenBytes: 0 })
      expect([told.writtenBytes, bare.writtenBytes]).toEqual([
        statSync(one).size,
        statSync(other).size,
      ])
    }
    expect(await duckRows(`select * from '${one}'`)).toEqual(
      await duckRows(`select * from '${other}'`),
    )
    const schemaOf = async (file: string): Promise<unknown> =>
      await duckRows(`select name, type, repetition_type, converted_type
         from parquet_schema('${file}') where num_children is null or num_children = 0`)
    expect(await schemaOf(one)).toEqual(await schemaOf(other))
    const [made] = await duckRows(`select created_by from parquet_file_metadata('${one}')`)
    expect(made!['created_by']).toContain('DuckDB')
    expect(statSync(one).mode & 0o777).toBe(0o600)
  })

  test.each([
    ['by DuckDB', exported],
    ['without it', exportedAlone],
  ])('%s it has the keys of jsonl and the figures of inspect', async (_, written) => {
    const rows = await parquetRows(await written('keys.parquet', source))
    const states = parseStates((await runCli(['export', source, '--strings', 'base64'])).out)
    expect(rows.length).toBeGreaterThan(3)
    expect(
      rows.map(({ database, type, key, encoding, expiry }) => [
        ...[database, key, encoding, expiry],
        // JSON tells a module by its own name, too.
        type,
      ]),
    ).toEqual(
      states.map(({ db, key, encoding, expireAt, type }) => [
        ...[db, printable(Buffer.from(key, 'base64')), encoding, expireAt],
        type,
      ]),
    )
    const told = parseStates((await runCli(['inspect', source, '--keys', '--json'])).out)
    const figures = told as unknown as { memory: number; elements: number }[]
    expect(rows.map(({ size, elements }) => [size, elements])).toEqual(
      figures.map(({ memory, elements }) => [memory, elements]),
    )
    const csv = (await runCli(['inspect', source, '--csv'])).out.trimEnd().split('\n').slice(1)
    const longest = csv.map((line) => line.split(',').at(-2)!)
    expect(rows.map(({ largest }) => String(largest ?? ''))).toEqual(longest)
  })

  test('filters leave the same keys as those of csv', async () => {
    const filters = ['--match', '*1*', '--min-size', '80']
    const rows = await parquetRows(await exported('filtered.parquet', source, ...filters))
    const csv = await runCli(['export', source, '--format', 'csv', ...filters])
    expect(rows.length).toBe(csv.out.split('\n').length - 2)
  })
})

test.each([
  ['by DuckDB', exported],
  ['without it', exportedAlone],
])(
  '%s rows come in groups that are bounded, and hostile names and times are text and moments',
  async (_, written) => {
    const names = Array.from({ length: 70_000 }, (_, index) => `k:${index}`)
    names.splice(5, 0, 'zwölf, "drei"\n\u202e', '', "=cmd|'", '\\x', 'x'.repeat(60_000))
    const body = rdbBody(Object.fromEntries(names.map((name) => [name, 'v'])))
    const far = Buffer.concat([
      Buffer.from([0xfc, 255, 255, 255, 255, 255, 255, 255, 0x7f, 0, 2, 0xff, 0xfe, 1, 0x76]),
    ])
    const source = join(dir, 'many.rdb')
    writeFileSync(source, rdbBytes({ body: Buffer.concat([body, far]), checksum: 'zero' }))
    const file = await written('many.parquet', source)
    const rows = await parquetRows(file)
    const known = [...Object.keys(Object.fromEntries(names.map((name) => [name, 0])))]
    expect(rows.map(({ key }) => key)).toEqual([
      ...known.map((name) => printable(Buffer.from(name))),
      '\\xff\\xfe',
    ])
    expect(rows.at(-1)!.expiry).toBe(8.64e15)
    const groups = await duckRows(
      `select distinct row_group_id, row_group_num_rows::int n from parquet_metadata('${file}')`,
    )
    expect(groups.length).toBe(3)
    expect(Math.max(...groups.map(({ n }) => n as number))).toBeLessThanOrEqual(1 << 15)
  },
)

test('an empty dump is a table without rows', async () => {
  const source = join(dir, 'empty.rdb')
  writeFileSync(source, rdbBytes())
  expect(await parquetRows(await exported('empty.parquet', source))).toEqual([])
  expect(await parquetRows(await exportedAlone('empty.parquet', source))).toEqual([])
})

test('what is damaged leaves the old file, and says what the writer without DuckDB says', async () => {
  const source = join(dir, 'cut.rdb')
  writeFileSync(source, readFileSync(DEMO).subarray(0, 20_000))
  const file = join(dir, 'old.parquet')
  writeFileSync(file, 'old')
  const told = await runCli(['export', source, '-o', file, '--json'])
  const alone = { output: file, format: 'parquet', withoutDuckdb: true } as const
  const error = await exportKeys(source, alone).catch((caught: unknown) => caught as InputError)
  expect(told.code).toBe(6)
  expect(JSON.parse(told.err)).toMatchObject({ message: (error as InputError).message })
  expect(readFileSync(file, 'utf8')).toBe('old')
  expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([])
})

test('it goes to stdout, is not packed once more, and is of several sources', async () => {
  const { stdout, code } = await runCli(['export', DEMO, '--format', 'parquet', '-q'])
  expect(code).toBe(0)
  expect(stdout.equals(readFileSync(await exportedAlone('same.parquet', DEMO)))).toBe(true)
  const packed = await runCli(['export', DEMO, '-o', join(dir, 'x.parquet.gz')])
  expect(packed.code).toBe(2)
  expect(packed.err).toContain('without .gz')
  const types = join(FIXTURES, 'redis-7.0/types.rdb')
  const both = await parquetRows(await exported('both.parquet', DEMO, types))
  const first = await parquetRows(await exported('first.parquet', DEMO))
  const second = await parquetRows(await exported('second.parquet', types))
  // Sizes are estimated for one server.
  const bare = (rows: Row[]): Row[] => rows.map((row) => ({ ...row, size: 0 }))
  expect(bare(both)).toEqual(bare([...first, ...second]))
})
