import { LZF_MAX_EXPANSION } from '../../src/kernels/abi.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { allocateIoBuffer } from '../../src/kernels/kernel.js'
import {
  lzfCompress,
  lzfDecompress,
  lzfDecompressPrefix,
  lzfLength,
} from '../../src/kernels/lzf.js'
import { lzfLengthPlain } from '../../src/bytes/lzf-plain.js'

/** Bytes that compress: pieces repeated at random. */
const compressible = fc
  .array(
    fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 40 })),
    {
      maxLength: 30,
    },
  )
  .map((pieces) =>
    Buffer.concat(pieces.flatMap(([piece, times]) => Array<Uint8Array>(times).fill(piece))),
  )

test("the servers' own 300 times a is read, and only at its own length", () => {
  const packed = Buffer.from('016161e0ff00e01700016161', 'hex')
  const output = new Uint8Array(300)
  expect(lzfDecompress(packed, 0, packed.length, output, 0, 300)).toBe(true)
  expect(Buffer.from(output).toString()).toBe('a'.repeat(300))
  expect(lzfDecompress(packed, 0, packed.length, output, 0, 299)).toBe(false)
  expect(lzfDecompress(packed, 0, packed.length, new Uint8Array(301), 0, 301)).toBe(false)
})

test('what was compressed comes back, at any place of the buffers', () => {
  fc.assert(
    fc.property(compressible, fc.nat(20), fc.nat(20), (plain, before, behind) => {
      const input = Buffer.concat([Buffer.alloc(before, 1), plain, Buffer.alloc(behind, 2)])
      const packed = Buffer.alloc(plain.length + (plain.length >>> 5) + 40, 0xee)
      const size = lzfCompress(input, before, before + plain.length, packed, 7, packed.length - 7)
      expect(lzfLength(packed, 7, 7 + size)).toBe(plain.length)
      const output = Buffer.alloc(before + plain.length + behind, 0xdd)
      expect(lzfDecompress(packed, 7, 7 + size, output, before, plain.length)).toBe(true)
      expect(output.subarray(before, before + plain.length).equals(plain)).toBe(true)
      expect(output.subarray(0, before).every((byte) => byte === 0xdd)).toBe(true)
      expect(output.subarray(before + plain.length).every((byte) => byte === 0xdd)).toBe(true)
      const wanted = plain.length >>> 1
      expect(lzfDecompressPrefix(packed, 7, 7 + size, output, 0, wanted)).toBe(wanted)
      expect(output.subarray(0, wanted).equals(plain.subarray(0, wanted))).toBe(true)
    }),
  )
})

test('a result that does not fit is 0, and nothing behind the range is touched', () => {
  fc.assert(
    fc.property(compressible, fc.nat(200), (plain, room) => {
      const output = Buffer.alloc(room + 10, 0xdd)
      const size = lzfCompress(plain, 0, plain.length, output, 0, room)
      expect(size).toBeLessThanOrEqual(room)
      expect(output.subarray(room).every((byte) => byte === 0xdd)).toBe(true)
    }),
  )
})

test('hostile bytes are refused or read, never beyond the ranges given', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(600), (bytes, outLength) => {
      const output = Buffer.alloc(outLength + 64, 0xdd)
      const length = lzfLength(bytes, 0, bytes.length)
      expect(length).toBeLessThanOrEqual(bytes.length * LZF_MAX_EXPANSION)
      const good = lzfDecompress(bytes, 0, bytes.length, output, 32, outLength)
      expect(good).toBe(length === outLength)
      expect(output.subarray(0, 32).every((byte) => byte === 0xdd)).toBe(true)
      expect(output.subarray(32 + outLength).every((byte) => byte === 0xdd)).toBe(true)
    }),
    { numRuns: 2000 },
  )
})

test('the length by the kernel is that of the plain walk, sound or not', () => {
  const io = allocateIoBuffer(8192)
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 4000 }),
        // Mostly sound: short runs and copies from near by.
        fc
          .array(
            fc.oneof(
              fc.constantFrom([1, 7, 7], [0, 7], [0x20, 1], [0xe0, 9, 2]),
              fc.constantFrom([0x40, 0]),
            ),
            {
              maxLength: 1500,
            },
          )
          .map((tokens) => Uint8Array.from([0, 7, 2, 1, 1, 1, ...tokens.flat()])),
      ),
      fc.nat(3),
      (bytes, cut) => {
        const end = Math.max(0, bytes.length - cut)
        io.set(bytes, 5)
        const wanted = lzfLengthPlain(bytes, 0, end)
        expect(lzfLength(io, 5, 5 + end)).toBe(wanted)
        expect(lzfLength(bytes, 0, end)).toBe(wanted)
      },
    ),
    { numRuns: 1000 },
  )
})
