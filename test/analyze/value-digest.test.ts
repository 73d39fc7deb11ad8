/**
 * Digests are those of a plain implementation, whatever way values come: in whole stretches, piece by
 * piece, from any memory.
 */
import { DIGEST_EXPIRE_AT, SUM_BYTES, SUM_KEYS, SUM_NAME_BYTES } from '../../src/kernels/abi.js'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KeyDigests } from '../../src/analyze/value-digest.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { KIND } from '../../src/rdb/visitor.js'
import {
  digest,
  feed,
  file,
  kernel,
  readRecord,
  secret,
  text,
  type Digested,
} from '../helpers/digests.js'
import { cutEvery, cutRandomly } from '../helpers/pieces.js'
import { PlainDigests, type PlainRecord } from '../helpers/plain-digest.js'
import { anyRdb, intset, str } from '../helpers/rdb-values.js'
import { FIXTURES } from '../helpers/fixtures.js'

function plainly(rdb: Buffer): PlainRecord[] {
  const plain = new PlainDigests(secret)
  const parser = new RdbParser(plain)
  parser.push(rdb)
  parser.end()
  return plain.records
}

/** All but how it was made. */
function same(fast: Digested, slow: Digested): void {
  expect(slow.taken).toEqual({ records: 0, elements: 0, packed: 0 })
  expect(fast.sums === slow.sums).toBe(true)
  const { told, keysRead, error } = slow
  expect({ told: fast.told, keysRead: fast.keysRead, error: fast.error }).toEqual({
    told,
    keysRead,
    error,
  })
}

