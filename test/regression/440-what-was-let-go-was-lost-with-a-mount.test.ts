/**
 * `tail --ship REPO` without `-o` went on in an empty directory of the same name where the disk of the
 * repository was not mounted any more, and let go here what then lay in the shadow of the mount.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-440-'))
const repo = join(dir, 'mount', 'repo')
let source: TestServer

beforeAll(async () => {
  source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function write(): Promise<number> {
  for (let at = 0; at < 30; at += 1) await source.client.rpush('list', 'x'.repeat(200))
  return Number(/master_repl_offset:(\d+)/.exec(await source.client.info('replication'))![1])
}

async function shippedTo(running: RrepProcess, offset: number): Promise<void> {
  const lines = (): RegExpStringIterator<RegExpExecArray> =>
    running.err().matchAll(/everything up to offset (\d+)/g)
  await waitFor(() => [...lines()].some(([, at]) => Number(at) >= offset), { what: 'the copy' })
}

test('where the copy is not what was put there, nothing is sent and nothing let go', async () => {
  mkdirSync(join(dir, 'mount'))
  const running = spawnRrep([
    ...['tail', `127.0.0.1:${source.port}`, '--ship', repo, '--ship-every', '200ms'],
    ...['--rotate', '2kb', '--spool-dir', join(dir, 'spool')],
  ])
  await waitFor(() => running.err().includes('snapshot kept'), { what: 'the snapshot' })
  await shippedTo(running, await write())
  renameSync(join(dir, 'mount'), join(dir, 'away'))
  mkdirSync(join(dir, 'mount'))
  await write()
  await waitFor(() => running.err().includes('not sent'), { what: 'a warning' })
  rmSync(join(dir, 'mount'), { recursive: true })
  renameSync(join(dir, 'away'), join(dir, 'mount'))
  await shippedTo(running, await write())
  running.child.kill('SIGINT')
  await running.ended
  const verified = await runCli(['backup', 'verify', `${repo}@archive`])
  expect(verified.code, verified.err).toBe(0)
  const compared = await runCli(['diff', `${repo}@archive`, `127.0.0.1:${source.port}`])
  expect(compared.code, compared.err).toBe(0)
})
