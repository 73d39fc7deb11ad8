import fc from 'fast-check'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { checkRdb, exportKeys, NOTICE, type InspectResult } from '../../../src/index.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../../src/disk/temporary-dir.js'
import { fixtureFiles, rdbFixtures } from '../../helpers/fixtures.js'
import { rdbBody, rdbBytes, stringRecords } from '../../helpers/rdb-bytes.js'
import { rrepCommand } from '../../helpers/rrep-command.js'
import { checked, compared, exported, inspected, SMALL } from '../../helpers/threaded.js'

const directory = makeTemporaryDir('rrep-threads-test-')
afterAll(() => removeTemporaryDir(directory))

/** The largest with several pieces of the oldest and the newest servers: ziplists, listpacks, both families. All
 * of them are in the soak `threads`. */
const files = [
  ...new Map(
    rdbFixtures()
      .filter(({ rdb }) => statSync(rdb).size > 2000)
      .sort((a, b) => statSync(a.rdb).size - statSync(b.rdb).size)
      .map((fixture) => [fixture.name.split('/')[0], fixture]),
  ).values(),
].filter(({ name, rdb }) => statSync(rdb).size < 1 << 20 && /(2.4|s-7.2|8.6|y-9.1)/.test(name))

test('there is something to cut', () => {
  expect(files.length).toBe(4)
})

test.each(files)(
  '$name: two threads write what one writes, and find what it finds',
  async ({ rdb }) => {
    for (const format of ['jsonl', 'csv', 'resp'] as const) {
      const one = await exported(rdb, directory, { format })
      expect(one.error).toBe(undefined)
      expect(await exported(rdb, directory, { format, threads: 2 })).toEqual(one)
    }
    expect(await checked(rdb, 2)).toEqual(await checked(rdb, 1))
    expect(await inspected(rdb, 2)).toEqual(await inspected(rdb, 1))
  },
)

test('a summary has the same totals, keys and prefixes, with a filter too', async () => {
  const file = join(directory, 'prefixes.rdb')
  const names = Array.from({ length: 3000 }, (_, key) => `p${key % 7}:${key % 500}:${key}`)
  // Many of one size: which are listed is decided by their order.
  const keys = names.map((name, key): [string, string] => [name, 'v'.repeat(20 + (key % 40))])
  const body = Buffer.concat([...stringRecords(0, keys), ...stringRecords(4, keys.slice(100))])
  writeFileSync(file, rdbBytes({ checksum: 'zero', body }))
  for (const options of [{}, { top: 500, filter: { match: ['*1*'], minSizeBytes: 90 } }]) {
    const one = await inspected(file, 1, options)
    const { prefixes, mergedPrefixes } = one.result as InspectResult
    expect([prefixes.length, mergedPrefixes]).toEqual([100, 0])
    expect(await inspected(file, 2, options)).toEqual(one)
    expect(await inspected(file, 3, options)).toEqual(one)
  }
})

test('prefixes of which there are too many are merged, and their sums stay', async () => {
  const file = join(directory, 'merged.rdb')
  const keys = Array.from({ length: 5000 }, (_, key): [string, string] => [`user:${key}:x`, 'v'])
  const body = Buffer.concat(stringRecords(0, keys))
  writeFileSync(file, rdbBytes({ checksum: 'zero', body }))
  const one = (await inspected(file, 1)).result as InspectResult
  const two = (await inspected(file, 2)).result as InspectResult
  const without = { prefixes: [], mergedPrefixes: 0 }
  expect({ ...two, ...without }).toEqual({ ...one, ...without })
  for (const { prefixes, mergedPrefixes } of [one, two]) {
    expect(mergedPrefixes).toBeGreaterThan(1000)
    const [top, rest] = prefixes.map(({ prefix, keys: count }) => ({ name: String(prefix), count }))
    expect(top).toEqual({ name: 'user:', count: 5000 })
    expect(rest!.name).toBe('user:*:')
    expect(rest!.count).toBeGreaterThan(3000)
    const below = prefixes.slice(1).reduce((sum, each) => sum + each.keys, 0)
    expect(below).toBeLessThanOrEqual(5000)
  }
})

/** `${front}:0` and so on. */
function strings(front: string, count: number): [string, string][] {
  return Array.from({ length: count }, (_, key) => [`${front}:${key}`, 'x'.repeat(key % 30)])
}

test('commands of several databases, with a filter that leaves some of them empty', async () => {
  const file = join(directory, 'databases.rdb')
  const databases = [0, 3, 3, 15, 2].map((db, index) => stringRecords(db, strings(`${index}`, 30)))
  writeFileSync(file, rdbBytes({ checksum: 'zero', body: Buffer.concat(databases.flat()) }))
  for (const filter of [undefined, { dbs: [3, 2] }, { match: ['2:2*', '3:1', '4:*'] }]) {
    const options = { format: 'resp', filter } as const
    const one = await exported(file, directory, options)
    expect(one.bytes).toContain('SELECT')
    expect(await exported(file, directory, { ...options, threads: 2 })).toEqual(one)
  }
})

