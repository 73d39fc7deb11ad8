/** A user's password held an @, and its tail stood in an error; another's stood in `ps` unsaid. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maskSecrets } from '../../src/net/address.js'
import { runCli } from '../helpers/cli.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-secrets-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test.each([
  ['redis://u:pa@rt2@/x', 'redis://u:***@/x'],
  ['redis://:pw@h:1/2', 'redis://:***@h:1/2'],
  ['rediss://u:p%40w@h', 'rediss://u:***@h'],
  ['unix://u:p/w@/run/x.sock', 'unix://u:***@/run/x.sock'],
  ['redis-sentinel://u:p:w@a:1,b:2/0#m', 'redis-sentinel://u:***@a:1,b:2/0#m'],
  ["the address 'redis://u:p@w@h' is no good", "the address 'redis://u:***@h' is no good"],
  ['127.0.0.1:6379', '127.0.0.1:6379'],
  ['redis://user@host:6379', 'redis://user@host:6379'],
])('%s is shown as %s', (text, shown) => expect(maskSecrets(text)).toBe(shown))

test('a password with a blank is in no error either', async () => {
  const { err } = await runCli(['sync', 'redis://u:sec ret@h:1/nodb', '-o', join(dir, 'x')])
  expect(err).toContain('***')
  expect(err).not.toMatch(/sec|ret@/)
})

test('a password in an argument is taken with a warning, in RREP_SOURCE without one', async () => {
  const address = 'redis://u:secret@127.0.0.1:1'
  const rest = ['-o', join(dir, 'x.rdb'), '--retries', '0']
  const said = await runCli(['sync', address, ...rest])
  expect(said.code).toBe(3)
  expect(said.err).toContain('list of processes')
  expect(said.err).not.toContain('secret')
  const silent = await runCli(['sync', ...rest], { env: { RREP_SOURCE: address } })
  expect(silent.code).toBe(3)
  expect(silent.err).not.toContain('list of processes')
})

test('a password file that others may read is told', async () => {
  const file = join(dir, 'pw')
  writeFileSync(file, 'secret\n')
  chmodSync(file, 0o644)
  const args = [
    'sync',
    '127.0.0.1:1',
    '-o',
    join(dir, 'x.rdb'),
    '--retries',
    '0',
    '--password-file',
    file,
  ]
  expect((await runCli(args)).err).toContain(`chmod 600 ${file}`)
  chmodSync(file, 0o600)
  expect((await runCli(args)).err).not.toContain('chmod')
  const none = await runCli([...args.slice(0, -1), join(dir, 'none')])
  expect(none.err).toContain('no such file')
  expect(none.err).not.toContain('ENOENT')
})
