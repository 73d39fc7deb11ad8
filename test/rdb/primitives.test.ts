/** Properties of the small parts: whatever is encoded is read back, and nothing else is. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeySet } from '../../src/rdb/duplicates.js'
import { PackedReader } from '../../src/rdb/encodings/packed.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { parseScore } from '../../src/rdb/values/score.js'
import { StringSlot } from '../../src/rdb/io/slice.js'
import {
  MutableU64,
  u64Text,
  u64ToBigInt,
  writeI64,
  writeInteger,
  writeU64,
} from '../../src/rdb/values/u64.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { cutRandomly } from '../helpers/pieces.js'

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
const i64 = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })

function halves(value: bigint): MutableU64 {
  const bits = BigInt.asUintN(64, value)
  const into = new MutableU64()
  into.set(Number(bits >> 32n), Number(bits & 0xffffffffn))
  return into
}

test('64-bit numbers are printed, added and turned as BigInt does it', () => {
  const out = Buffer.alloc(64)
  fc.assert(
    fc.property(u64, i64, (value, signed) => {
      const number = halves(value)
      expect(out.toString('latin1', 0, writeU64(number, out, 0))).toBe(value.toString())
      expect(u64Text(number)).toBe(value.toString())
      const { high, low } = halves(signed)
      expect(out.toString('latin1', 0, writeI64(high, low, out, 0))).toBe(signed.toString())
      number.add(high, low)
      expect(u64ToBigInt(number)).toBe(BigInt.asUintN(64, value + signed))
    }),
  )
})

test('integers up to 2^53 are printed as JavaScript does it', () => {
  const out = Buffer.alloc(32)
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      expect(out.toString('latin1', 0, writeInteger(value, out, 0))).toBe(String(value))
    }),
  )
})

test('scores are the doubles that their text means, and no text is a number by chance', () => {
  const parse = (text: string): number => parseScore(Buffer.from(text), 0, text.length)
  fc.assert(
    fc.property(fc.double({ noNaN: true }), fc.integer({ min: 0, max: 20 }), (value, digits) => {
      const text = String(value).replace('Infinity', 'inf')
      // As text −0 is 0.
      expect(parse(text)).toBe(value === 0 ? 0 : value)
      if (Math.abs(value) < 1e15)
        expect(parse(value.toFixed(digits))).toBe(Number(value.toFixed(digits)))
    }),
  )
  for (const text of ['', '-', '.', 'nan', '1e', '0x10', ' 1', '1 ', '1.2.3', '--1', '1,5']) {
    expect(parse(text)).toBeNaN()
  }
})

/** After the description of the format; shares nothing with the reader. */
function encodeListpack(values: (bigint | Buffer)[], narrow: boolean): Buffer {
  const entries = values.map((value) => {
    const data = Buffer.isBuffer(value) ? encodeText(value) : encodeInteger(value)
    return Buffer.concat([data, backlen(data.length, narrow)])
  })
  const body = Buffer.concat(entries)
  const head = Buffer.alloc(6)
  head.writeUInt32LE(body.length + 7)
  head.writeUInt16LE(Math.min(values.length, 65535), 4)
  return Buffer.concat([head, body, Buffer.of(0xff)])
}

function encodeText(text: Buffer): Buffer {
  if (text.length < 64) return Buffer.concat([Buffer.of(0x80 | text.length), text])
  if (text.length < 4096) {
    return Buffer.concat([Buffer.of(0xe0 | (text.length >> 8), text.length & 0xff), text])
  }
  const head = Buffer.of(0xf0, 0, 0, 0, 0)
  head.writeUInt32LE(text.length, 1)
  return Buffer.concat([head, text])
}

function encodeInteger(value: bigint): Buffer {
  if (value >= 0n && value < 128n) return Buffer.of(Number(value))
  if (value >= -4096n && value < 4096n) {
    const bits = Number(BigInt.asUintN(13, value))
    return Buffer.of(0xc0 | (bits >> 8), bits & 0xff)
  }
  const widths: [number, number][] = [
    [0xf1, 2],
    [0xf2, 3],
    [0xf3, 4],
    [0xf4, 8],
  ]
  for (const [code, width] of widths) {
    if (BigInt.asIntN(width * 8, value) !== value) continue
    const data = Buffer.alloc(1 + 8)
    data[0] = code
    data.writeBigInt64LE(value, 1)
    return data.subarray(0, 1 + width)
  }
  throw new RangeError('more than 64 bits')
}

