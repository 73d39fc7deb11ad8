/**
 * The target was restarted without its data in the middle of a load: replay said so and then never
 * ended, since connections that it had made anew stayed open.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { replay } from '../../src/verbs/replay/run.js'
import { startServer, waitFor } from '../helpers/servers.js'

test('replay ends, and lets go of the target, once it has said that it was restarted', async () => {
  const target = await startServer()
  const dir = mkdtempSync(join(tmpdir(), 'rrep-restarted-'))
  try {
    await target.client.call('DEBUG', 'POPULATE', '30000', 'key', '100')
    await target.client.save()
    const path = join(dir, 'dump.rdb')
    copyFileSync(join(target.dir, 'dump.rdb'), path)
    rmSync(join(target.dir, 'dump.rdb'))
    await target.client.flushall()
    const running = replay({ kind: 'file', path }, makeServerSettings(`127.0.0.1:${target.port}`), {
      rateBytesPerSecond: 1_000_000,
      retries: 20,
    })
    const failed = expect(running).rejects.toMatchObject({ code: 'ERR_TARGET_RESTARTED' })
    await waitFor(async () => (await target.client.dbsize()) > 1000, { what: 'the load to begin' })
    await target.kill('SIGKILL')
    await target.restart()
    await failed
    await waitFor(async () => !String(await target.client.client('LIST')).includes('name=rrep-'), {
      what: 'all connections to be closed',
      timeoutMs: 8000,
    })
  } finally {
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
