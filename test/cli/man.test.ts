/** The page of the manual: made at build time from what the commands say with --help. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { COMMAND_NAMES } from '../../src/cli/commands/index.js'

const page = join(import.meta.dirname, '../../dist/man/rrep.1')
const hasGroff = spawnSync('groff', ['--version']).status === 0

test('it has every command, with its options', () => {
  const text = readFileSync(page, 'utf8')
  for (const name of COMMAND_NAMES) expect(text).toContain(`.SH RREP ${name.toUpperCase()}`)
  expect(text).toContain('\\-\\-snapshot\\-every')
  // No line is taken for a request that is none.
  const requests = text.match(/^\.\S+/gm) ?? []
  expect([...new Set(requests)].sort()).toEqual(['.B', '.I', '.SH', '.SS', '.TH', '.fi', '.nf'])
})

test.skipIf(!hasGroff)('groff reads it without a word', () => {
  const read = spawnSync('groff', ['-k', '-man', '-Tutf8', '-ww', '-z', page], { encoding: 'utf8' })
  expect([read.status, read.stderr]).toEqual([0, ''])
})
