import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Crc64, crc64 } from '../../src/kernels/crc64.js'

/** The definition, bit by bit. */
function byDefinition(bytes: Uint8Array): bigint {
  let register = 0n
  for (const byte of bytes) {
    register ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit += 1) {
      register = (register & 1n) === 1n ? (register >> 1n) ^ 0x95ac9329ac4bc9b5n : register >> 1n
    }
  }
  return register
}

test('the check value of CRC-64 Jones comes out', () => {
  expect(crc64(Buffer.from('123456789')).toString(16)).toBe('e9c6d914c4b8d9ca')
  expect(crc64(Buffer.alloc(0))).toBe(0n)
})

test('any bytes, cut anywhere, give what the definition gives', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(300), (bytes, a, b) => {
      const crc = new Crc64()
      const first = Math.min(a, bytes.length)
      const second = Math.max(first, Math.min(b, bytes.length))
      crc.update(bytes, 0, first)
      crc.update(bytes, first, second)
      crc.update(bytes, second)
      expect(crc.value).toBe(byDefinition(bytes))
    }),
  )
})

test('behind its own checksum the register is zero, and the stored bytes match', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const stored = new Uint8Array(bytes.length + 8)
      stored.set(bytes)
      const crc = new Crc64()
      crc.update(bytes)
      crc.writeTo(stored, bytes.length)
      expect(crc.matches(stored, bytes.length)).toBe(true)
      crc.update(stored, bytes.length)
      expect(crc.isZero).toBe(true)
      stored[bytes.length] = stored[bytes.length]! ^ 1
      crc.reset()
      crc.update(bytes)
      expect(crc.matches(stored, bytes.length)).toBe(false)
    }),
  )
})
