import fc from 'fast-check'
import { expect, test } from 'vitest'
import { printable, quoteBytes } from '../../src/bytes/printable.js'

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8')

test('readable text of any language stays as it is', () => {
  expect(printable(bytes('user:1 "é" 日本 🙂'))).toBe('user:1 "é" 日本 🙂')
})

test('what could drive a terminal is escaped', () => {
  expect(printable(bytes('\x1b[31mred\x07\n\u202Eabc\\'))).toBe(
    '\\x1b[31mred\\x07\\n\\xe2\\x80\\xaeabc\\\\',
  )
})

test('bytes that are no text are shown one by one', () => {
  expect(printable(Buffer.from([0x61, 0xff, 0x00, 0x62]))).toBe('a\\xff\\x00b')
})

test('no input yields a control character or a line break', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
      expect(printable(input)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      expect(quoteBytes(input)).toMatch(/^"[\x20-\x7e]*"$/)
    }),
  )
})

test('long text is cut with an ellipsis, also where a cut splits a character', () => {
  expect(printable(bytes('abcdefgh'), 0, 8, 5)).toBe('abcd…')
  expect(printable(bytes('é'.repeat(100)), 0, 200, 10)).toHaveLength(10)
})

test('quoting is what MONITOR prints', () => {
  expect(quoteBytes(Buffer.from('a"\\\n\r\t\x07\x08\x00\xff', 'latin1'))).toBe(
    '"a\\"\\\\\\n\\r\\t\\a\\b\\x00\\xff"',
  )
})
