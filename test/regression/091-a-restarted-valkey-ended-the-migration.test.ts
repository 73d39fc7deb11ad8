/**
 * A Valkey target that was restarted has forgotten its import-mode: the migration ended with
 * "refused CLIENT: ERR Server is not in import mode".
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { replay } from '../../src/verbs/replay/run.js'
import { startWriter } from '../helpers/relay-fleet.js'
import { digest, serverBinary, startServer, waitFor } from '../helpers/servers.js'

for (const prefix of ['valkey-8.1', 'valkey-9']) {
  test(`a migration into ${prefix} rides out a restart of the target`, async ({ skip }) => {
    const binary = serverBinary(prefix)
    if (binary === undefined) return skip(`no ${prefix} on this machine`)
    const dir = mkdtempSync(join(tmpdir(), 'rrep-valkey-'))
    const source = await startServer({ args: ['--repl-backlog-size', '64mb'] })
    const target = await startServer({ binary, args: ['--appendonly', 'yes'] })
    const writer = startWriter(source.port, 1000)
    const stop = new AbortController()
    try {
      const running = replay(
        { kind: 'server', server: makeServerSettings(`127.0.0.1:${source.port}`) },
        makeServerSettings(`127.0.0.1:${target.port}`),
        { signal: stop.signal, spoolDir: join(dir, 'spool'), retries: 20 },
      )
      const outcome = running.catch((error: unknown) => error)
      const follows = async (): Promise<boolean> =>
        (await target.client.hget('rrep:checkpoint', 'phase')) === 'stream'
      await waitFor(follows, { what: 'the stream' })
      await target.restart()
      await waitFor(
        async () =>
          String(await target.client.call('CONFIG', 'GET', 'import-mode')).includes('yes'),
        { what: 'import-mode again' },
      ).catch(async () => expect(await outcome).toBe('a migration that goes on'))
      await writer.stop()
      const at = /master_repl_offset:(\d+)/.exec(await source.client.info('replication'))?.[1]
      await waitFor(
        async () => Number(await target.client.hget('rrep:checkpoint', 'offset')) > Number(at),
        { what: 'the target to have it all' },
      )
      stop.abort('SIGINT')
      expect(await outcome).toMatchObject({ complete: true, stopped: true })
      await target.client.del('rrep:checkpoint')
      expect(await target.client.call('CONFIG', 'GET', 'import-mode')).toEqual([
        'import-mode',
        'no',
      ])
      expect(await digest(target)).toBe(await digest(source))
    } finally {
      await writer.stop()
      await source.stop()
      await target.stop()
      rmSync(dir, { recursive: true, force: true })
    }
  })
}
