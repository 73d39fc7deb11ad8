/** `tail` and `history` said of a cluster's archive that it holds no manifest, and of its dumps the same. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-442-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test.each([
  ['tail', dir],
  ['history', dir, 'key'],
])('%s says that each shard has commands of its own, and that dumps have none', async (...args) => {
  const record = { source: '127.0.0.1:1', shards: [], topology: [], handovers: [] }
  const kept = { format: 'rrep-cluster-archive-1', ...record }
  writeFileSync(join(dir, 'nodes.json'), JSON.stringify(kept))
  const archive = await runCli(args)
  expect([archive.code, archive.err]).toEqual([
    2,
    expect.stringContaining('name the directory of one of its shards'),
  ])
  writeFileSync(join(dir, 'nodes.json'), '[]')
  expect((await runCli([...args, '--json'])).err).toContain('ERR_NO_COMMANDS')
})
