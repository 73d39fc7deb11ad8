/**
 * `checkOnly` lets kernels pass what is plain and sound. It must find the same errors at the same
 * bytes, and count the same keys, as the reader that looks at everything.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { allocateIoBuffer } from '../../src/bytes/kernel.js'
import { RdbError } from '../../src/errors.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { seededRandom } from '../helpers/pieces.js'
import { sharedDir } from '../helpers/servers.js'

const READ_BYTES = 8192
const io = allocateIoBuffer(READ_BYTES)

/** The keys read and what stands in the summary, or the error's message. */
function check(bytes: Buffer, checkOnly: boolean): string {
  const parser = new RdbParser({ key: () => DEPTH.SKIP }, { validate: true, checkOnly })
  try {
    for (let at = 0; at < bytes.length; at += READ_BYTES) {
      const count = bytes.copy(io, 0, at, at + READ_BYTES)
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

describe.skipIf(sharedDir() === undefined)('fixtures (needs ../shared)', () => {
  const root = join(sharedDir() ?? '', 'fixtures')
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rdb'),
  )
  test('all of them, the corrupt ones too', () => {
    expect(files.length).toBeGreaterThan(200)
    for (const file of files) {
      const bytes = readFileSync(join(root, file))
      expect(check(bytes, true), file).toBe(check(bytes, false))
    }
  })
})
