/** Whole RDB files with generated values in all the forms that strings and collections have. */
import fc from 'fast-check'
import { lzfCompressPlain } from '../../src/bytes/lzf-plain.js'

const SCORE_BYTES = 8

export function lengthOf(value: number): Buffer {
  if (value < 0x40) return Buffer.of(value)
  if (value < 0x4000) return Buffer.of(0x40 | (value >> 8), value & 255)
  const bytes = Buffer.alloc(5, 0x80)
  bytes.writeUInt32BE(value, 1)
  return bytes
}

/** STR: plain, or compressed where that makes it shorter. */
export function str(bytes: Buffer, compressed = false): Buffer {
  if (compressed && bytes.length > 4) {
    const out = Buffer.alloc(bytes.length)
    const size = lzfCompressPlain(bytes, 0, bytes.length, out, 0, bytes.length - 4)
    if (size > 0) {
      const packed = out.subarray(0, size)
      return Buffer.concat([Buffer.of(0xc3), lengthOf(size), lengthOf(bytes.length), packed])
    }
  }
  return Buffer.concat([lengthOf(bytes.length), bytes])
}

/** STR of a 32-bit number in so many bytes. */
export function integerStr(value: number): Buffer {
  const bytes = Buffer.alloc(5)
  if (value >= -0x80 && value < 0x80) {
    bytes[0] = 0xc0
    bytes.writeInt8(value, 1)
    return bytes.subarray(0, 2)
  }
  if (value >= -0x8000 && value < 0x8000) {
    bytes[0] = 0xc1
    bytes.writeInt16LE(value, 1)
    return bytes.subarray(0, 3)
  }
  bytes[0] = 0xc2
  bytes.writeInt32LE(value, 1)
  return bytes
}

export function double(value: number): Buffer {
  const bytes = Buffer.alloc(SCORE_BYTES)
  bytes.writeDoubleLE(value)
  return bytes
}

export function listpack(entries: readonly (Buffer | bigint)[]): Buffer {
  const parts = entries.map((entry) => {
    const code = typeof entry === 'bigint' ? integerEntry(entry) : textEntry(entry)
    return Buffer.concat([code, backlen(code.length)])
  })
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(6)
  head.writeUInt32LE(body.length + 7)
  head.writeUInt16LE(Math.min(65535, entries.length), 4)
  return Buffer.concat([head, body, Buffer.of(0xff)])
}

function integerEntry(value: bigint): Buffer {
  const number = Number(value)
  if (value >= 0n && value < 128n) return Buffer.of(number)
  if (value >= -4096n && value < 4096n) {
    const bits = number & 0x1fff
    return Buffer.of(0xc0 | (bits >> 8), bits & 255)
  }
  for (const [code, width] of [
    [0xf1, 2],
    [0xf2, 3],
    [0xf3, 4],
  ] as const) {
    const limit = 1n << BigInt(8 * width - 1)
    if (value < -limit || value >= limit) continue
    const bytes = Buffer.alloc(1 + width, code)
    bytes.writeIntLE(number, 1, width)
    return bytes
  }
  const bytes = Buffer.alloc(9, 0xf4)
  bytes.writeBigInt64LE(value, 1)
  return bytes
}

function textEntry(text: Buffer): Buffer {
  const { length } = text
  if (length < 64) return Buffer.concat([Buffer.of(0x80 | length), text])
  if (length < 4096) return Buffer.concat([Buffer.of(0xe0 | (length >> 8), length & 255), text])
  const head = Buffer.alloc(5, 0xf0)
  head.writeUInt32LE(length, 1)
  return Buffer.concat([head, text])
}

function backlen(size: number): Buffer {
  if (size < 128) return Buffer.of(size)
  if (size < 16383) return Buffer.of(size >> 7, (size & 127) | 128)
  return Buffer.of(size >> 14, ((size >> 7) & 127) | 128, (size & 127) | 128)
}

export function intset(members: readonly bigint[]): Buffer {
  const sorted = [...new Set(members)].sort((a, b) => (a < b ? -1 : 1))
  const fits = (bits: bigint): boolean =>
    sorted.every((each) => each >= -(1n << (bits - 1n)) && each < 1n << (bits - 1n))
  const width = fits(16n) ? 2 : fits(32n) ? 4 : 8
  const bytes = Buffer.alloc(8 + width * sorted.length)
  bytes.writeUInt32LE(width)
  bytes.writeUInt32LE(sorted.length, 4)
  sorted.forEach((member, index) => {
    const at = 8 + width * index
    if (width === 8) bytes.writeBigInt64LE(member, at)
    else bytes.writeIntLE(Number(member), at, width)
  })
  return bytes
}

