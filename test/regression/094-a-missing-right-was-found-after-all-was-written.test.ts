/**
 * A user who may not SCAN at the target: everything was written, and then the end failed, with all
 * expiries left 1,115 years ahead.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { serverBinary, startServer } from '../helpers/servers.js'

test('rights that a migration lacks are named as an ACL line before the first write', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-rights-'))
  const source = await startServer()
  const target = await startServer({ binary: serverBinary('redis-7.0')! })
  try {
    await source.client.set('k', 'x', 'EX', 1000)
    const call = (): ReturnType<typeof runCli> =>
      runCli(
        [
          ...['replay', `127.0.0.1:${source.port}`, `127.0.0.1:${target.port}`, '--until-quiet'],
          ...['--target-user', 'mig', '--spool-dir', dir],
        ],
        { env: { RREP_TARGET_AUTH: 'pw' } },
      )
    await target.client.call('ACL', 'SETUSER', 'mig', 'on', '>pw', '~*', '&*', '+@all', '-scan')
    const refused = await call()
    expect(refused.code).toBe(4)
    expect(refused.err).toContain('ACL SETUSER mig +scan')
    expect(await target.client.dbsize()).toBe(0)
    await target.client.call('ACL', 'SETUSER', 'mig', '-eval', '+scan')
    expect(await call()).toMatchObject({ code: 0 })
    expect(await target.client.ttl('k')).toBeLessThanOrEqual(1000)
  } finally {
    await source.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