describe('generated files', () => {
  test('have the digests of the plain implementation, whole and in pieces', () => {
    const seen = { records: 0, elements: 0, packed: 0 }
    fc.assert(
      fc.property(anyRdb, fc.nat(), (rdb, seed) => {
        const fast = digest([rdb], { fast: true, tell: true })
        const slow = digest([rdb], { fast: false, tell: true })
        same(fast, slow)
        same(digest(cutRandomly(rdb, seed), { fast: true, tell: true }), slow)
        const plain = plainly(rdb)
        expect(slow.told).toEqual(
          plain.map((each) => ({ ...each, fieldExpiry: 0n, counters: 0n, hasCounters: 0 })),
        )
        seen.records += fast.taken.records
        seen.elements += fast.taken.elements
        seen.packed += fast.taken.packed
      }),
      { numRuns: 300 },
    )
    // Else nothing would have been compared.
    expect(Math.min(seen.records, seen.elements, seen.packed)).toBeGreaterThan(500)
  })

  test('have the same sums, whole, in pieces and key by key', () => {
    fc.assert(
      fc.property(anyRdb, fc.nat(), (rdb, seed) => {
        const slow = digest([rdb], { fast: false })
        same(digest([rdb], { fast: true }), slow)
        same(digest(cutRandomly(rdb, seed), { fast: true }), slow)
        const filtered = digest([rdb], { fast: true, filtered: true })
        expect(filtered.taken.records).toBe(0)
        expect(filtered.sums === slow.sums).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  test('give the same error when a byte is wrong, or missing', () => {
    fc.assert(
      fc.property(anyRdb, fc.nat(), fc.nat(255), fc.boolean(), (rdb, at, byte, cut) => {
        const place = 9 + (at % (rdb.length - 9))
        const damaged = Buffer.from(cut ? rdb.subarray(0, place) : rdb)
        if (!cut) damaged[place] = byte
        const slow = digest([damaged], { fast: false, tell: true })
        same(digest([damaged], { fast: true, tell: true }), slow)
      }),
      { numRuns: 400 },
    )
  })
})

describe('sums', () => {
  const records = Array.from({ length: 3000 }, (_, index) =>
    Buffer.concat([Buffer.of(0), text(`key:${index}`), text(`value ${index}`)]),
  )
  const sumsOf = (...of: Buffer[]): string =>
    digest([file('REDIS0011', ...of)], { fast: true }).sums

  test('do not depend on the order of keys, but on every one of them', () => {
    const whole = sumsOf(...records)
    expect(sumsOf(...records.toReversed()) === whole).toBe(true)
    expect(sumsOf(...records.slice(1)) === whole).toBe(false)
    const swapped = [...records]
    swapped[0] = Buffer.concat([Buffer.of(0), text('key:0'), text('value 1')])
    swapped[1] = Buffer.concat([Buffer.of(0), text('key:1'), text('value 0')])
    expect(sumsOf(...swapped) === whole).toBe(false)
    const db = Buffer.of(0xfe, 1)
    expect(sumsOf(db, ...records) === whole).toBe(false)
    expect(sumsOf(db, records[0]!) === sumsOf(records[0]!, db)).toBe(false)
  })

  test('hold how many keys there are, and the bytes of their names', () => {
    digest([file('REDIS0011', ...records)], { fast: true })
    let keys = 0
    let bytes = 0
    for (let at = 0; at < kernel.sums.a.length; at += SUM_BYTES) {
      keys += kernel.sums.a.readDoubleLE(at + SUM_KEYS)
      bytes += kernel.sums.a.readDoubleLE(at + SUM_NAME_BYTES)
    }
    expect(keys).toBe(3000)
    expect(bytes).toBe(10 * 5 + 90 * 6 + 900 * 7 + 2000 * 8)
  })

  test('depend on type and expiry', () => {
    const value = intset([1n])
    const forms = [
      Buffer.concat([Buffer.of(0), text('k'), text('1')]),
      Buffer.concat([Buffer.of(11), text('k'), str(value)]),
      Buffer.concat([Buffer.of(0xfc), Buffer.alloc(8, 1), Buffer.of(0), text('k'), text('1')]),
      Buffer.concat([Buffer.of(0xfd), Buffer.alloc(4, 1), Buffer.of(0), text('k'), text('1')]),
    ]
    expect(new Set(forms.map((each) => sumsOf(each))).size).toBe(forms.length)
  })
})

test('times that carry a constant are told without it', () => {
  const time = (ms: bigint): Buffer => {
    const bytes = Buffer.alloc(9, 0xfc)
    bytes.writeBigInt64LE(ms, 1)
    return bytes
  }
  const record = Buffer.concat([Buffer.of(0), text('k'), text('v'.repeat(200))])
  const rdb = file('REDIS0011', time(999n), record, time(1000n), record, time(1500n), record)
  for (const fast of [true, false]) {
    const told: number[] = []
    kernel.suspects.fill(1)
    const digests = new KeyDigests({
      kernel,
      shiftMs: 1000,
      to: (bytes, at) => told.push(bytes.readDoubleLE(at + DIGEST_EXPIRE_AT)),
    })
    feed(new RdbParser(digests, { lane: digests.lane }), [rdb], fast)
    expect(told).toEqual([999, 0, 500])
  }
})

test('only keys of suspect buckets are told, however many, however they come', () => {
  const records = Array.from({ length: 20_000 }, (_, index) =>
    Buffer.concat([Buffer.of(0), text(`key:${index}`), text(`value ${index}`)]),
  )
  const rdb = file('REDIS0011', ...records)
  const all = digest([rdb], { fast: true, tell: true }).told
  expect(all).toHaveLength(20_000)
  const found: string[][] = []
  for (const fast of [true, false]) {
    kernel.suspects.fill(0)
    for (let bucket = 0; bucket < 1250; bucket += 1) kernel.suspects[bucket] = 1
    const told: string[] = []
    const digests = new KeyDigests({
      kernel,
      to: (record, at, name) => told.push(readRecord(record, at, name).name),
    })
    feed(new RdbParser(digests, { lane: digests.lane }), [rdb], fast)
    found.push(told)
  }
  const expected = all.filter(({ nameDigest }) => (nameDigest & 0xfffn) < 1250n)
  expect(found).toEqual([expected.map(({ name }) => name), expected.map(({ name }) => name)])
  expect(expected.length).toBeGreaterThan(4000)
})

describe('fixtures', () => {
  const root = FIXTURES
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rdb'),
  )

  test('all of them, the corrupt ones too, whole and in pieces', () => {
    expect(names.length).toBeGreaterThan(160)
    const seen = { records: 0, elements: 0, packed: 0, others: 0 }
    for (const name of names) {
      const rdb = readFileSync(join(root, name))
      const slow = digest([rdb], { fast: false, tell: true })
      const fast = digest([rdb], { fast: true, tell: true })
      same(fast, slow)
      same(digest(cutRandomly(rdb, 7), { fast: true, tell: true }), slow)
      if (rdb.length < 4096) same(digest(cutEvery(rdb, 7), { fast: true, tell: true }), slow)
      same(digest([rdb], { fast: true }), digest([rdb], { fast: false }))
      seen.records += fast.taken.records
      seen.elements += fast.taken.elements
      seen.packed += fast.taken.packed
      seen.others += slow.told.filter(({ kind }) => kind > KIND.HASH).length
    }
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(100)
  })
})
