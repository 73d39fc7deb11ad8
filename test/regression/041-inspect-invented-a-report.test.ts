/** What is no RDB has nothing to report: the error alone comes, in words and as JSON. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-no-rdb-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test.each([
  ['a text', 'root:x:0:0:root:/root:/bin/bash\n'],
  ['five bytes', 'five\n'],
])('%s is told to be no RDB, and nothing else', async (name, text) => {
  const file = join(dir, name)
  writeFileSync(file, text)
  const plain = await runCli(['inspect', file])
  expect([plain.code, plain.out]).toEqual([6, ''])
  expect(plain.err).not.toBe('')
  const json = await runCli(['inspect', file, '--json'])
  expect([json.code, json.out]).toEqual([6, ''])
  expect(JSON.parse(json.err)).toHaveProperty('error')
})
