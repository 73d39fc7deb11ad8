/**
 * A user looked for '(a+)+$' in a dump with a key that was made for it: rrep hung, and Ctrl-C did
 * nothing. An expression of 100,000 letters was "a bug in rrep".
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'
import { spawnRrep } from '../helpers/rrep-process.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-regex-'))
const file = join(dir, 'dump.rdb')

beforeAll(() => {
  writeFileSync(file, rdbBytes({ body: rdbBody({ [`${'a'.repeat(40)}!`]: 'x', other: 'y' }) }))
})

afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('a hostile key does not hold an expression that backtracks', async () => {
  // In a process of its own: in this one a hang could not be told.
  const { child, ended } = spawnRrep(['inspect', file, '--keys', '--regex', '(a+)+$'])
  const timer = setTimeout(() => child.kill('SIGKILL'), 25_000)
  const { code, err } = await ended
  clearTimeout(timer)
  expect({ code, err }).toEqual({ code: 0, err: '' })
})

test('what has no linear way is refused, with another way', async () => {
  for (const regex of ['(a)\\1', '(?=a+)+b', '(?!tmp:)']) {
    const result = await runCli(['inspect', file, '--keys', '--regex', regex])
    expect(result.code).toBe(2)
    expect(result.err).toContain('--no-match')
  }
})

test('a very long expression is wrong usage', async () => {
  const result = await runCli(['inspect', file, '--keys', '--regex', 'a'.repeat(100_000)])
  expect(result.code).toBe(2)
  expect(result.err).not.toContain('bug')
  expect(result.err.length).toBeLessThan(500)
})

test('an expression still finds what it finds', async () => {
  const result = await runCli(['inspect', file, '--keys', '--regex', '^o.*r$'])
  expect(result.out).toMatch(/ other\n$/)
})
