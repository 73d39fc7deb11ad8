/**
 * The wasm kernels against plain implementations: all lengths, alignments and ways in (in place,
 * staged, foreign), and the algebra that the CRC's folding stands on.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Crc64 } from '../../src/kernels/crc64.js'
import { crc64Plain } from '../../src/bytes/crc64-plain.js'
import {
  base64Encode,
  base64Room,
  jsonEscape,
  jsonEscapeRoom,
} from '../../src/kernels/json-escape.js'
import { ByteKernel, allocateIoBuffer, kernelOf } from '../../src/kernels/kernel.js'
import { lzfCompress, lzfDecompress, lzfDecompressPrefix } from '../../src/kernels/lzf.js'
import { lzfCompressPlain, lzfDecompressPlain } from '../../src/bytes/lzf-plain.js'

/** xorshift: the same bytes in every run. */
function randomBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed
  for (let at = 0; at < length; at += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state
  }
  return bytes
}

function plainCrc(bytes: Uint8Array, start = 0, end = bytes.length): bigint {
  const register = { low: 0, high: 0 }
  crc64Plain(register, bytes, start, end)
  return (BigInt(register.high >>> 0) << 32n) | BigInt(register.low >>> 0)
}

function crcOf(bytes: Uint8Array, start: number, end: number): bigint {
  const crc = new Crc64()
  crc.update(bytes, start, end)
  return crc.value
}

describe('CRC64', () => {
  test('the sparse sum that folding uses is a multiple of the polynomial', () => {
    const polynomial = (1n << 64n) | 0xad93d23594c935a9n
    let remainder = 0n
    for (const exponent of [0, 71, 320, 375, 439, 494, 992, 1055, 1145]) {
      let power = 1n
      for (let i = 0; i < exponent; i += 1) {
        power <<= 1n
        if (power >> 64n !== 0n) power ^= polynomial
      }
      remainder ^= power
    }
    expect(remainder).toBe(0n)
  })

  const source = randomBytes(420_000)
  const io = allocateIoBuffer(source.length)
  source.copy(io)

  test('every length up to 2200 at every alignment gives the plain result', () => {
    const wrong: string[] = []
    for (let length = 0; length <= 2200; length += length < 300 ? 1 : 7) {
      for (let start = 0; start < 16; start += 1) {
        if (crcOf(io, start, start + length) !== plainCrc(source, start, start + length)) {
          wrong.push(`${length} bytes at ${start}`)
        }
      }
    }
    expect(wrong).toEqual([])
  })

  test('around the change from slicing to folding, and beyond, the result is the same', () => {
    const wrong: string[] = []
    for (const middle of [18_320, 32_768, 65_536, 131_072, 131_072 + 18_320, 400_000]) {
      for (let length = middle - 20; length <= middle + 20; length += 1) {
        const start = length % 17
        const expected = plainCrc(source, start, start + length)
        if (crcOf(io, start, start + length) !== expected) wrong.push(`${length} in place`)
        if (crcOf(source, start, start + length) !== expected) wrong.push(`${length} staged`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('any sequence of updates from any buffers gives one result', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(200_000), fc.boolean()), { maxLength: 8 }), (cuts) => {
        const crc = new Crc64()
        let at = 0
        for (const [length, inPlace] of cuts) {
          const end = Math.min(source.length, at + length)
          crc.update(inPlace ? io : source, at, end)
          at = end
        }
        expect(crc.value).toBe(plainCrc(source, 0, at))
      }),
      { numRuns: 60 },
    )
  })
})

