/** `tail --ship REPO` without `-o` removed everything in its spool when all had arrived, also what others had put there. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { startServer, waitFor } from '../helpers/servers.js'

test('what is not of the archive stays, all that is of it goes', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-443-'))
  const source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  try {
    await source.client.set('key', 'value')
    const spools = join(dir, 'spools')
    const repo = join(dir, 'repo')
    const running = spawnRrep([
      ...['tail', `127.0.0.1:${source.port}`, '--ship', repo, '--ship-every', '200ms'],
      ...['--spool-dir', spools],
    ])
    await waitFor(() => running.err().includes('everything up to offset'), { what: 'the copy' })
    const [name] = readdirSync(spools)
    const parts = join(spools, name!, 'appendonlydir')
    writeFileSync(join(parts, 'notes.txt'), 'mine')
    running.child.kill('SIGINT')
    expect((await running.ended).code).toBe(130)
    expect(readdirSync(parts)).toEqual(['notes.txt'])
    rmSync(join(parts, 'notes.txt'))
    // The next one begins in what is left of it, and leaves nothing.
    const next = spawnRrep([
      ...['tail', `127.0.0.1:${source.port}`, '--ship', repo, '--ship-every', '200ms'],
      ...['--spool-dir', spools],
    ])
    await source.client.set('key', 'other')
    await waitFor(() => next.err().includes('everything up to offset'), { what: 'the copy' })
    next.child.kill('SIGINT')
    await next.ended
    expect(existsSync(parts)).toBe(false)
    const shown = await runCli(['export', `${repo}@archive`, '--format', 'jsonl'])
    expect(shown.out).toContain('"value":"other"')
  } finally {
    await source.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
