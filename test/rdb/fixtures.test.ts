/**
 * Files written by real servers, against what those servers said they hold: whole, byte by byte, in
 * pieces of 7 bytes and of seeded random sizes. The small ones are also cut at every byte.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { RdbError } from '../../src/errors.js'
import { cutEvery, cutRandomly, readByTurns, seededRandom } from '../helpers/pieces.js'
import {
  collect,
  normalizeRows,
  readExpected,
  type Collected,
  type Row,
} from '../helpers/rdb-rows.js'
import { fixtureFiles } from '../helpers/fixtures.js'

const files = fixtureFiles('.rdb').filter(({ name }) => !name.startsWith('corrupt'))

/** Of a further set of files (RREP_FIXTURES): the server that answered was not the one that wrote. */
const LOADED_BY_ANOTHER: Record<string, readonly string[]> = {
  'third-party/rdb-tools/redis_50_with_streams.rdb': ['maxDeletedId', 'entriesAdded'],
}

function comparable({ collector }: Collected): Row[] {
  const rows = collector.rows.map((row) => ({ ...row }))
  for (const row of rows) {
    delete row.freq
    delete row.idleSeconds
  }
  return normalizeRows(rows)
}

describe('fixtures of real servers', () => {
  test('there are fixtures', () => {
    expect(files.length).toBeGreaterThan(120)
  })

  for (const { name: file, path } of files) {
    const bytes = readFileSync(path)
    const whole = (): Collected => collect([bytes], { validate: true, strict: false })

    test(`${file} holds what its server said`, () => {
      const expectedPath = path.replace(/\.rdb$/, '.expected.jsonl')
      const { summary } = whole()
      expect(summary.checksum).not.toBe('bad')
      if (!existsSync(expectedPath)) return
      const expected = readExpected(expectedPath)
      const foreign = LOADED_BY_ANOTHER[file]
      if (foreign !== undefined) dropFields(expected, foreign)
      expect(comparable(whole())).toEqual(expected)
    })

    test(`${file} gives the same events in any pieces`, () => {
      const { collector, summary } = whole()
      const random = seededRandom(8)
      const cuts: [string, Iterable<Buffer>][] = [
        ['7 bytes', cutEvery(bytes, 7)],
        ['random', cutRandomly(bytes, 4711)],
        ['random', cutRandomly(bytes, 12)],
        ['a buffer with headroom', readByTurns(bytes, () => 1 + Math.floor(random() ** 4 * 65536))],
      ]
      // Byte by byte takes a second a megabyte.
      if (bytes.length < 300_000) cuts.push(['1 byte', cutEvery(bytes, 1)])
      for (const [, chunks] of cuts) {
        const again = collect(chunks, { validate: true, strict: false })
        expect(again.collector.rows).toEqual(collector.rows)
        expect(again.collector.auxFields).toEqual(collector.auxFields)
        expect(again.collector.functions).toEqual(collector.functions)
        expect(again.summary).toEqual(summary)
      }
    })

    if (bytes.length < 3000) {
      test(`${file} cut short is truncated, at the byte where it stops`, () => {
        const end = whole().summary.rdbBytes
        for (let length = 0; length < end; length += 1) {
          const error = errorOf(() => collect([bytes.subarray(0, length)], { validate: true }))
          expect(error.code).toBe('ERR_RDB_TRUNCATED')
          expect(error.where.byteOffset).toBe(length)
        }
      })
    }
  }
})

test('the demo file gives the same events in any pieces', () => {
  const bytes = readFileSync(join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb'))
  const whole = collect([bytes], { validate: true })
  expect(whole.summary).toMatchObject({ checksum: 'ok', trailingBytes: 0 })
  expect(whole.collector.rows.length).toBe(whole.summary.keysRead)
  expect(whole.summary.keysRead).toBeGreaterThan(1000)
  for (const chunks of [
    cutEvery(bytes, 7),
    cutRandomly(bytes, 3),
    readByTurns(bytes, () => 1000),
  ]) {
    expect(collect(chunks, { validate: true }).collector.rows).toEqual(whole.collector.rows)
  }
})

function errorOf(act: () => unknown): RdbError {
  try {
    act()
  } catch (error) {
    if (error instanceof RdbError) return error
    throw error
  }
  throw new Error('no error')
}

function dropFields(rows: Row[], names: readonly string[]): void {
  for (const row of rows) {
    if (row.type !== 'stream') continue
    const stream = row.value as Record<string, unknown> & { groups: { entriesRead?: unknown }[] }
    for (const name of names) Reflect.deleteProperty(stream, name)
    for (const group of stream.groups) delete group.entriesRead
  }
}
