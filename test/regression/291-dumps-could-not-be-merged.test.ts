/** Two dumps could be brought together in a server only. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { parseStates, sortStates, type KeyState } from '../helpers/fixtures.js'

const FIXTURES = join(import.meta.dirname, '../../fixtures')
const DEMO = join(FIXTURES, 'demo/ecommerce.rdb')
const FUNCTIONS = join(FIXTURES, 'redis-7.0/functions.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-291-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function states(file: string): Promise<KeyState[]> {
  return parseStates((await runCli(['export', file, '--strings', 'base64', '-q'])).out)
}

/** Writes what the filters let through, under the name. */
async function part(name: string, ...args: string[]): Promise<string> {
  const file = join(dir, name)
  expect((await runCli(['export', ...args, '-o', file])).code).toBe(0)
  return file
}

test('parts of a dump come together to what it was', async () => {
  const users = await part('users.rdb', DEMO, '--match', 'user:*')
  const others = await part('others.rdb', DEMO, '--no-match', 'user:*')
  const all = await part('all.rdb', users, others)
  expect(sortStates(await states(all))).toEqual(sortStates(await states(DEMO)))
})

test('of two keys of one name the first or the last is kept, or none', async () => {
  // The same names, partly with other contents, and all packed in another way.
  const [newer, older] = ['7.2', '6.2'].map((each) =>
    join(FIXTURES, `redis-${each}/types.rdb`),
  ) as [string, string]
  const failed = await runCli(['export', newer, older, '-o', join(dir, 'none.rdb')])
  expect(failed.code).toBe(7)
  expect(failed.err).toContain('comes twice')
  const [a, b] = [await states(newer), await states(older)]
  const nameOf = ({ db, key }: KeyState): string => `${db} ${key}`
  const names = new Set(a.map(nameOf))
  expect(b.filter((state) => names.has(nameOf(state))).length).toBeGreaterThan(50)
  const first = await part('first.rdb', newer, older, '--on-conflict', 'first')
  const last = await part('last.rdb', newer, older, '--on-conflict', 'last')
  const own = (one: KeyState[], two: KeyState[]): KeyState[] => {
    const has = new Set(one.map(nameOf))
    return sortStates([...one, ...two.filter((state) => !has.has(nameOf(state)))])
  }
  expect(sortStates(await states(first))).toEqual(own(a, b))
  expect(sortStates(await states(last))).toEqual(own(b, a))
})

test('a function library of both is written once', async () => {
  const one = await part('f1.rdb', FUNCTIONS, '--match', 'none')
  const two = await part('f2.rdb', FUNCTIONS)
  const both = await part('f12.rdb', one, two)
  expect(countOf(readFileSync(both), '#!lua')).toBe(countOf(readFileSync(two), '#!lua'))
  expect(countOf(readFileSync(both), '#!lua')).toBeGreaterThan(0)
})

test('dumps of Redis and of Valkey are refused with a reason', async () => {
  const valkey = join(FIXTURES, 'valkey-9.1/types.rdb')
  const families = await runCli(['export', DEMO, valkey, '-o', join(dir, 'none.rdb')])
  expect(families.code).toBe(5)
  expect(families.err).toContain('Valkey')
})

test('other forms take several sources, too', async () => {
  const users = await part('users.rdb', DEMO, '--match', 'user:*')
  const twice = await runCli(['export', users, DEMO, '--format', 'jsonl'])
  expect(twice.code).toBe(7)
  const merged = await runCli(['export', users, DEMO, '--on-conflict', 'first', '-q'])
  expect(merged.code).toBe(0)
  expect(merged.out.split('\n').sort()).toEqual(
    (await runCli(['export', DEMO, '-q'])).out.split('\n').sort(),
  )
  const moved = await runCli(['export', users, '--map-db', '0:1', '--format', 'csv'])
  expect(moved.code).toBe(2)
})

function countOf(bytes: Buffer, text: string): number {
  return bytes.toString('latin1').split(text).length - 1
}
