import { expect, test } from 'vitest'
import { UsageError } from '../../src/errors.js'
import {
  formatServerAddress,
  hasServerScheme,
  maskSecrets,
  parseServerAddress,
} from '../../src/net/address.js'

test.each([
  ['db.example', 'tcp', 'db.example', 6379, 'db.example:6379'],
  ['db.example:6380', 'tcp', 'db.example', 6380, 'db.example:6380'],
  ['127.0.0.1:1', 'tcp', '127.0.0.1', 1, '127.0.0.1:1'],
  ['[::1]:6379', 'tcp', '::1', 6379, '[::1]:6379'],
  ['[fe80::1%eth0]', 'tcp', 'fe80::1%eth0', 6379, '[fe80::1%eth0]:6379'],
  ['::1', 'tcp', '::1', 6379, '[::1]:6379'],
  ['redis://db', 'tcp', 'db', 6379, 'db:6379'],
  ['redis://', 'tcp', '127.0.0.1', 6379, '127.0.0.1:6379'],
  ['valkey://db:7000', 'tcp', 'db', 7000, 'db:7000'],
  ['redis://[::1]:7000/3', 'tcp', '::1', 7000, '[::1]:7000'],
  ['rediss://db', 'tls', 'db', 6379, 'rediss://db:6379'],
  ['REDISS://db:7000', 'tls', 'db', 7000, 'rediss://db:7000'],
])('%s is a server', (text, transport, host, port, shown) => {
  const address = parseServerAddress(text)
  expect(address).toMatchObject({ transport, host, port })
  expect(formatServerAddress(address)).toBe(shown)
})

test.each([
  ['redis://joe:secret@db:6379/2', 'joe', 'secret', 2],
  ['redis://:secret@db', undefined, 'secret', 0],
  ['redis://joe@db', 'joe', undefined, 0],
  ['redis://joe:p%40ss%2Fw%25rd@db/7', 'joe', 'p@ss/w%rd', 7],
  ['redis://joe:p@ss@db', 'joe', 'p@ss', 0],
  ['redis://joe:a:b@db?db=4', 'joe', 'a:b', 4],
  ['unix://joe:secret@/run/redis.sock?db=5', 'joe', 'secret', 5],
])('%s holds a user, a password and a database', (text, username, password, db) => {
  const address = parseServerAddress(text)
  expect(address).toMatchObject({ username, password, db })
  expect(formatServerAddress(address)).not.toContain('secret')
})

test('unix sockets have a path', () => {
  const address = parseServerAddress('unix:///run/my%20redis.sock')
  expect(address).toMatchObject({ transport: 'unix', socketPath: '/run/my redis.sock', db: 0 })
  expect(formatServerAddress(address)).toBe('unix:///run/my redis.sock')
})

test.each([
  '',
  ':6379',
  'db:',
  'db:0',
  'db:65536',
  'db:abc',
  'a:b:c',
  'joe:secret@db:6379',
  'http://db',
  'redis://joe:secret@db:x',
  'redis://joe:secret@db/x',
  'redis://joe:sec%ret@db',
  'unix://run/redis.sock',
  'a b',
])('%s is refused without repeating a password', (text) => {
  let error: unknown
  try {
    parseServerAddress(text)
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(UsageError)
  expect((error as UsageError).message).not.toMatch(/secret|sec%ret/)
})

test('secrets in any text are masked', () => {
  expect(maskSecrets('sync redis://joe:secret@db:1/2 and rediss://:pw@x')).toBe(
    'sync redis://joe:***@db:1/2 and rediss://:***@x',
  )
})

test('a scheme says that a server is meant', () => {
  expect(hasServerScheme('redis://x')).toBe(true)
  expect(hasServerScheme('unix:///x')).toBe(true)
  expect(hasServerScheme('http://x')).toBe(false)
  expect(hasServerScheme('dump.rdb')).toBe(false)
})
