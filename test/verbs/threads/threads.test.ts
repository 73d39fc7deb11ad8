import fc from 'fast-check'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { exportKeys } from '../../../src/index.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../../src/disk/temporary-dir.js'
import { fixtureFiles, rdbFixtures } from '../../helpers/fixtures.js'
import { rdbBody, rdbBytes } from '../../helpers/rdb-bytes.js'
import { rrepCommand } from '../../helpers/rrep-command.js'
import { compared, exported, SMALL } from '../../helpers/threaded.js'

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

test.each(files)('$name: two threads write what one writes', async ({ rdb }) => {
  const options = { format: 'jsonl' } as const
  const one = await exported(rdb, directory, options)
  expect(await exported(rdb, directory, { ...options, threads: 2 })).toEqual(one)
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
