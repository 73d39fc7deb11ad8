import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AofError } from '../../src/errors.js'
import {
  formatManifest,
  looksLikeManifest,
  parseManifest,
  type ManifestEntry,
} from '../../src/aof/manifest.js'

const parse = (text: string) => parseManifest(Buffer.from(text, 'latin1'))

test('a manifest of redis 7 and of redis 8 is read', () => {
  expect(
    parse(
      'file appendonly.aof.2.base.rdb seq 2 type b\n# a comment\n' +
        'file appendonly.aof.1.incr.aof seq 1 type h\n' +
        'file appendonly.aof.2.incr.aof seq 2 type i startoffset 6 endoffset 90\n' +
        'FILE "a b\\x41\\"" SEQ 7 colour blue TYPE i \t\r\n',
    ),
  ).toEqual({
    base: { name: 'appendonly.aof.2.base.rdb', seq: 2, type: 'b' },
    history: [{ name: 'appendonly.aof.1.incr.aof', seq: 1, type: 'h' }],
    incrs: [
      {
        name: 'appendonly.aof.2.incr.aof',
        seq: 2,
        type: 'i',
        startReplOffset: 6,
        endReplOffset: 90,
      },
      { name: 'a bA"', seq: 7, type: 'i' },
    ],
  })
})

test.each([
  ['', 'empty'],
  ['# only a comment\n', 'names no file'],
  ['file a seq 1 type b', 'no line feed'],
  ['file a seq 1 type b\n\n', 'blank line'],
  ['file a seq 1\n', 'pairs of words'],
  ['file a seq 1 type b startoffset\n', 'pairs of words'],
  ['file "a seq 1 type b\n', 'pairs of words'],
  ['file "a"b seq 1 type b x\n', 'pairs of words'],
  ['file a seq 0 type b\n', 'lacks'],
  ['file a seq x type b\n', 'lacks'],
  ['file a/b seq 1 type b\n', 'path'],
  ['file a seq 1 type x\n', 'not b, i or h'],
  ['file a seq 1 type b\nfile b seq 2 type b\n', 'two base files'],
  ['file a seq 2 type i\nfile b seq 2 type i\n', 'do not rise'],
  [`file ${'a'.repeat(1010)} seq 1 type b\n`, 'longer than'],
])('a manifest that servers refuse is refused: %j', (text, message) => {
  expect(() => parse(text)).toThrow(AofError)
  expect(() => parse(text)).toThrow(message)
})

test('what is written is read back, whatever the names', () => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .filter((text) => !/[/\\]/.test(text))
  const entry = (type: 'b' | 'i' | 'h') =>
    fc.record({ name, seq: fc.integer({ min: 1 }), type: fc.constant(type) })
  fc.assert(
    fc.property(
      entry('b'),
      fc.array(entry('i'), { maxLength: 5 }),
      fc.array(entry('h'), { maxLength: 3 }),
      (base, incrs, history) => {
        const manifest = {
          base,
          incrs: incrs.map((each, i): ManifestEntry => ({
            ...each,
            seq: i + 1,
            startReplOffset: i,
          })),
          history,
        }
        const text = formatManifest(manifest)
        expect(parseManifest(Buffer.from(text))).toEqual(manifest)
      },
    ),
  )
})

test('a manifest is told from other files by its first line', () => {
  expect(looksLikeManifest(Buffer.from('# x\nfile a seq 1 type b\n'))).toBe(true)
  expect(looksLikeManifest(Buffer.from('#TS:1795363998\r\n*1\r\n$4\r\nPING\r\n'))).toBe(false)
  expect(looksLikeManifest(Buffer.from('REDIS0011'))).toBe(false)
})
