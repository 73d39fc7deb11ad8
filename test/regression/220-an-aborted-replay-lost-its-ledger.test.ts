/** Found by a reader: the reason of an abort was thrown in place of the error that the ledger hung on. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  archive,
  backup,
  DEPTH,
  ledgerOfFailure,
  readRdb,
  replay,
  restoreTo,
  sync,
  verifyBackup,
  walkRdb,
} from '../../src/index.js'
import { startServer } from '../helpers/servers.js'

test('whatever the reason is, the ledger of an aborted replay is told', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-220-'))
  const [source, target] = await Promise.all([startServer(), startServer()])
  try {
    await source.client.call('DEBUG', 'POPULATE', 200_000, 'key', 200)
    const dump = join(dir, 'dump.rdb')
    await sync(`redis://127.0.0.1:${source.port}`, { output: dump })
    const abort = new AbortController()
    const reason = { why: 'enough' }
    const running = replay(dump, `redis://127.0.0.1:${target.port}`, {
      signal: abort.signal,
      onProgress: ({ done }) => {
        if (done > 0) abort.abort(reason)
      },
    })
    await expect(running).rejects.toBe(reason)
    const ledger = ledgerOfFailure(reason)
    expect(ledger).toBeDefined()
    expect(ledger!.keys.read).toBeGreaterThan(0)

    const repo = join(dir, 'repo')
    await backup(`redis://127.0.0.1:${source.port}`, { to: repo })
    const signal = AbortSignal.abort(reason)
    await expect(verifyBackup(repo, { signal })).rejects.toBe(reason)
    await expect(restoreTo(repo, join(dir, 'data'), { signal })).rejects.toBe(reason)
    await expect(walkRdb(dump, { key: () => DEPTH.SKIP }, { signal })).rejects.toBe(reason)
    await expect(readRdb(dump, { signal }).next()).rejects.toBe(reason)
    const kept = join(dir, 'kept')
    const live = `redis://127.0.0.1:${source.port}`
    await expect(archive(live, { dir: kept, signal })).rejects.toBe(reason)
    expect(existsSync(kept)).toBe(false)
  } finally {
    await Promise.all([source.stop(), target.stop()])
    rmSync(dir, { recursive: true, force: true })
  }
})
