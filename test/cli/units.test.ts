import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UsageError } from '../../src/errors.js'
import {
  formatCount,
  formatDuration,
  formatSize,
  parseDuration,
  parseList,
  parseSize,
  parseTime,
} from '../../src/cli/units.js'

test.each([
  ['512', 512],
  ['64kb', 65_536],
  ['10mb', 10_485_760],
  ['1gb', 1_073_741_824],
  ['1.5k', 1536],
  ['2G', 2_147_483_648],
])('size %s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes))

test.each([
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['2h', 7_200_000],
  ['7d', 604_800_000],
  ['10', 10_000],
])('duration %s is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms))

test.each([
  ['2026-11-22T10:00:00Z', Date.UTC(2026, 10, 22, 10)],
  ['2026-11-22T10:00:00+02:00', Date.UTC(2026, 10, 22, 8)],
  ['2026-11-22T10:00:00', new Date(2026, 10, 22, 10).getTime()],
  ['2026-11-22', new Date(2026, 10, 22).getTime()],
  ['1795363998', 1_795_363_998_000],
])('time %s is %d', (text, ms) => expect(parseTime(text)).toBe(ms))

test.each(['', 'x', '12xb', '-1', '1e3'])('%s is neither size nor duration', (text) => {
  expect(() => parseSize(text)).toThrow(UsageError)
  expect(() => parseDuration(text)).toThrow(UsageError)
})

test.each(['', 'yesterday', '2026', '22.11.2026'])('time %s', (text) => {
  if (text === '2026') expect(parseTime(text)).toBe(2_026_000)
  else expect(() => parseTime(text)).toThrow(UsageError)
})

test('lists', () => {
  expect(parseList('a, b')).toEqual(['a', 'b'])
  expect(() => parseList('a,,b')).toThrow(UsageError)
})

test('sizes for people keep three digits and their unit', () => {
  expect([0, 999, 1024, 1536, 123_456_789].map(formatSize)).toEqual([
    '0 B',
    '999 B',
    '1.00 KiB',
    '1.50 KiB',
    '118 MiB',
  ])
  fc.assert(
    fc.property(fc.nat(), (bytes) => {
      expect(formatSize(bytes)).toMatch(/^\d[\d.]{0,4} ([KMGTP]i)?B$/)
    }),
  )
})

test('counts and durations for people', () => {
  expect(formatCount(1_234_567)).toBe('1,234,567')
  expect([5, 1500, 83_000, 7_380_000, 180_000_000].map(formatDuration)).toEqual([
    '5ms',
    '1.5s',
    '1m23s',
    '2h03m',
    '2d02h',
  ])
})
