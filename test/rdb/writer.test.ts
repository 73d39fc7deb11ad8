/** What is written is what is read: keys, dbs, times and strings of any bytes, in any version. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { MutableKeyHeader } from '../../src/rdb/header.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { RdbOutput } from '../../src/rdb/writer/rdb-output.js'
import { crc64Bitwise } from '../helpers/rdb-bytes.js'

interface Key {
  db: number
  key: string
  value: string
  expireAtMs: number | undefined
}

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 80 }).map((each) => Buffer.from(each).toString('latin1')),
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 40n), max: 2n ** 40n }).map(String),
  fc.constantFrom('', '-', '-0', '00', '+1', '127', '128', '-128', '-129', '32768', '2147483648'),
  fc.integer({ min: 60, max: 17_000 }).map((length) => 'x'.repeat(length)),
)
const keys = fc.array(
  fc.record({
    db: fc.nat({ max: 70_000 }),
    key: bytes,
    value: bytes,
    expireAtMs: fc.option(fc.integer({ min: -5, max: 2 ** 48 }), { nil: undefined }),
  }),
  { maxLength: 20 },
)
const forms = fc.constantFrom(
  ...[1, 2, 3, 5, 7, 9, 11, 13].map((version) => ({ family: 'redis' as const, version })),
  { family: 'valkey' as const, version: 80 },
)
const sizes = fc.integer({ min: 32, max: 5000 })

test('strings of any bytes come back, in buffers of any size', () => {
  fc.assert(
    fc.property(keys, forms, sizes, fc.boolean(), (written, form, bufferBytes, lzf) => {
      const pieces: Buffer[] = []
      const out = new OutputBuffer((piece) => pieces.push(Buffer.from(piece)), bufferBytes)
      const output = new RdbOutput(out, { ...form, target: undefined }, lzf)
      for (const { db, key, value, expireAtMs } of written) {
        const name = Buffer.from(key, 'latin1')
        const slice = { bytes: name, start: 0, end: name.length }
        output.beginKey(new MutableKeyHeader(), 0, slice, db, expireAtMs)
        output.to.string(Buffer.from(value, 'latin1'))
      }
      output.end()
      const file = Buffer.concat(pieces)
      if (form.version >= 5) {
        const end = file.length - 8
        expect(file.readBigUInt64LE(end)).toBe(crc64Bitwise(file.subarray(0, end)))
      }
      expect(read(file)).toEqual(
        written.map((each) => ({ ...each, expireAtMs: timeIn(form.version, each.expireAtMs) })),
      )
    }),
    { numRuns: 200 },
  )
})

/** Before version 3 times are whole seconds of 32 bits, and none is earlier than it was. */
function timeIn(version: number, expireAtMs: number | undefined): number | undefined {
  if (expireAtMs === undefined || version >= 3) return expireAtMs
  return Math.min(0x7fffffff, Math.ceil(expireAtMs / 1000)) * 1000 + 0
}

function read(file: Buffer): Key[] {
  const found: Key[] = []
  const parser = new RdbParser({
    key: ({ key, dbnum, hasExpiry, expireAtMs }) => {
      found.push({
        db: dbnum,
        key: key.bytes.toString('latin1', key.start, key.end),
        value: '',
        expireAtMs: hasExpiry ? expireAtMs : undefined,
      })
      return DEPTH.ELEMENTS
    },
    stringValue: (value) => {
      found.at(-1)!.value = value.bytes.toString('latin1', value.start, value.end)
    },
  })
  parser.push(file)
  parser.end()
  return found
}