describe('LZF', () => {
  const kernel = new ByteKernel(4 << 20)
  const packedIo = kernel.allocate(1 << 20)
  const outputIo = kernel.allocate(1 << 20)
  const inputIo = kernel.allocate(1 << 20)

  const compressible = fc
    .array(
      fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 60 })),
      { maxLength: 40 },
    )
    .map((pieces) =>
      Buffer.concat(pieces.flatMap(([piece, times]) => Array<Uint8Array>(times).fill(piece))),
    )

  test('kernel and plain read what either of them packed, in place and elsewhere', () => {
    fc.assert(
      fc.property(compressible, fc.nat(31), (plain, shift) => {
        plain.copy(inputIo, shift)
        const packed = Buffer.alloc(plain.length + (plain.length >>> 5) + 8)
        const room = packed.length
        const sizes = [
          lzfCompressPlain(plain, 0, plain.length, packed, 0, room),
          lzfCompress(inputIo, shift, shift + plain.length, packedIo, shift, shift + room),
        ]
        packed.copy(outputIo, 0, 0, sizes[0])
        const foreign = Buffer.alloc(plain.length)
        const ways = [
          lzfDecompress(packed, 0, sizes[0]!, foreign, 0, plain.length),
          foreign.equals(plain),
          lzfDecompress(packedIo, shift, shift + sizes[1]!, foreign, 0, plain.length),
          foreign.equals(plain),
          lzfDecompress(packedIo, shift, shift + sizes[1]!, outputIo, shift, plain.length),
          outputIo.subarray(shift, shift + plain.length).equals(plain),
        ]
        expect(ways).toEqual(ways.map(() => true))
        const wanted = plain.length - (plain.length >>> 3)
        const prefix = Buffer.alloc(wanted)
        expect(lzfDecompressPrefix(packed, 0, sizes[0]!, prefix, 0, wanted)).toBe(wanted)
        expect(prefix.equals(plain.subarray(0, wanted))).toBe(true)
      }),
    )
  })

  test('hostile bytes: kernel and plain agree, and nothing outside the range is written', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.integer({ min: 32, max: 1200 }),
        fc.boolean(),
        (bytes, room, prefix) => {
          packedIo.set(bytes, 5)
          outputIo.fill(0xdd, 0, room + 200)
          const expected = Buffer.alloc(room)
          const size = lzfDecompressPlain(bytes, 0, bytes.length, expected, 0, room, prefix)
          const got = kernel.exports.lzfDecompress(
            packedIo.byteOffset + 5,
            bytes.length,
            outputIo.byteOffset + 100,
            room,
            prefix ? 1 : 0,
          )
          expect(got).toBe(size)
          if (size > 0) {
            const result = outputIo.subarray(100, 100 + size)
            expect(result.equals(expected.subarray(0, size))).toBe(true)
          }
          expect(outputIo.subarray(0, 100).every((byte) => byte === 0xdd)).toBe(true)
          const behind = outputIo.subarray(100 + room, room + 200)
          expect(behind.every((byte) => byte === 0xdd)).toBe(true)
        },
      ),
      { numRuns: 3000 },
    )
  })

  test('a megabyte goes both ways, whatever memory it lies in', () => {
    const plain = Buffer.concat(
      Array.from({ length: 400 }, (_, i) =>
        Buffer.concat([randomBytes(20, i + 1), Buffer.alloc(2000, i)]),
      ),
    )
    const packed = Buffer.alloc(plain.length)
    const size = lzfCompress(plain, 0, plain.length, packed, 0, packed.length)
    expect(size).toBeGreaterThan(0)
    expect(size).toBeLessThan(plain.length / 10)
    const output = Buffer.alloc(plain.length)
    expect(lzfDecompress(packed, 0, size, output, 0, plain.length)).toBe(true)
    expect(output.equals(plain)).toBe(true)
    packed.copy(packedIo, 0, 0, size)
    expect(lzfDecompress(packedIo, 0, size, outputIo, 0, plain.length)).toBe(true)
    expect(outputIo.subarray(0, plain.length).equals(plain)).toBe(true)
  })
})

