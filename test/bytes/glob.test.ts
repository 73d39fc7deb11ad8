import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileGlob } from '../../src/bytes/glob.js'

function matches(pattern: string, text: string): boolean {
  const bytes = Buffer.from(text, 'latin1')
  return compileGlob(Buffer.from(pattern, 'latin1'))(bytes, 0, bytes.length)
}

describe('patterns match as KEYS matches', () => {
  test.each([
    ['*', '', true],
    ['user:*', 'user:1', true],
    ['user:*', 'users:1', false],
    ['h?llo', 'hello', true],
    ['h?llo', 'hllo', false],
    ['h[ae]llo', 'hallo', true],
    ['h[^e]llo', 'hello', false],
    ['h[a-c]llo', 'hbllo', true],
    ['h[c-a]llo', 'hbllo', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['[\\]]x', ']x', true],
    ['a*b*c', 'a--b--bc', true],
    ['a*b*c', 'a--b--cb', false],
    ['[abc', 'b', true],
    ['abc\\', 'abc\\', true],
    ['', '', true],
    ['', 'a', false],
  ])('%s against %s: %s', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected)
  })
})

test('any text matches itself when escaped, and itself with a star at the end', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
      const escaped = text.replace(/[*?[\]\\^-]/g, '\\$&')
      expect(matches(escaped, text)).toBe(true)
      expect(matches(`${escaped}*`, `${text}rest`)).toBe(true)
    }),
  )
})

test('many stars against a long text end soon', () => {
  const started = performance.now()
  expect(matches(`${'a*'.repeat(50)}b`, 'a'.repeat(20_000))).toBe(false)
  // Exponential matching would not end within the lifetime of the machine.
  expect(performance.now() - started).toBeLessThan(20_000)
})
