/** Keys of a dump could not be put into another db or under another name without a server. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { parseStates } from '../helpers/fixtures.js'

const FIXTURES = join(import.meta.dirname, '../../fixtures')
const DEMO = join(FIXTURES, 'demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-290-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const out = join(dir, 'out.rdb')

async function states(file: string): Promise<ReturnType<typeof parseStates>> {
  return parseStates((await runCli(['export', file, '--strings', 'base64', '-q'])).out)
}

test('--map-db and --rewrite-key put keys elsewhere, with all that they hold', async () => {
  const args = ['--map-db', '0:3', '--rewrite-key', 's/^user:/member:/', '--match', 'user:*']
  const result = await runCli(['export', DEMO, ...args, '-o', out])
  expect(result.code).toBe(0)
  const before = (await states(DEMO)).filter(({ key }) => text(key).startsWith('user:'))
  expect(before.length).toBeGreaterThan(100)
  expect(await states(out)).toEqual(
    before.map((state) => ({
      ...state,
      db: 3,
      key: base64(text(state.key).replace('user', 'member')),
    })),
  )
})

test('--transform drops, renames and times keys', async () => {
  const file = join(dir, 'transform.mjs')
  writeFileSync(
    file,
    `export function transform(item) {
      const name = item.key.toString()
      if (!name.startsWith('user:')) return null
      return { ...item, key: Buffer.from('x' + name), expireAtMs: 4102444800000 }
    }`,
  )
  const result = await runCli(['export', DEMO, '--transform', file, '-o', out, '--json'])
  expect(result.code).toBe(0)
  const all = await states(DEMO)
  const before = all.filter(({ key }) => text(key).startsWith('user:'))
  expect(JSON.parse(result.out)).toMatchObject({
    keys: { read: all.length, written: before.length, dropped: all.length - before.length },
  })
  expect(await states(out)).toEqual(
    before.map((state) => ({
      ...state,
      key: base64(`x${text(state.key)}`),
      expireAt: 4102444800000,
    })),
  )
})

test('two keys that come to one name are no accident', async () => {
  const rule = ['--rewrite-key', 's/^user:.*/one/', '--match', 'user:*']
  const failed = await runCli(['export', DEMO, ...rule, '-o', join(dir, 'none.rdb')])
  expect(failed.code).toBe(7)
  expect(failed.err).toContain('key one of db 0 comes twice')
  const kept = await runCli(['export', DEMO, ...rule, '--on-conflict', 'first', '-o', out])
  expect(kept.code).toBe(0)
  expect((await states(out)).map(({ key }) => text(key))).toEqual(['one'])
})

test('other forms have no place for moved keys', async () => {
  const result = await runCli(['export', DEMO, '--map-db', '0:1', '-o', join(dir, 'a.jsonl')])
  expect(result.code).toBe(2)
})

function text(key: string): string {
  return Buffer.from(key, 'base64').toString()
}

function base64(name: string): string {
  return Buffer.from(name).toString('base64')
}
