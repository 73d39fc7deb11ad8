/** What is added up differs where parts are swapped, under any secret and in either half. */
import {
  DIGEST_BUCKETS,
  DIGEST_COUNTERS,
  DIGEST_FIELD_EXPIRY,
  DIGEST_RECORD_BYTES,
  DIGEST_SECRET_BYTES,
  DIGEST_VALUE,
  SUM_BYTES,
} from '../../src/kernels/abi.js'
import { expect, test } from 'vitest'
import { ByteKernel } from '../../src/kernels/kernel.js'
import { seededRandom } from '../helpers/pieces.js'

const SECRETS = 2000
const kernel = new ByteKernel(1 << 18)
const { exports } = kernel
const text = kernel.allocate(64)
const record = kernel.allocate(DIGEST_RECORD_BYTES)
const sums = kernel.allocate(DIGEST_BUCKETS * SUM_BYTES)

function take(value: string): void {
  exports.digestString(text.byteOffset, text.write(value, 'latin1'))
}

function add(element: string[], end: () => void): void {
  exports.digestBegin()
  element.forEach(take)
  end()
}

function halves(elements: string[][]): bigint[] {
  exports.digestKey(text.byteOffset, 0, 0)
  for (const element of elements) {
    add(element, () => exports.digestAdd())
    add(element, () => exports.digestAddTime())
    add(element, () => exports.digestAddCounters())
  }
  exports.digestRecord(record.byteOffset, 0, 0, 0, 0, -1)
  return [DIGEST_VALUE, DIGEST_VALUE + 8, DIGEST_FIELD_EXPIRY, DIGEST_COUNTERS].map((at) =>
    record.readBigUInt64LE(at),
  )
}

/** Parts in order, as the entries of a stream are. */
function chained(elements: string[][]): bigint[] {
  exports.digestKey(text.byteOffset, 0, 0)
  for (const element of elements) add(element, () => exports.digestChain())
  exports.digestRecord(record.byteOffset, 0, 0, 0, 0, -1)
  return [DIGEST_VALUE, DIGEST_VALUE + 8].map((at) => record.readBigUInt64LE(at))
}

/** Of all buckets: those of two keys differ most of the time. */
function bucketHalves(expiries: readonly number[]): bigint[] {
  sums.fill(0)
  let first = 0n
  let second = 0n
  expiries.forEach((expiry, index) => {
    exports.digestKey(text.byteOffset, text.write(`key ${index}`), 0)
    exports.digestSum(sums.byteOffset, 0, expiry, 5)
  })
  for (let at = 0; at < sums.length; at += SUM_BYTES) {
    first += sums.readBigUInt64LE(at)
    second += sums.readBigUInt64LE(at + 8)
  }
  return [first & 0xffffffffffffffffn, second & 0xffffffffffffffffn]
}

/** How many halves are equal under all secrets together. */
function equals<T>(digest: (of: T) => bigint[], one: T, other: T): number {
  const random = seededRandom(11)
  const secret = kernel.allocate(DIGEST_SECRET_BYTES)
  let count = 0
  for (let round = 0; round < SECRETS; round += 1) {
    for (let at = 0; at < DIGEST_SECRET_BYTES; at += 1) secret[at] = Math.floor(random() * 256)
    exports.digestSecret(secret.byteOffset)
    const found = digest(other)
    digest(one).forEach((half, index) => {
      if (half === found[index]) count += 1
    })
  }
  return count
}

test.each([
  [
    [['a1'], ['b2']],
    [['a2'], ['b1']],
  ],
  [
    [
      ['f1', '0'],
      ['f2', '1'],
    ],
    [
      ['f1', '1'],
      ['f2', '0'],
    ],
  ],
  [
    [
      ['name', 'alice'],
      ['other', 'alicf'],
    ],
    [
      ['name', 'alicf'],
      ['other', 'alice'],
    ],
  ],
  [
    [['member 000000001'], ['member 100000002']],
    [['member 000000002'], ['member 100000001']],
  ],
  [
    [['12345678'], ['x2345678']],
    [['1234567\xb8'], ['x234567\xb8']],
  ],
])('elements: %j is not %j', (one, other) => {
  expect(equals(halves, one, other)).toBe(0)
})

test.each([
  [
    [['a'], ['', '']],
    [[''], ['a', '']],
  ],
  [
    [['b'], ['', '']],
    [[''], ['b', '']],
  ],
  [
    [['', '\0'], ['']],
    [['', ''], ['\0']],
  ],
])('in order: %j is not %j', (one, other) => {
  expect(equals(chained, one, other)).toBe(0)
})

test('keys that swap their expiry', () => {
  expect(
    equals(
      bucketHalves,
      [1_800_000_000_000, 1_800_000_000_001],
      [1_800_000_000_001, 1_800_000_000_000],
    ),
  ).toBe(0)
  expect(equals(bucketHalves, [-1, 1000], [1000, -1])).toBe(0)
})