describe('JSON and base64', () => {
  const kernel = new ByteKernel(1 << 20)
  const input = kernel.allocate(64 << 10)
  const output = kernel.allocate(512 << 10)
  /** UTF-8 whole and damaged: text of all planes, single bytes in between. */
  const texts = fc
    .array(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text)),
        fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
        // What is no text goes another way, and so do quotes close together.
        fc.uint8Array({ minLength: 70, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
        fc
          .string({ unit: fc.constantFrom('"', '\\', 'a'), maxLength: 60 })
          .map((text) => Buffer.from(text)),
        fc
          .constantFrom('"', '\\', '\n', '\0', '\x1f', '\x7f', 'plain text of some length')
          .map((text) => Buffer.from(text)),
      ),
      { maxLength: 12 },
    )
    .map((pieces) => Buffer.concat(pieces))

  test('escaping gives what JSON.stringify gives, in place and from elsewhere', () => {
    fc.assert(
      fc.property(texts, fc.nat(40), (bytes, shift) => {
        // What lies behind the input must not matter.
        input.fill(0x80, 0, bytes.length + 100)
        input.set(bytes, shift)
        const expected = JSON.stringify(bytes.toString('utf8')).slice(1, -1)
        let end = jsonEscape(input, shift, shift + bytes.length, output, 3)
        expect(output.toString('utf8', 3, end)).toBe(expected)
        end = jsonEscape(bytes, 0, bytes.length, output, 3)
        expect(output.toString('utf8', 3, end)).toBe(expected)
        const foreign = Buffer.alloc(jsonEscapeRoom(bytes.length))
        end = jsonEscape(bytes, 0, bytes.length, foreign, 0)
        expect(foreign.toString('utf8', 0, end)).toBe(expected)
      }),
      { numRuns: 1500 },
    )
  })

  test.each([
    ['at the beginning', 0, 0],
    ['behind what is no text', 1, 0],
    ['behind what is no text, far from the end', 7, 90],
  ])('each two bytes followed by text are read as Buffer reads them, %s', (_, before, after) => {
    const front = Buffer.alloc(before, 0x80)
    const rest = Buffer.alloc(after, 0x61)
    const wrong: string[] = []
    for (let first = 0x70; first < 256; first += 1) {
      for (let second = 0x70; second < 256; second += 1) {
        for (const behind of [[], [0x80], [0x80, 0x80], [0xbf, 0x41]]) {
          const bytes = Buffer.concat([front, Buffer.from([first, second, ...behind]), rest])
          input.set(bytes)
          const end = jsonEscape(input, 0, bytes.length, output, 0)
          const expected = JSON.stringify(bytes.toString('utf8')).slice(1, -1)
          if (output.toString('utf8', 0, end) !== expected) wrong.push(bytes.toString('hex'))
        }
      }
    }
    expect(wrong).toEqual([])
  })

  test('base64 is what Buffer makes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(20), (bytes, shift) => {
        input.set(bytes, shift)
        output.fill(0x23, 0, 400)
        const expected = Buffer.from(bytes).toString('base64')
        const end = base64Encode(input, shift, shift + bytes.length, output, 5)
        expect(output.toString('latin1', 5, end + 1)).toBe(`${expected}#`)
        const foreign = Buffer.alloc(base64Room(bytes.length))
        expect(base64Encode(bytes, 0, bytes.length, foreign, 0)).toBe(expected.length)
        expect(foreign.toString('latin1', 0, expected.length)).toBe(expected)
      }),
    )
  })
})

describe('memory', () => {
  test('instances are apart, buffers know their kernel, and views stay valid', () => {
    const first = new ByteKernel(1 << 16)
    const second = new ByteKernel(1 << 16)
    const a = first.allocate(1000)
    const b = second.allocate(1000)
    a.fill(1)
    b.fill(2)
    expect(kernelOf(a)).toBe(first)
    expect(kernelOf(b.subarray(10))).toBe(second)
    expect(kernelOf(Buffer.alloc(10))).toBeUndefined()
    expect(crcOf(a, 0, 1000)).toBe(plainCrc(Buffer.alloc(1000, 1)))
    expect(crcOf(b, 0, 1000)).toBe(plainCrc(Buffer.alloc(1000, 2)))
    expect(a.length).toBe(1000)
  })

  test('more than was asked for is not handed out', () => {
    const kernel = new ByteKernel(1000)
    kernel.allocate(1000)
    expect(() => kernel.allocate(1 << 20)).toThrow('too small')
  })
})
