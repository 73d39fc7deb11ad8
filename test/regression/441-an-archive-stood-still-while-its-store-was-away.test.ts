/** `tail -o DIR --ship s3://…`, begun again, ended with status 3 where the store was away: and kept nothing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { spawnRrep } from '../helpers/rrep-process.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { envOf } from '../helpers/swift.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-441-'))
let source: TestServer

beforeAll(async () => {
  source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('what is kept already goes on, and what could not be sent is told; a new one is not begun', async () => {
  const archive = join(dir, 'archive')
  const keep = ['tail', `127.0.0.1:${source.port}`, '-o', archive]
  const first = spawnRrep(keep)
  await waitFor(() => first.err().includes('snapshot kept'), { what: 'the snapshot' })
  first.child.kill('SIGINT')
  await first.ended
  // Nobody listens there.
  const env = { ...envOf(1), AWS_MAX_ATTEMPTS: '1' }
  const ship = ['--ship', 's3://backups/x', '--ship-every', '200ms']
  const second = spawnRrep([...keep, ...ship], { env })
  await waitFor(() => second.err().includes('going on behind'), { what: 'the next run' })
  second.child.kill('SIGINT')
  const { code, err } = await second.ended
  expect([code, err]).toEqual([130, expect.stringContaining('the next run sends it')])
  const fresh = spawnRrep(['tail', `127.0.0.1:${source.port}`, '-o', join(dir, 'fresh'), ...ship], {
    env,
  })
  expect((await fresh.ended).code).toBe(3)
})
