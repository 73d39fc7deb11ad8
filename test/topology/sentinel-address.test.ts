import { expect, test } from 'vitest'
import {
  formatSentinelAddress,
  isSentinelAddress,
  parseSentinelAddress,
} from '../../src/topology/sentinel-address.js'
import { UsageError } from '../../src/errors.js'

test.each([
  [
    'redis-sentinel://h1#m',
    { sentinels: [{ host: 'h1', port: 26379 }], master: 'm', db: 0, isTls: false, wants: 'master' },
  ],
  [
    'rediss-sentinel://user:p@s/s@h1:1,[::1]:2,h3/7?replica#my%20master',
    {
      sentinels: [
        { host: 'h1', port: 1 },
        { host: '::1', port: 2 },
        { host: 'h3', port: 26379 },
      ],
      master: 'my master',
      db: 7,
      isTls: true,
      wants: 'replica',
      username: 'user',
      password: 'p@s/s',
    },
  ],
  ['valkey-sentinel://h:5#x', { sentinels: [{ host: 'h', port: 5 }], master: 'x' }],
])('%s', (text, parts) => {
  expect(isSentinelAddress(text)).toBe(true)
  const parsed = parseSentinelAddress(text)
  expect(parsed).toMatchObject(parts)
  expect(formatSentinelAddress(parsed)).not.toContain('p@s')
})

test.each(['redis-sentinel://h1', 'redis-sentinel://h1#', 'redis-sentinel://a:b:c#m'])(
  '%s is refused',
  (text) => {
    expect(() => parseSentinelAddress(text)).toThrow(UsageError)
  },
)

test('a password is never in what is said of a bad address', () => {
  expect(() => parseSentinelAddress('redis-sentinel://u:secret@h1')).toThrow(/u:\*\*\*@h1/)
})
