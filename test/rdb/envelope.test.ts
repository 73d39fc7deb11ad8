/** Valkey's compressed envelope: LZ4 frames of the lz4 tool's making, whole, in pieces, damaged. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { RdbError } from '../../src/errors.js'
import { Lz4FrameDecoder } from '../../src/rdb/io/lz4-frame.js'
import { xxHash32 } from '../../src/rdb/io/xxhash32.js'
import { plainFrame, VCS } from '../helpers/envelope.js'
import { cutEvery, cutRandomly } from '../helpers/pieces.js'
import { collect } from '../helpers/rdb-rows.js'

const rdb = readFileSync(join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb'))
const hasLz4 = spawnSync('lz4', ['--version']).status === 0
const VKCS = Buffer.from([0x56, 0x4b, 0x43, 0x53, 1, 1, 0, 1])

const compress = (bytes: Buffer, ...options: string[]): Buffer =>
  execFileSync('lz4', ['-qc', ...options], { input: bytes, maxBuffer: 1 << 28 })

function errorOf(act: () => unknown): RdbError {
  try {
    act()
  } catch (error) {
    if (error instanceof RdbError) return error
    throw error
  }
  throw new Error('no error')
}

test('xxHash32 of known inputs', () => {
  expect(xxHash32(Buffer.from(''))).toBe(0x02cc5d05)
  expect(xxHash32(Buffer.from('a'))).toBe(0x550d7456)
  expect(xxHash32(Buffer.from('abc'))).toBe(0x32d153ff)
  expect(xxHash32(Buffer.from('Nobody inspects the spammish repetition'))).toBe(0xe2293b2f)
})

test('an RDB in an envelope reads as the RDB itself', () => {
  const whole = collect([rdb])
  for (const head of [VCS, VKCS]) {
    const packed = Buffer.concat([head, plainFrame(rdb)])
    for (const chunks of [[packed], cutEvery(packed, 7), cutRandomly(packed, 5)]) {
      const again = collect(chunks)
      expect(again.collector.rows).toEqual(whole.collector.rows)
      expect(again.summary).toEqual(whole.summary)
    }
  }
})

test('an envelope that cannot be unpacked says why', () => {
  const zstd = errorOf(() => collect([Buffer.from([0x56, 0x43, 0x53, 1, 2, 0, 1, 0, 0])]))
  expect(zstd).toMatchObject({ code: 'ERR_RDB_UNSUPPORTED' })
  expect(zstd.message).toContain('zstd')
  const stream = errorOf(() => collect([Buffer.from([0x56, 0x43, 0x53, 1, 1, 0, 2])]))
  expect(stream.code).toBe('ERR_RDB_UNSUPPORTED')
  expect(errorOf(() => collect([Buffer.from('VCX....')])).code).toBe('ERR_RDB_CORRUPT')
  expect(errorOf(() => collect([Buffer.from('V')])).code).toBe('ERR_RDB_TRUNCATED')
})

test('a cut envelope is truncated, at the byte where it stops', () => {
  const packed = Buffer.concat([VCS, plainFrame(rdb.subarray(0, 500))])
  for (let length = 0; length < packed.length; length += 1) {
    const error = errorOf(() => collect([packed.subarray(0, length)]))
    expect(error.code).toBe('ERR_RDB_TRUNCATED')
    if (length > 1) expect(error.where.byteOffset).toBe(length)
  }
})

describe.skipIf(!hasLz4)('frames of the lz4 tool', () => {
  const text = Buffer.from('the same again and again, '.repeat(9000))
  const noise = Buffer.from(Array.from({ length: 70000 }, (_, i) => (i * i * 31 + (i >> 3)) & 255))
  const samples: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['a byte', Buffer.from('x')],
    ['text', text],
    ['noise', noise],
    ['an RDB', rdb],
    [
      'more than a block of 4 MB',
      Buffer.concat(Array.from({ length: 14 }, () => Buffer.concat([noise, text]))),
    ],
  ]
  const options = [
    [],
    ['-9'],
    ['-B4', '-BD'],
    ['-B5', '-BX'],
    ['-B7', '--content-size'],
    ['--no-frame-crc', '-BD'],
  ]
  for (const [name, bytes] of samples) {
    test(`${name} comes back, with all options, in any pieces`, () => {
      for (const option of bytes.length > 1 << 20 ? options.slice(3) : options) {
        const frame = compress(bytes, ...option)
        const tail = Buffer.from('behind')
        for (const chunks of [
          [Buffer.concat([frame, tail])],
          cutRandomly(Buffer.concat([frame, tail]), 3),
        ]) {
          const parts: Buffer[] = []
          const decoder = new Lz4FrameDecoder(
            (part) => parts.push(Buffer.from(part)),
            (message) => new Error(message),
          )
          let taken = 0
          for (const chunk of chunks) taken += decoder.push(chunk)
          expect(decoder.done).toBe(true)
          expect(taken).toBe(frame.length)
          expect(Buffer.concat(parts).equals(bytes)).toBe(true)
        }
      }
    })
  }

  test('no changed byte goes unnoticed, and none crashes', () => {
    const frame = compress(text.subarray(0, 3000), '-BX')
    for (let at = 0; at < frame.length; at += 1) {
      const damaged = Buffer.from(frame)
      damaged[at] = damaged[at]! ^ 0x21
      const parts: Buffer[] = []
      const decoder = new Lz4FrameDecoder(
        (part) => parts.push(Buffer.from(part)),
        (message) => new Error(message),
      )
      let failed = false
      try {
        decoder.push(damaged)
      } catch {
        failed = true
      }
      expect(failed || !decoder.done || !Buffer.concat(parts).equals(text.subarray(0, 3000))).toBe(
        true,
      )
    }
  })
})
