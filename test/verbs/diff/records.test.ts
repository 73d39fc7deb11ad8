/** Records of two sides come together by db and name, in parts that are small. */
import {
  DIGEST_COUNTERS,
  DIGEST_DB,
  DIGEST_EXPIRE_AT,
  DIGEST_FIELD_EXPIRY,
  DIGEST_HAS_COUNTERS,
  DIGEST_KIND,
  DIGEST_NAME,
  DIGEST_NAME_BYTES,
  DIGEST_RECORD_BYTES,
  DIGEST_VALUE,
} from '../../../src/kernels/abi.js'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KeyComparison } from '../../../src/verbs/diff/compare.js'
import { DiffRecords, type DiffSide } from '../../../src/verbs/diff/records.js'
import { KIND_NAMES } from '../../../src/rdb/visitor.js'

let dir: string
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'rrep-records-'))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('long names are compared in parts that are small, and files for their owner only', () => {
  const nameBytes = 1 << 20
  const keys = 64
  const records = new DiffRecords(dir, { keys: 2 * keys, nameBytes: 2 * keys * nameBytes })
  const record = Buffer.alloc(DIGEST_RECORD_BYTES)
  record.writeUInt32LE(nameBytes, DIGEST_NAME_BYTES)
  record.writeDoubleLE(-1, DIGEST_EXPIRE_AT)
  for (let i = 0; i < keys; i += 1) {
    const name = { bytes: Buffer.alloc(nameBytes, i), start: 0, end: nameBytes }
    record.writeUInt32LE(i * 7919, DIGEST_NAME + 4)
    records.a.add(record, 0, name)
    if (i !== 5) records.b.add(record, 0, name)
  }
  const files = readdirSync(dir).map((name) => statSync(join(dir, name)))
  expect(files.length).toBeGreaterThan(8)
  for (const { size, mode } of files) {
    expect(size).toBeLessThan(24 << 20)
    expect(mode & 0o777).toBe(0o600)
  }
  records.a.end()
  records.b.end()
  const alone: number[] = []
  records.compare({
    twice: () => expect.unreachable(),
    pair: (a, atA, _b, atB) => {
      if (atA < 0 || atB < 0) alone.push(a.nameOf(atA)[0]!)
    },
  })
  expect(alone).toEqual([5])
})

interface Key {
  db: number
  name: string
  kind: number
  value: number
  fieldExpiry: number
  counters: number | undefined
  expireAtMs: number
}

const NOW_MS = 500
const TOLERANCE_MS = 2

const anyKey: fc.Arbitrary<Key> = fc.record({
  db: fc.nat(1),
  // Short and long ones, and some that differ in the last byte only.
  name: fc.oneof(
    fc.nat(40).map(String),
    fc.nat(40).map((each) => 'x'.repeat(70) + String(each)),
  ),
  kind: fc.nat(1),
  value: fc.nat(1),
  fieldExpiry: fc.oneof(fc.constant(0), fc.nat(1)),
  counters: fc.option(fc.nat(1), { nil: undefined }),
  expireAtMs: fc.oneof(fc.constant(-1), fc.nat(3), fc.integer({ min: 499, max: 502 })),
})

/** Names of different keys may have the same digest; then they are told apart all the same. */
function add(to: DiffSide, key: Key, index: number, digest = key.name.length): void {
  const name = Buffer.from(key.name)
  const record = Buffer.alloc(DIGEST_RECORD_BYTES + name.length + 7)
  const at = index % 7
  record.writeUInt32LE(key.db, at + DIGEST_DB)
  record.writeUInt32LE(name.length, at + DIGEST_NAME_BYTES)
  record.writeUInt32LE(key.kind, at + DIGEST_KIND)
  record.writeUInt32LE(key.counters === undefined ? 0 : 1, at + DIGEST_HAS_COUNTERS)
  record.writeDoubleLE(key.expireAtMs, at + DIGEST_EXPIRE_AT)
  record.writeUInt32LE(key.fieldExpiry, at + DIGEST_FIELD_EXPIRY + 4)
  record.writeUInt32LE(key.counters ?? 0, at + DIGEST_COUNTERS)
  record.writeUInt32LE(key.value, at + DIGEST_VALUE + 12)
  record.writeUInt32LE(digest, at + DIGEST_NAME)
  record.writeUInt32LE(key.name.charCodeAt(0), at + DIGEST_NAME + 4)
  const isBehind = index % 2 === 0
  if (isBehind) name.copy(record, at + DIGEST_RECORD_BYTES)
  const start = isBehind ? at + DIGEST_RECORD_BYTES : 0
  to.add(record, at, { bytes: isBehind ? record : name, start, end: start + name.length })
}