test('commands up to damage are counted as by one, wherever it is', async () => {
  const file = join(directory, 'cut.rdb')
  for (const [from, at] of [12_000, 20_000, whole.length - 300].map((each) => [each, each + 40])) {
    for (const change of [whole.subarray(0, at), flipped(whole, from!)]) {
      writeFileSync(file, change)
      const one = await exported(file, directory, { format: 'resp' })
      expect(await exported(file, directory, { format: 'resp', threads: 2 })).toEqual(one)
    }
  }
})

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[at]! ^= 0xff
  return changed
}

test('a name that comes twice, pieces apart, is told as by one', async () => {
  const file = join(directory, 'twice.rdb')
  const names = strings('key', 200)
  const body = stringRecords(0, [...names, names[7]!, ...strings('other', 100)])
  writeFileSync(file, rdbBytes({ checksum: 'zero', body: Buffer.concat(body) }))
  const one = await checked(file, 1)
  expect(JSON.stringify(one.error)).toContain('key:7 occurs twice')
  expect(await checked(file, 2)).toEqual(one)
})

test('names are compared as far as one compares them', async () => {
  const file = join(directory, 'many.rdb')
  const names = Array.from({ length: 70_000 }, (_, key) => `key:${key}`)
  const body = rdbBody(Object.fromEntries(names.map((name) => [name, 'v'])))
  writeFileSync(file, rdbBytes({ checksum: 'zero', body }))
  const one = await checkRdb(file)
  expect(one.notices).toEqual({ [NOTICE.DUPLICATES_SAMPLED]: 2 })
  const pieceSizes = { pieceBytes: 100_000, readBytes: 1 << 16 }
  expect(await checkRdb(file, { threads: 2, pieceSizes })).toEqual(one)
})

const { rdb } = files.find(({ name }) => name.startsWith('redis-7.2'))!
const whole = readFileSync(rdb)

test('with filters, and with three', async () => {
  const filters = [
    { match: ['*a*'], noMatch: ['*1*'], minSizeBytes: 40, ttl: 'none' },
    { regex: /[aeiou]/, types: ['hash', 'string', 'zset'] },
  ] as const
  for (const filter of filters) {
    const one = await exported(rdb, directory, { format: 'json', filter })
    expect(await exported(rdb, directory, { format: 'json', filter, threads: 3 })).toEqual(one)
  }
})

test('damage is told by the same words at the same byte', async () => {
  const damaged = join(directory, 'damaged.rdb')
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 9, max: whole.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      async (at, change, isCut) => {
        const bytes = Buffer.from(isCut ? whole.subarray(0, at) : whole)
        if (!isCut) bytes[at]! ^= change
        writeFileSync(damaged, bytes)
        const one = await exported(damaged, directory, { format: 'json' })
        expect(await exported(damaged, directory, { format: 'json', threads: 2 })).toEqual(one)
        expect(await checked(damaged, 2)).toEqual(await checked(damaged, 1))
        expect(await inspected(damaged, 2)).toEqual(await inspected(damaged, 1))
        expect(await compared(damaged, rdb, 2)).toEqual(await compared(damaged, rdb, 1))
      },
    ),
    { numRuns: 3 },
  )
})

test('a comparison comes to the same', async () => {
  const other = join(directory, 'other.rdb')
  const dump = { output: other, format: 'rdb', filter: { noMatch: ['*e*'] } } as const
  await exportKeys(rdb, dump)
  const one = await compared(rdb, other, 1)
  expect(one.bytes).not.toBe('')
  expect(await compared(rdb, other, 2)).toEqual(one)
  expect(await compared(rdb, rdb, 3)).toEqual(await compared(rdb, rdb, 1))
})

test('what has no border of its own is read by the one', async () => {
  const small = fixtureFiles('corrupt/empty-list.rdb')[0]!.path
  const one = await exported(small, directory, { format: 'jsonl' })
  expect(one.bytes).toContain('"behind the damage"')
  expect(await exported(small, directory, { format: 'jsonl', threads: 2 })).toEqual(one)
})

test('the command line has the thread with it', () => {
  // Of some pieces, each of 2 MB.
  const large = join(directory, 'large.rdb')
  const keys = Array.from({ length: 400 }, (_, index) => [
    `key:${index}`,
    'v'.repeat(16_000 + index),
  ])
  writeFileSync(
    large,
    rdbBytes({
      checksum: 'zero',
      body: rdbBody(Object.fromEntries(keys) as Record<string, string>),
    }),
  )
  const [node, ...script] = rrepCommand
  const [one, two] = ['1', '2'].map((threads) => {
    const args = [...script, 'export', large, '--threads', threads]
    return spawnSync(node!, args, { maxBuffer: 1 << 24 })
  })
  expect(String(two!.stderr)).toContain('400 keys')
  expect(two!.stdout.length).toBeGreaterThan(6_000_000)
  expect(two!.stdout.equals(one!.stdout)).toBe(true)
})

test('ends when it is told to, and leaves nothing', async () => {
  const stop = new AbortController()
  const output = join(directory, 'aborted')
  const onProgress = (): void => stop.abort()
  const { signal } = stop
  const call = { output, threads: 2, pieceSizes: SMALL, signal, onProgress }
  await expect(exportKeys(rdb, call)).rejects.toSatisfy((error) => error === signal.reason)
  expect(statSync(output, { throwIfNoEntry: false })).toBeUndefined()
})
