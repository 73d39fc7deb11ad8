/** A user's own directory, named as `--spool-dir`, was removed with all that was in it. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

let source: TestServer
let target: TestServer
let dir: string

beforeAll(async () => {
  ;[source, target] = await Promise.all([startServer(), startServer()])
  await source.client.set('a', '1')
  dir = mkdtempSync(join(tmpdir(), 'rrep-spool-dir-'))
})

afterAll(async () => {
  await Promise.all([source.stop(), target.stop()])
  rmSync(dir, { recursive: true, force: true })
})

test('replay --spool-dir DIR keeps what was in DIR, and leaves nothing of its own', async () => {
  mkdirSync(join(dir, 'sub'))
  writeFileSync(join(dir, 'precious'), 'x')
  const { code, err } = await runCli([
    'replay',
    `127.0.0.1:${source.port}`,
    `127.0.0.1:${target.port}`,
    ...['--until-synced', '--spool-dir', dir],
  ])
  expect([code, err]).toEqual([0, expect.any(String)])
  expect(await target.client.get('a')).toBe('1')
  expect(readdirSync(dir).sort()).toEqual(['precious', 'sub'])
  expect(readFileSync(join(dir, 'precious'), 'utf8')).toBe('x')
})