/** The later of two keys of one name counts. */
function byName(keys: readonly Key[]): Map<string, Key> {
  return new Map(keys.map((key) => [`${key.db} ${key.name}`, key]))
}

function expected(a: Map<string, Key>, b: Map<string, Key>): string[] {
  const found: string[] = []
  const shown = (time: number): string => (time === -1 ? 'null' : String(time))
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    const [left, right] = [a.get(name), b.get(name)]
    if (left === undefined || right === undefined) {
      const { expireAtMs } = (left ?? right)!
      const isPast = expireAtMs !== -1 && expireAtMs <= NOW_MS
      const kind = left === undefined ? 'missing-in-a' : 'missing-in-b'
      found.push(`${name} ${isPast ? 'expired' : kind}`)
      continue
    }
    if (left.kind !== right.kind) {
      found.push(`${name} type ${KIND_NAMES[left.kind]} ${KIND_NAMES[right.kind]}`)
    } else {
      if (left.value !== right.value) found.push(`${name} value`)
      if (left.fieldExpiry !== right.fieldExpiry) found.push(`${name} field-ttl`)
      const counters = [left.counters, right.counters]
      if (!counters.includes(undefined) && counters[0] !== counters[1]) {
        found.push(`${name} stream-counters`)
      }
    }
    const [x, y] = [left.expireAtMs, right.expireAtMs]
    const isSame = x === -1 || y === -1 ? x === y : Math.abs(x - y) <= TOLERANCE_MS
    if (!isSame) found.push(`${name} ttl ${shown(x)} ${shown(y)}`)
  }
  return found.sort()
}

test('what differs is found, each key once, by whatever parts it comes', () => {
  const keys = fc.array(anyKey, { maxLength: 120 })
  let run = 0
  fc.assert(
    fc.property(keys, keys, fc.constantFrom(1, 300_000, 3_000_000), (a, b, suspects) => {
      run += 1
      const here = join(dir, String(run))
      mkdirSync(here)
      const records = new DiffRecords(here, { keys: suspects, nameBytes: 0 })
      a.forEach((key, index) => add(records.a, key, index))
      b.forEach((key, index) => add(records.b, key, index))
      records.a.end()
      records.b.end()
      const twice = { a: 0, b: 0 }
      const found: string[] = []
      const comparison = new KeyComparison({ ttlToleranceMs: TOLERANCE_MS, nowMs: NOW_MS })
      records.compare({
        twice: (side) => (twice[side] += 1),
        pair: (x, atX, y, atY) => {
          comparison.look(x, atX, y, atY)
          if (comparison.isExpired) {
            const [side, at] = atX < 0 ? [y, atY] : [x, atX]
            found.push(`${side.word(at, DIGEST_DB)} ${side.nameOf(at).toString()} expired`)
          }
          for (const kind of comparison.kinds) {
            const { db, key, ...rest } = comparison.describe(kind)
            const times = 'a' in rest ? ` ${rest.a} ${rest.b}` : ''
            found.push(`${db} ${key.toString()} ${rest.kind}${times}`)
          }
        },
      })
      const [left, right] = [byName(a), byName(b)]
      expect(found.sort()).toEqual(expected(left, right))
      expect(twice).toEqual({ a: a.length - left.size, b: b.length - right.size })
    }),
    { numRuns: 200 },
  )
})

test('many records lie in files, of which the owner alone can read them', () => {
  const count = 200_000
  const records = new DiffRecords(dir, { keys: 2_000_000, nameBytes: 0 })
  const key = (index: number): Key => ({
    db: 0,
    name: `${String.fromCharCode(index % 200)} ${index}`,
    kind: 0,
    value: 0,
    fieldExpiry: 0,
    counters: undefined,
    expireAtMs: -1,
  })
  for (let index = 0; index < count; index += 1) add(records.a, key(index), index, index)
  for (let index = count - 1; index > 0; index -= 1) add(records.b, key(index), index, index)
  records.a.end()
  records.b.end()
  const files = readdirSync(dir).map((name) => statSync(join(dir, name)))
  expect(files.length).toBe(20)
  expect(new Set(files.map(({ mode }) => mode & 0o777))).toEqual(new Set([0o600]))
  let pairs = 0
  const alone: string[] = []
  records.compare({
    twice: () => expect.unreachable(),
    pair: (a, atA, _b, atB) => {
      if (atA >= 0 && atB >= 0) pairs += 1
      else alone.push(a.nameOf(atA).toString())
    },
  })
  expect([pairs, alone]).toEqual([count - 1, ['\0 0']])
})
