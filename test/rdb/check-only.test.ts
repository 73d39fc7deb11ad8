/**
 * `checkOnly` lets kernels pass what is plain and sound. It must find the same errors at the same
 * bytes, and count the same keys, as the reader that looks at everything.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { allocateInputBuffer } from '../../src/kernels/kernel.js'
import { lzfCompress } from '../../src/kernels/lzf.js'
import { RdbError } from '../../src/errors.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { seededRandom } from '../helpers/pieces.js'
import { FIXTURES } from '../helpers/fixtures.js'

const READ_BYTES = 8192
const MAX_READ_BYTES = 1 << 20
const io = allocateInputBuffer(MAX_READ_BYTES)

/** The keys read and what stands in the summary, or the error's message. */
function check(bytes: Buffer, checkOnly: boolean, readBytes = READ_BYTES): string {
  const parser = new RdbParser({ key: () => DEPTH.SKIP }, { validate: true, checkOnly })
  try {
    for (let at = 0; at < bytes.length; at += readBytes) {
      const count = bytes.copy(io, 0, at, at + readBytes)
      parser.push(io.subarray(0, count))
    }
    return JSON.stringify(parser.end())
  } catch (error) {
    if (error instanceof RdbError) return error.message
    throw error
  }
}

function strings(count: number, keyOf: (index: number) => string): Buffer {
  const parts: Buffer[] = [Buffer.from('REDIS0011')]
  for (let index = 0; index < count; index += 1) {
    const key = Buffer.from(keyOf(index))
    if (index % 3 === 0) parts.push(Buffer.from('fc0000000000010000', 'hex'))
    parts.push(Buffer.of(0, key.length), key)
    parts.push(index % 5 === 0 ? Buffer.of(0xc1, 1, 2) : Buffer.of(3, 0x61, 0x62, 0x63))
  }
  return Buffer.concat([...parts, Buffer.of(0xff), Buffer.alloc(8)])
}

test('many strings', () => {
  const bytes = strings(200_000, (index) => `key:${index}`)
  expect(check(bytes, true)).toContain('"keysRead":200000')
  expect(JSON.parse(check(bytes, true))).toMatchObject({
    checksum: 'absent',
    rdbBytes: bytes.length,
  })
})

test('a key that is there twice is found, and named with its byte', () => {
  for (const [first, second] of [
    [5, 6],
    [100, 19_000],
    [0, 19_999],
  ] as const) {
    const bytes = strings(20_000, (index) => `key:${index === second ? first : index}`)
    const message = check(bytes, true)
    expect(message).toContain(`key key:${first} occurs twice in db 0`)
    expect(message).toContain(`after ${second} keys`)
    expect(message).toBe(check(bytes, false))
  }
})

test('damage anywhere gives the same answer either way', () => {
  const sound = strings(2000, (index) => `key:${index}`)
  const random = seededRandom(5)
  for (let round = 0; round < 400; round += 1) {
    const bytes = Buffer.from(sound)
    bytes[9 + Math.floor(random() * (bytes.length - 17))] = Math.floor(random() * 256)
    expect(check(bytes, true)).toBe(check(bytes, false))
  }
})

test('an intset whose count only comes out right in 32 bits', () => {
  const blob = Buffer.alloc(8 + 5 * 8)
  blob.writeUInt32LE(8, 0)
  for (let member = 0; member < 5; member += 1) blob.writeInt32LE(member, 8 + 8 * member)
  for (const [count, isSound] of [
    [5, true],
    [5 + 2 ** 29, false],
  ] as const) {
    blob.writeUInt32LE(count, 4)
    const key = Buffer.of(11, 1, 0x73, blob.length)
    const parts = [Buffer.from('REDIS0011'), key, blob, strings(30, String).subarray(9)]
    const answer = check(Buffer.concat(parts), true)
    expect(answer.startsWith('{')).toBe(isSound)
    expect(check(Buffer.concat(parts), false)).toBe(answer)
  }
})

/** Compressed strings of all lengths around those that kernels look at side by side. */
function compressedStrings(count: number, random: () => number): Buffer {
  const parts: Buffer[] = [Buffer.from('REDIS0011')]
  for (let index = 0; index < count; index += 1) {
    const plain = Buffer.alloc(40 + Math.floor(random() ** 3 * 40_000))
    let at = 0
    while (at < plain.length) {
      // Now something new, now something from before.
      const run = 1 + Math.floor(random() * 40)
      if (at < 4 || random() < 0.5) for (let i = 0; i < run; i += 1) plain[at + i] = random() * 256
      else plain.copyWithin(at, Math.max(0, at - 1 - Math.floor(random() * 9000)), at)
      at += run
    }
    plain.fill('repeated', plain.length >> 1)
    const packed = Buffer.alloc(plain.length * 2)
    const size = lzfCompress(plain, 0, plain.length, packed, 0, packed.length)
    const lengths = Buffer.alloc(11)
    lengths[0] = 0xc3
    lengths[1] = 0x80
    lengths.writeUInt32BE(size, 2)
    lengths[6] = 0x80
    lengths.writeUInt32BE(plain.length, 7)
    const key = Buffer.from(`key:${index}`)
    parts.push(Buffer.of(0, key.length), key, lengths, packed.subarray(0, size))
  }
  return Buffer.concat([...parts, Buffer.of(0xff), Buffer.alloc(8)])
}

test('compressed strings, sound and damaged', () => {
  const random = seededRandom(6)
  for (const count of [1, 3, 4, 5, 33, 150]) {
    const sound = compressedStrings(count, random)
    expect(check(sound, true, MAX_READ_BYTES)).toContain(`"keysRead":${count}`)
    let damaged = 0
    for (let round = 0; round < 40; round += 1) {
      const bytes = Buffer.from(sound)
      bytes[9 + Math.floor(random() * (bytes.length - 17))] = Math.floor(random() * 256)
      const answer = check(bytes, true, MAX_READ_BYTES)
      expect(answer).toBe(check(bytes, false, MAX_READ_BYTES))
      if (answer.includes('LZF')) damaged += 1
    }
    expect(damaged).toBeGreaterThan(0)
  }
})

describe('fixtures', () => {
  const root = FIXTURES
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rdb'),
  )
  test('all of them, the corrupt ones too', () => {
    expect(files.length).toBeGreaterThan(160)
    for (const file of files) {
      const bytes = readFileSync(join(root, file))
      expect(check(bytes, true), file).toBe(check(bytes, false))
    }
  })

  // Which of two errors is named first may differ.
  test('with a byte changed: refused by both ways or by none', () => {
    const random = seededRandom(9)
    let refused = 0
    for (const file of files) {
      const sound = readFileSync(join(root, file))
      if (sound.length < 40 || sound.length > 100_000) continue
      for (let round = 0; round < 15; round += 1) {
        const bytes = Buffer.from(sound)
        bytes[9 + Math.floor(random() * (bytes.length - 9))] = Math.floor(random() * 256)
        // A checksum that is not there hides nothing.
        bytes.fill(0, bytes.length - 8)
        const isSound = check(bytes, true).startsWith('{')
        expect(check(bytes, false).startsWith('{'), `${file} ${round}`).toBe(isSound)
        if (!isSound) refused += 1
      }
    }
    expect(refused).toBeGreaterThan(500)
  })
})