// ── arbitraries ─────────────────────────────────────────────────────────────────────────────────

/** Text, numbers as text, bytes of any kind, long and short. */
export const anyBytes: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: fc.string({ maxLength: 40 }).map((text) => Buffer.from(text)) },
  fc.string({ unit: 'binary', maxLength: 60 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom('"', '\\', '\n', '\0', '\x1f', 'é', 'HYLL0123456789abcdef')
    .map((each) => Buffer.from(each)),
  fc.uint8Array({ maxLength: 30 }).map((each) => Buffer.from(each)),
  fc.maxSafeInteger().map((each) => Buffer.from(String(each))),
  fc.bigInt({ min: -(1n << 64n), max: 1n << 64n }).map((each) => Buffer.from(String(each))),
  fc
    .tuple(fc.string({ minLength: 1, maxLength: 6 }), fc.integer({ min: 4, max: 5000 }))
    .map(([text, times]) => Buffer.from(text.repeat(times))),
)

const anyStr: fc.Arbitrary<Buffer> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(anyBytes, fc.boolean()).map(([each, packed]) => str(each, packed)),
  },
  fc.integer({ min: -0x80000000, max: 0x7fffffff }).map(integerStr),
  fc.integer({ min: -300, max: 300 }).map(integerStr),
)

const anyEntry: fc.Arbitrary<Buffer | bigint> = fc.oneof(
  { weight: 4, arbitrary: anyBytes.filter((each) => each.length < 4000) },
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  fc.bigInt({ min: -(1n << 24n), max: 1n << 24n }),
  fc.bigInt({ min: -5000n, max: 5000n }),
)

/** As servers spell them, and as they are in a skiplist. */
export const anyScore: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }).map((each) => each / 1e5),
  fc.integer({ min: -1000, max: 1000 }),
  fc.integer({ min: -100_000, max: 100_000 }).map((each) => each / 100),
  fc.double({ noNaN: true }),
  fc.double({ min: -1, max: 1, noNaN: true }),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, Infinity, -Infinity, 1e21, 1e-7, 5e-324, 2 ** 53, -(2 ** 53), 0.1, 1 / 3),
)

/** `%.17g`, as servers up to 7.0 write scores; nearly, where there is an exponent. */
export function scoreText(score: number): string {
  if (score === Infinity) return 'inf'
  if (score === -Infinity) return '-inf'
  if (Object.is(score, -0)) return '-0'
  const text = score.toPrecision(17)
  return text.includes('e') || !text.includes('.') ? text : text.replace(/\.?0+$/, '')
}

const anyScoreEntry: fc.Arbitrary<Buffer | bigint> = fc.oneof(
  anyScore.map((each) => Buffer.from(scoreText(each))),
  anyScore.map((each) =>
    Buffer.from(Object.is(each, -0) ? '-0' : String(each).replace('Infinity', 'inf')),
  ),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  fc.bigInt({ min: -100n, max: 100n }),
)

const name = (entry: Buffer | bigint): string =>
  typeof entry === 'bigint' ? String(entry) : entry.toString('latin1')

function pairs<B>(second: fc.Arbitrary<B>): fc.Arbitrary<(readonly [Buffer | bigint, B])[]> {
  return fc.uniqueArray(fc.tuple(anyEntry, second), {
    selector: ([each]) => name(each),
    maxLength: 30,
  })
}

