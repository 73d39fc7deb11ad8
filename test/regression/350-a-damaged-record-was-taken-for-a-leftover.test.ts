/**
 * A byte that changed in `rrep-backup.json` was found by nobody where it stood in a name or a number, and
 * where it made the record unreadable the backup counted as a leftover: `verify` said that the one before
 * it was sound, and `prune` removed its dump after a day.
 */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { FIXTURES } from '../helpers/fixtures.js'
import { runCli } from '../helpers/cli.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-350-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('each byte of a record that changes is found, and none makes the dump a leftover', async () => {
  const repo = join(dir, 'repo')
  const dump = join(FIXTURES, 'demo/ecommerce.rdb')
  for (let i = 0; i < 2; i += 1) {
    const { code } = await runCli(['backup', dump, '--to', repo, '--name', 'n', '--tag', 'x'])
    expect(code).toBe(0)
  }
  // Two of one second have the order of chance.
  const listed = await runCli(['backup', 'list', repo, '--json'])
  const { backups } = JSON.parse(listed.out) as { backups: { id: string }[] }
  const { id } = backups.at(-1)!
  const directory = join(repo, 'n', id)
  const file = join(directory, 'rrep-backup.json')
  const bytes = readFileSync(file)
  expect((await runCli(['backup', 'verify', repo])).code).toBe(0)
  for (let at = 0; at < bytes.length; at += 3) {
    writeFileSync(file, bytes.with(at, bytes[at]! ^ (1 << (at % 7))))
    const { code, err } = await runCli(['backup', 'verify', repo])
    expect([at, code, err]).toEqual([at, 6, expect.stringContaining(file)])
  }
  writeFileSync(file, bytes.subarray(1))
  const old = new Date(Date.now() - 48 * 3600 * 1000)
  utimesSync(directory, old, old)
  expect((await runCli(['backup', 'verify', `${repo}@${id}`])).code).toBe(6)
  expect((await runCli(['backup', 'copy', `${repo}@${id}`, join(dir, 'copy')])).code).toBe(6)
  const pruned = await runCli(['backup', 'prune', repo, '--keep-last', '1', '--yes'])
  expect(pruned.code).toBe(0)
  expect(readdirSync(directory).sort()).toEqual(['dump.rdb', 'rrep-backup.json'])
  const told = await runCli(['backup', 'list', repo])
  expect(told.err).toContain(`${directory} has a damaged record`)
  expect(existsSync(join(directory, 'dump.rdb'))).toBe(true)
})

test('a record of an older version, without a hash, is verified, and that is said', async () => {
  const repo = join(dir, 'older')
  await runCli(['backup', join(FIXTURES, 'demo/ecommerce.rdb'), '--to', repo, '--name', 'n'])
  const file = join(repo, 'n', readdirSync(join(repo, 'n'))[0]!, 'rrep-backup.json')
  const record = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  delete record['sha256']
  writeFileSync(file, `${JSON.stringify(record, undefined, 2)}\n`)
  const { code, err } = await runCli(['backup', 'verify', repo])
  expect([code, err]).toEqual([0, expect.stringContaining('its record has no hash')])
})
