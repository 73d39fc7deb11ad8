/** A user asked for JSON, or for silence, and got something else from some commands. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { rdbBytes, rdbBody } from '../helpers/rdb-bytes.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-json-'))
const file = join(dir, 'dump.rdb')
const lines = (text: string): unknown[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)

beforeAll(() => {
  const body = rdbBody({
    key: 'value',
    'new\nline': 'x',
    '': 'nameless',
    '-rf': 'x',
    "'-rf": 'y',
    bytes: 'z',
  })
  writeFileSync(file, rdbBytes({ body }))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('common options stand before or behind the command', async () => {
  const front = await runCli(['--json', '--no-color', 'inspect', file])
  expect(front).toMatchObject({ code: 0, err: '' })
  expect(front.out).toBe((await runCli(['inspect', file, '--json'])).out)
  expect(JSON.parse(front.out)).toMatchObject({ event: 'inspected', keys: 6 })
})

test.each(['--keys', '--csv'])(
  'inspect %s --json is a line of metadata for each key',
  async (option) => {
    const { out } = await runCli(['inspect', file, option, '--json'])
    const rows = lines(out)
    expect(rows).toHaveLength(6)
    expect(rows[0]).toEqual({
      event: 'key',
      db: 0,
      key: 'key',
      type: 'string',
      encoding: 'embstr',
      memory: expect.any(Number) as number,
      elements: 1,
      expireAt: null,
      idle: null,
      freq: null,
    })
  },
)

test('every object has an event', async () => {
  const outputs = await Promise.all([
    runCli(['inspect', file, '--check', '--json']),
    runCli(['inspect', file, '--key', 'key', '--json']),
    runCli(['export', file, '-o', join(dir, 'x.jsonl'), '--json']),
    runCli(['diff', file, file, '--json']),
  ])
  const events = outputs.map(({ out }) => (lines(out).at(-1) as { event: string }).event)
  expect(events).toEqual(['checked', 'key', 'exported', 'diff'])
})

test('a name is taken as --keys prints it; one that is not there is no wrong usage', async () => {
  const found = await runCli(['inspect', file, '--key', 'new\\nline'])
  expect(found.code, found.err).toBe(0)
  expect(await runCli(['inspect', file, '--key', '""'])).toMatchObject({ code: 0 })
  expect(await runCli(['inspect', file, '--key', 'nosuch'])).toMatchObject({ code: 1 })
})

test('rows tell names without letters and with the signs of a formula apart', async () => {
  const csv = (await runCli(['inspect', file, '--csv'])).out
  expect(csv).toContain(`,"'-rf",`)
  expect(csv).toContain(`,"''-rf",`)
  expect((await runCli(['inspect', file, '--keys'])).out).toMatch(/ - ""\n/)
})

test('--quiet is silent but for errors', async () => {
  const evil = join(dir, 'bytes.rdb')
  writeFileSync(
    evil,
    rdbBytes({ body: rdbBody({ key: Buffer.from([0xff, 0xfe]).toString('latin1') }) }),
  )
  const other = join(dir, 'other.rdb')
  writeFileSync(other, rdbBytes({ body: rdbBody({ other: 'x' }) }))
  expect(await runCli(['export', evil, '-o', join(dir, 'y.jsonl'), '-q'])).toMatchObject({
    code: 0,
    out: '',
    err: '',
  })
  expect(await runCli(['diff', file, other, '-q'])).toMatchObject({ code: 7, out: '', err: '' })
  expect((await runCli(['inspect', join(dir, 'none'), '-q'])).err).toContain('rrep: ')
})
