/** `backup list` was to say why each backup is kept, and did not: only `prune` said so. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { FIXTURES } from '../helpers/fixtures.js'
import { runCli } from '../helpers/cli.js'

const repo = join(mkdtempSync(join(tmpdir(), 'rrep-353-')), 'repo')
afterAll(() => rmSync(join(repo, '..'), { recursive: true, force: true }))

test('list says why each is kept, by rules that are given or stand in the environment', async () => {
  for (let i = 0; i < 2; i += 1) {
    await runCli(['backup', join(FIXTURES, 'demo/ecommerce.rdb'), '--to', repo, '--name', 'n'])
  }
  const plain = await runCli(['backup', 'list', repo])
  expect(plain.out).not.toContain('kept')
  const { code, out } = await runCli(['backup', 'list', repo, '--keep-last', '1'])
  expect(code).toBe(0)
  const [head, first, last] = out.split('\n').filter((line) => line !== '')
  expect([head, first, last].map((line) => line?.trim())).toEqual([
    expect.stringMatching(/kept$/),
    expect.stringMatching(/would go$/),
    expect.stringMatching(/last|newest/),
  ])
  process.env['RREP_KEEP_LAST'] = '1'
  try {
    const json = await runCli(['backup', 'list', repo, '--json'])
    const { backups } = JSON.parse(json.out) as { backups: { kept: string[] }[] }
    expect(backups.map(({ kept }) => kept.length > 0)).toEqual([false, true])
  } finally {
    delete process.env['RREP_KEEP_LAST']
  }
})
