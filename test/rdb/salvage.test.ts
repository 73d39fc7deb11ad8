/** `salvage`: what is sound around damage is read, what was lost is said, nothing is made up. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH, type LostRegion, type RdbSummary } from '../../src/rdb/visitor.js'
import { cutEvery, seededRandom } from '../helpers/pieces.js'
import { FIXTURES } from '../helpers/fixtures.js'

interface Salvaged {
  keys: string[]
  lost: LostRegion[]
  summary: RdbSummary
}

function salvage(chunks: Iterable<Uint8Array>): Salvaged {
  const keys: string[] = []
  const lost: LostRegion[] = []
  const parser = new RdbParser(
    {
      key: () => DEPTH.ELEMENTS,
      keyEnd: ({ key, dbnum }) =>
        keys.push(`${dbnum} ${key.bytes.toString('latin1', key.start, key.end)}`),
      lost: (region) => lost.push(region),
    },
    { salvage: true },
  )
  for (const chunk of chunks) parser.push(chunk)
  return { keys, lost, summary: parser.end() }
}

describe('the corrupt set', () => {
  const corrupt = (file: string): Buffer => readFileSync(join(FIXTURES, 'corrupt', file))

  test.each([
    'lzf-wrong-length.rdb',
    'lzf-bad-backreference.rdb',
    'ziplist-wrong-bytes.rdb',
    'ziplist-wrong-tail.rdb',
    'ziplist-wrong-prevlen.rdb',
    'ziplist-entry-overruns.rdb',
    'ziplist-no-end-byte.rdb',
    'listpack-wrong-bytes.rdb',
    'listpack-wrong-count.rdb',
    'listpack-bad-encoding.rdb',
    'listpack-unknown-encoding.rdb',
    'listpack-wrong-backlen.rdb',
    'listpack-odd-hash.rdb',
    'listpack-duplicate-field.rdb',
    'listpack-ex-not-triples.rdb',
    'intset-wrong-length.rdb',
    'intset-wrong-width.rdb',
    'intset-not-sorted.rdb',
    'zset-nan-score.rdb',
    'stream-wrong-entry-count.rdb',
    'stream-orphan-pending.rdb',
  ])('%s: a value damaged inside costs that key', (file) => {
    for (const chunks of [[corrupt(file)], cutEvery(corrupt(file), 1)]) {
      const { keys, lost, summary } = salvage(chunks)
      expect(keys).toEqual(['0 before', '2 after'])
      expect(lost).toHaveLength(1)
      expect(lost[0]).toMatchObject({ recovery: 'key', key: 'target', dbnum: 1 })
      expect(summary).toMatchObject({ lostRegions: 1, keysRead: 2 })
      expect(summary.lostBytes).toBe(lost[0]!.toByte - lost[0]!.fromByte)
    }
  })

  test.each([
    'unknown-type-byte.rdb',
    'unknown-string-encoding.rdb',
    'huge-string-length.rdb',
    'lzf-huge-length.rdb',
    'huge-list-count.rdb',
    'quicklist-unknown-container.rdb',
    'stream-short-node-key.rdb',
  ])('%s: behind a broken frame the next db is found', (file) => {
    for (const chunks of [[corrupt(file)], cutEvery(corrupt(file), 1)]) {
      const { keys, lost, summary } = salvage(chunks)
      expect(keys).toEqual(['0 before', '2 after'])
      expect(lost).toHaveLength(1)
      expect(lost[0]).toMatchObject({ recovery: 'resync', dbnumCertain: true })
      expect(lost[0]!.fromByte).toBeGreaterThan(100)
      expect(summary.lostRegions).toBe(1)
    }
  })

  test.each([
    ['truncated-in-length.rdb', 1],
    ['truncated-in-string.rdb', 1],
    ['truncated-before-eof.rdb', 3],
    ['truncated-in-checksum.rdb', 3],
    ['truncated-in-ziplist.rdb', 1],
    ['truncated-after-header.rdb', 0],
  ])('%s: what is before the end is read', (file, count) => {
    const { keys, lost } = salvage([corrupt(file)])
    expect(keys).toHaveLength(count)
    expect(lost).toHaveLength(1)
    expect(lost[0]).toMatchObject({ recovery: 'rest', toByte: corrupt(file).length })
  })

  test('a file that is no RDB stays an error', () => {
    expect(() => salvage([corrupt('text-file.rdb')])).toThrow(/not an RDB file/)
    expect(() => salvage([corrupt('truncated-header.rdb')])).toThrow(/ends before/)
  })
})

describe('a sound file, damaged', () => {
  const bytes = readFileSync(join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb'))
  const records: { at: number; length: number }[] = []
  const parser = new RdbParser({
    key: () => DEPTH.SKIP,
    keyEnd: ({ byteOffset }, { recordBytes }) =>
      records.push({ at: byteOffset, length: recordBytes }),
  })
  parser.push(bytes)
  parser.end()
  const all = salvage([bytes])

  test('undamaged, nothing is lost', () => {
    expect(all.lost).toEqual([])
    expect(all.summary).toMatchObject({ checksum: 'ok', lostRegions: 0, lostBytes: 0 })
    expect(all.keys).toHaveLength(records.length)
  })

  test('an overwritten record costs its neighbours at most, and makes up no key', () => {
    const random = seededRandom(9)
    const known = new Set(all.keys)
    for (let round = 0; round < 25; round += 1) {
      const { at, length } = records[Math.floor(random() * records.length)]!
      const damaged = Buffer.from(bytes)
      // An impossible type byte and noise behind it: the frame is gone.
      damaged.fill(0xee, at, at + Math.min(length, 40))
      const { keys, lost, summary } = salvage([damaged])
      expect(lost.length).toBeGreaterThan(0)
      expect(keys.filter((key) => !known.has(key))).toEqual([])
      expect(keys.length).toBeGreaterThanOrEqual(records.length - 8)
      expect(summary.lostBytes).toBeLessThan(8000)
    }
  })

  test('a stretch of zeros is not taken for keys', () => {
    const damaged = Buffer.from(bytes)
    const middle = bytes.length >> 1
    damaged.fill(0, middle, middle + 20000)
    const { keys, lost } = salvage([damaged])
    const known = new Set(all.keys)
    expect(lost.length).toBeGreaterThan(0)
    // One key may end in the zeros, or be cut out of one that did.
    expect(keys.filter((key) => !known.has(key)).length).toBeLessThanOrEqual(2)
    expect(keys.length).toBeGreaterThan(records.length * 0.9)
  })
})