function backlen(size: number, narrow: boolean): Buffer {
  const limits = [127, 16383, 2097151, 268435455].map((limit, index) =>
    narrow || index === 0 ? limit : limit - 1,
  )
  const width = 1 + limits.filter((limit) => size > limit).length
  const bytes = Buffer.alloc(width)
  for (let index = width - 1, rest = size; index >= 0; index -= 1, rest = Math.floor(rest / 128)) {
    bytes[index] = (rest & 127) | (index === 0 ? 0 : 128)
  }
  return bytes
}

function decodeListpack(bytes: Buffer): string[] {
  const reader = new PackedReader((message) => new Error(message))
  const slot = new StringSlot()
  const found: string[] = []
  reader.openListpack(bytes, 0, bytes.length)
  while (reader.next()) {
    reader.render(slot)
    expect(reader.length).toBe(slot.end - slot.start)
    found.push(slot.bytes.toString('latin1', slot.start, slot.end))
  }
  return found
}

const element = fc.oneof(
  i64,
  fc.bigInt({ min: -70000n, max: 70000n }),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
)

test('a listpack gives back what was put in', () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 40 }), fc.boolean(), (values, narrow) => {
      expect(decodeListpack(encodeListpack(values, narrow))).toEqual(
        values.map((value) =>
          Buffer.isBuffer(value) ? value.toString('latin1') : value.toString(),
        ),
      )
    }),
  )
})

test('the sizes at which servers disagree on the width of the back-length are read in both forms', () => {
  for (const size of [16382, 16383, 16384, 2097150, 2097151, 2097152]) {
    const head = size - 5 < 4096 ? 2 : 5
    const value = Buffer.alloc(size - head, 0x61)
    for (const narrow of [false, true]) {
      expect(decodeListpack(encodeListpack([value, 7n], narrow))[0]!.length).toBe(value.length)
    }
  }
})

test('a damaged listpack is an error or gives something, it never reads outside', () => {
  fc.assert(
    fc.property(
      fc.array(element, { minLength: 1, maxLength: 10 }),
      fc.nat(),
      fc.nat(255),
      (values, at, byte) => {
        const bytes = encodeListpack(values, false)
        bytes[at % bytes.length] = byte
        try {
          decodeListpack(bytes)
        } catch (error) {
          expect((error as Error).message).toMatch(/listpack|header says|the end/)
        }
      },
    ),
  )
})

test('a zset blob that the kernel finds sound is what the walk finds sound', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(element, fc.oneof(fc.double({ noNaN: true }), fc.integer())), {
        minLength: 1,
        maxLength: 30,
      }),
      fc.option(fc.tuple(fc.nat(), fc.nat(255)), { nil: undefined }),
      (members, damage) => {
        const blob = encodeListpack(
          members.flatMap(([member, score]) => [
            member,
            Buffer.from(String(score).replace('Infinity', 'inf')),
          ]),
          false,
        )
        if (damage !== undefined) blob[damage[0] % blob.length] = damage[1]
        const size = Buffer.alloc(5)
        size[0] = 0x80
        size.writeUInt32BE(blob.length, 1)
        const file = Buffer.concat([
          Buffer.from('REDIS0010'),
          Buffer.of(17, 1, 0x6b),
          size,
          blob,
          Buffer.of(255),
          Buffer.alloc(8),
        ])
        const results = [DEPTH.SKIP, DEPTH.ELEMENTS].map((depth) => {
          const parser = new RdbParser({ key: () => depth }, { validate: true })
          try {
            for (const piece of cutRandomly(file, 1)) parser.push(piece)
            return parser.end().keysRead
          } catch (error) {
            return (error as Error).message
          }
        })
        expect(results[0]).toEqual(results[1])
      },
    ),
  )
})

test('a set of keys knows each key again, and never takes one for another', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(3), fc.uint8Array({ maxLength: 12 })), { maxLength: 300 }),
      (keys) => {
        const set = new KeySet()
        const seen = new Set<string>()
        for (const [dbnum, bytes] of keys) {
          const name = `${dbnum} ${Buffer.from(bytes).toString('hex')}`
          expect(set.add(dbnum, Buffer.from(bytes), 0, bytes.length)).toBe(seen.has(name))
          seen.add(name)
        }
      },
    ),
    { numRuns: 50 },
  )
})

test('many keys thin the set out, and it stays bounded', () => {
  const set = new KeySet()
  const key = Buffer.alloc(16)
  for (let index = 0; index < 400_000; index += 1) {
    key.writeUInt32LE(Math.imul(index, 0x9e3779b1) >>> 0, 0)
    key.writeUInt32LE(index, 12)
    expect(set.add(0, key, 0, 16)).toBe(false)
  }
  expect(set.comparedOneOf).toBeGreaterThan(1)
})
