import { expect, test } from 'vitest'
import { fillNamePattern } from '../../../src/verbs/sync/name-pattern.js'
import { parseServerAddress } from '../../../src/net/address.js'

const TIME = new Date(2026, 10, 22, 9, 5, 7)

test.each([
  ['dump.rdb', 'db:1', 'dump.rdb'],
  ['/b/{host}-{port}-{time}.rdb', 'db.example:6380', '/b/db.example-6380-20261122-090507.rdb'],
  ['dump-%Y%m%d-%H%M%S.rdb', 'db', 'dump-20261122-090507.rdb'],
  ['%F_%T_%y_%j_100%%', 'db', '2026-11-22_09:05:07_26_326_100%'],
  ['{host}.rdb', '[::1]:6379', '__1.rdb'],
  ['{host}-{port}.rdb', 'unix:///run/redis.sock', 'redis.sock-unix.rdb'],
])('%s from %s is %s', (pattern, address, name) => {
  expect(fillNamePattern(pattern, parseServerAddress(address), TIME)).toBe(name)
})

test('seconds since 1970', () => {
  const name = fillNamePattern('%s', parseServerAddress('db'), TIME)
  expect(name).toBe(String(TIME.getTime() / 1000))
})

test.each(['{what}', '%Q', 'ends with %', '{}'])('%s means nothing', (pattern) => {
  expect(() => fillNamePattern(pattern, parseServerAddress('db'), TIME)).toThrow(
    /which means nothing/,
  )
})