const packed = (blob: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc.tuple(blob, fc.boolean()).map(([bytes, compressed]) => str(bytes, compressed))

const counted = (elements: fc.Arbitrary<Buffer[]>): fc.Arbitrary<Buffer> =>
  elements.map((each) => Buffer.concat([lengthOf(each.length), ...each]))

/** Type byte and value. */
const anyValue: fc.Arbitrary<readonly [number, Buffer]> = fc.oneof(
  { weight: 8, arbitrary: anyStr.map((value) => [0, value] as const) },
  counted(fc.array(anyStr, { maxLength: 30 })).map((value) => [1, value] as const),
  counted(fc.array(anyStr, { maxLength: 30 })).map((value) => [2, value] as const),
  counted(
    fc.array(
      fc.tuple(anyStr, anyStr).map((each) => Buffer.concat(each)),
      { maxLength: 30 },
    ),
  ).map((value) => [4, value] as const),
  counted(
    fc.array(
      fc.tuple(anyStr, anyScore.map(double)).map((each) => Buffer.concat(each)),
      { maxLength: 30 },
    ),
  ).map((value) => [5, value] as const),
  packed(
    fc
      .array(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), { maxLength: 30 })
      .map(intset),
  ).map((value) => [11, value] as const),
  packed(fc.array(fc.bigInt({ min: -70_000n, max: 70_000n }), { maxLength: 30 }).map(intset)).map(
    (value) => [11, value] as const,
  ),
  packed(pairs(anyEntry).map((each) => listpack(each.flat()))).map((value) => [16, value] as const),
  packed(pairs(anyScoreEntry).map((each) => listpack(each.flat()))).map(
    (value) => [17, value] as const,
  ),
  counted(
    fc.array(
      fc.oneof(
        packed(fc.array(anyEntry, { maxLength: 30 }).map(listpack)).map((blob) =>
          Buffer.concat([Buffer.of(2), blob]),
        ),
        anyStr.map((plain) => Buffer.concat([Buffer.of(1), plain])),
      ),
      { maxLength: 4 },
    ),
  ).map((value) => [18, value] as const),
  packed(fc.uniqueArray(anyEntry, { selector: name, maxLength: 30 }).map(listpack)).map(
    (value) => [20, value] as const,
  ),
)

const i64 = (code: number, value: bigint): Buffer => {
  const bytes = Buffer.alloc(9, code)
  bytes.writeBigInt64LE(value, 1)
  return bytes
}
const i32 = (code: number, value: number): Buffer => {
  const bytes = Buffer.alloc(5, code)
  bytes.writeInt32LE(value, 1)
  return bytes
}

/** What stands before a type byte: nothing mostly, else attributes, or another db. */
const anyAttributes: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 5, arbitrary: fc.constant(Buffer.alloc(0)) },
  { weight: 2, arbitrary: fc.bigInt({ min: 0n, max: 1n << 45n }).map((each) => i64(0xfc, each)) },
  fc
    .constantFrom(-1n, 0n, 1n, 1n << 53n, (1n << 53n) - 1n, -(1n << 40n))
    .map((each) => i64(0xfc, each)),
  fc.constantFrom(0, 1, 2_000_000_000, -1).map((each) => i32(0xfd, each)),
  fc.nat(255).map((each) => Buffer.of(0xf9, each)),
  fc.nat(100_000).map((each) => Buffer.concat([Buffer.of(0xf8), lengthOf(each)])),
  fc
    .tuple(fc.nat(1000), fc.nat(1000))
    .map(([expiry, idle]) =>
      Buffer.concat([i64(0xfc, BigInt(expiry)), Buffer.of(0xf8), lengthOf(idle), i64(0xfc, 5n)]),
    ),
  fc.nat(3).map((db) => Buffer.of(0xfe, db)),
  fc
    .constantFrom('8.2.1', '7.2.4', '2.8.0')
    .map((version) =>
      Buffer.concat([Buffer.of(0xfa), str(Buffer.from('redis-ver')), str(Buffer.from(version))]),
    ),
)

const anyRecord: fc.Arbitrary<Buffer> = fc
  .tuple(anyAttributes, anyValue, anyStr)
  .map(([attributes, [typeByte, value], key]) =>
    Buffer.concat([attributes, Buffer.of(typeByte), key, value]),
  )

/** Whole files, without a checksum. Rows of equal records too, so that there are rows. */
export const anyRdb: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.constantFrom('REDIS0009', 'REDIS0011', 'REDIS0012', 'VALKEY080'),
    fc.array(fc.tuple(anyRecord, fc.integer({ min: 1, max: 6 })), { maxLength: 25 }),
  )
  .map(([magic, records]) =>
    Buffer.concat([
      Buffer.from(magic),
      ...records.flatMap(([record, times]) => Array<Buffer>(times).fill(record)),
      Buffer.of(0xff),
      Buffer.alloc(8),
    ]),
  )
