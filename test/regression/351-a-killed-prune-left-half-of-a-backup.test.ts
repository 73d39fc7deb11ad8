/**
 * `prune` removed the record of a backup in a directory and then the rest, file by file: killed on the way it
 * left a directory that `list` warned of, and that stayed for a day.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { FIXTURES } from '../helpers/fixtures.js'
import { runCli } from '../helpers/cli.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-351-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Removes a folder of a store in a process of its own, which can be killed. */
const REMOVER = `
const { openStore } = await import(process.argv[1])
const store = await openStore(process.argv[2])
await store.removeFolder(['n', process.argv[3]], 'rrep-backup.json')
`

test('what a killed prune left is no backup, and the next run removes it', async () => {
  const repo = join(dir, 'repo')
  for (let i = 0; i < 2; i += 1) {
    await runCli(['backup', join(FIXTURES, 'demo/ecommerce.rdb'), '--to', repo, '--name', 'n'])
  }
  const [first] = readdirSync(join(repo, 'n'))
  const going = join(repo, 'n', first!)
  // So much that it takes a while.
  mkdirSync(join(going, 'more'))
  for (let i = 0; i < 4000; i += 1) writeFileSync(join(going, 'more', String(i)), '')
  const module = new URL('../../src/storage/open-store.ts', import.meta.url).href
  const args = ['--import', 'tsx', '--input-type=module', '-e', REMOVER, module, repo, first!]
  const child = spawn(process.execPath, args, { stdio: 'inherit' })
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once('exit', (_, signal) => resolve(signal)),
  )
  const isThere = (): boolean =>
    statSync(join(going, 'rrep-backup.json'), { throwIfNoEntry: false }) !== undefined
  while (isThere()) await new Promise((resolve) => setImmediate(resolve))
  child.kill('SIGKILL')
  expect(await ended).toBe('SIGKILL')
  const left = readdirSync(join(repo, 'n'))
  expect(left).toHaveLength(2)
  const listed = await runCli(['backup', 'list', repo, '--json'])
  expect(JSON.parse(listed.out)).toMatchObject({ backups: [{}], unfinished: [], damaged: [] })
  await runCli(['backup', 'prune', repo, '--keep-last', '5', '--yes'])
  expect(readdirSync(join(repo, 'n'))).toHaveLength(1)
})
