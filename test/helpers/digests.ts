/** Files and values digested in any way, and what became of them. */
import {
  DIGEST_COUNTERS,
  DIGEST_DB,
  DIGEST_EXPIRE_AT,
  DIGEST_FIELD_EXPIRY,
  DIGEST_HAS_COUNTERS,
  DIGEST_KIND,
  DIGEST_NAME,
  DIGEST_NAME_BYTES,
  DIGEST_SECRET_BYTES,
  DIGEST_VALUE,
} from '../../src/kernels/abi.js'
import { countingLane } from './counting-lane.js'
import { expect } from 'vitest'
import { DigestKernel } from '../../src/analyze/digest-kernel.js'
import { KeyDigests } from '../../src/analyze/value-digest.js'
import { RdbError } from '../../src/errors.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { seededRandom } from './pieces.js'
import type { PlainRecord } from './plain-digest.js'
import { lengthOf, str } from './rdb-values.js'

/** Small, so that values lie across its border. */
const INPUT_BYTES = 1 << 16
const random = seededRandom(20)
export const secret = Buffer.from(
  Array.from({ length: DIGEST_SECRET_BYTES }, () => Math.floor(random() * 256)),
)
export const kernel = new DigestKernel(INPUT_BYTES, secret)

export interface Told extends PlainRecord {
  fieldExpiry: bigint
  counters: bigint
  hasCounters: number
}

export interface Digested {
  sums: string
  told: Told[]
  keysRead: number
  error: string | undefined
  taken: { records: number; elements: number; packed: number }
}

interface Way {
  /** In the memory of the kernel, so that it can take stretches. */
  fast: boolean
  /** Records, not sums. */
  tell?: boolean
  /** Without leave to take records at once. */
  filtered?: boolean
}

export function digest(pieces: Iterable<Buffer>, { fast, tell, filtered }: Way): Digested {
  const told: Told[] = []
  kernel.sums.a.fill(0)
  kernel.suspects.fill(1)
  const digests = new KeyDigests({
    kernel,
    wanted: filtered === true ? () => true : undefined,
    to:
      tell === true ? (record, at, name) => told.push(readRecord(record, at, name)) : kernel.sums.a,
  })
  const taken = { records: 0, elements: 0, packed: 0 }
  const parser = new RdbParser(digests, { lane: countingLane(digests.lane, taken) })
  let error: string | undefined
  try {
    feed(parser, pieces, fast)
  } catch (thrown) {
    if (!(thrown instanceof RdbError)) throw thrown
    error = thrown.message
  }
  const sums = kernel.sums.a.toString('latin1')
  return { sums, told, keysRead: parser.keysRead, error, taken }
}

export function feed(parser: RdbParser, pieces: Iterable<Buffer>, fast: boolean): void {
  const { input } = kernel
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += INPUT_BYTES) {
      const end = Math.min(piece.length, at + INPUT_BYTES)
      if (fast) {
        piece.copy(input, 0, at, end)
        parser.push(input.subarray(0, end - at))
        // Nothing may be read later.
        input.fill(0xaa, 0, end - at)
      } else {
        parser.push(piece.subarray(at, end))
      }
    }
  }
  parser.end()
}

export function readRecord(
  record: Buffer,
  at: number,
  name: { bytes: Buffer; start: number; end: number },
): Told {
  expect(record.readUInt32LE(at + DIGEST_NAME_BYTES)).toBe(name.end - name.start)
  return {
    db: record.readUInt32LE(at + DIGEST_DB),
    name: name.bytes.toString('latin1', name.start, name.end),
    kind: record.readUInt32LE(at + DIGEST_KIND),
    hasCounters: record.readUInt32LE(at + DIGEST_HAS_COUNTERS),
    expireAtMs: record.readDoubleLE(at + DIGEST_EXPIRE_AT),
    fieldExpiry: record.readBigUInt64LE(at + DIGEST_FIELD_EXPIRY),
    counters: record.readBigUInt64LE(at + DIGEST_COUNTERS),
    value: [
      record.readBigUInt64LE(at + DIGEST_VALUE),
      record.readBigUInt64LE(at + DIGEST_VALUE + 8),
    ],
    nameDigest: record.readBigUInt64LE(at + DIGEST_NAME),
  }
}

export const text = (value: string): Buffer => str(Buffer.from(value))
export const file = (magic: string, ...records: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from(magic), ...records, Buffer.of(0xff), Buffer.alloc(8)])

/** The digests of one value in each of these forms: [type byte, value]. */
export function values(...forms: [number, Buffer][]): string[] {
  const records = forms.map(([type, value]) => Buffer.concat([Buffer.of(type), text('key'), value]))
  const rdb = file('REDIS0011', ...records)
  const found: string[][] = []
  for (const way of [{ fast: true }, { fast: true, filtered: true }, { fast: false }]) {
    const { told, error } = digest([rdb], { ...way, tell: true })
    expect([error, told.length]).toEqual([undefined, forms.length])
    found.push(told.map(({ kind, value }) => `${kind} ${value.join(' ')}`))
  }
  expect(found[1]).toEqual(found[0])
  expect(found[2]).toEqual(found[0])
  return found[0]!
}

export const counted = (elements: Buffer[]): Buffer =>
  Buffer.concat([lengthOf(elements.length), ...elements])
