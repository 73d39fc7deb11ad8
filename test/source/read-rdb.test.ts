/** The library's entry: keys by `for await`, or a visitor; from a path, a stream, or memory. */
import { createReadStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { readRdb, walkRdb, type RdbSource } from '../../src/source/read-rdb.js'
import type { RdbKey } from '../../src/source/rdb-key.js'
import { RdbError } from '../../src/errors.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { collect } from '../helpers/rdb-rows.js'
import { FIXTURES } from '../helpers/fixtures.js'

const path = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const bytes = readFileSync(path)
const rows = collect([bytes]).collector.rows

async function keysOf(source: RdbSource, values = true): Promise<RdbKey[]> {
  const keys: RdbKey[] = []
  for await (const key of readRdb(source, { values })) keys.push(key)
  return keys
}

const sources: [string, () => RdbSource][] = [
  ['a path', () => path],
  ['memory', () => bytes],
  ['a stream', () => createReadStream(path, { highWaterMark: 5000 })],
  ['a gzipped stream', () => Readable.from([gzipSync(bytes)])],
]

describe.each(sources)('readRdb from %s', (_, source) => {
  test('gives every key with its value, in file order', async () => {
    const keys = await keysOf(source())
    expect(keys.map(({ db, key }) => [db, key.toString('base64')])).toEqual(
      rows.map(({ db, key }) => [db, key]),
    )
    const hash = keys.find((key) => key.type === 'hash')
    const row = rows.find(({ key }) => key === hash?.key.toString('base64'))
    expect(
      hash?.value?.map(({ field, value }) => [field.toString('base64'), value.toString('base64')]),
    ).toEqual(row?.value)
    const stream = keys.find((key) => key.type === 'stream')
    expect(stream?.value?.entries.length).toBe(stream?.elements)
  })
})

test('without values only what is around them is read', async () => {
  const keys = await keysOf(path, false)
  expect(keys).toHaveLength(rows.length)
  expect(keys.every(({ value }) => value === undefined)).toBe(true)
  expect(keys.reduce((sum, key) => sum + key.serializedBytes, 0)).toBeGreaterThan(10_000)
})

test('a filter chooses keys, and the loop can be left', async () => {
  const lists: RdbKey[] = []
  for await (const key of readRdb(path, { filter: ({ type }) => type.name.startsWith('list') })) {
    expect(key.type).toBe('list')
    lists.push(key)
    if (lists.length === 3) break
  }
  expect(lists).toHaveLength(3)
})

test('keys before the damage come, then the error', async () => {
  const damaged = Buffer.from(bytes)
  damaged[damaged.length - 1]! ^= 1
  const keys: RdbKey[] = []
  const reading = async (): Promise<void> => {
    for await (const key of readRdb(damaged)) keys.push(key)
  }
  await expect(reading()).rejects.toThrow(RdbError)
  expect(keys).toHaveLength(rows.length)
})

test('walkRdb counts what stands behind the RDB', async () => {
  const appended = Buffer.concat([bytes, Buffer.from('*1\r\n$4\r\nPING\r\n')])
  for (const source of [appended, Readable.from([appended])]) {
    const { summary, trailingBytes } = await walkRdb(source, { key: () => DEPTH.SKIP })
    expect(trailingBytes).toBe(14)
    expect(summary).toMatchObject({ keysRead: rows.length, rdbBytes: bytes.length })
  }
})

test('an aborted signal ends the reading', async () => {
  const controller = new AbortController()
  controller.abort()
  await expect(
    walkRdb(path, { key: () => 0 }, { signal: controller.signal }),
  ).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  })
})

test('every kind of value has its form', async () => {
  const seen = new Set<string>()
  for (const file of ['redis-8.6/types.rdb', 'redis-8.6/idmp.rdb', 'redis-8.0/vectorset.rdb']) {
    for (const key of await keysOf(join(FIXTURES, file))) {
      seen.add(key.type)
      expect(key.value).toBeDefined()
      if (key.type === 'module') expect(key.moduleName).toBe('vectorset')
      if (key.type === 'zset') expect(typeof key.value?.[0]?.score).toBe('number')
    }
  }
  expect([...seen].sort()).toEqual(['hash', 'list', 'module', 'set', 'stream', 'string', 'zset'])
})
