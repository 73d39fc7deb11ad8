/**
 * A live migration was stopped as it should be, and its times were right. Called again when the
 * source's backlog had moved past it, it moved all expiries 1,115 years into the future (or turned
 * import-mode on) before it knew that it could not go on, and left them there.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { interrupt, runCli } from '../helpers/cli.js'
import { serverBinary, startServer, waitFor } from '../helpers/servers.js'

for (const prefix of ['redis-7.0', 'valkey-9']) {
  test(`a target of ${prefix} keeps its times when the stream cannot go on`, async ({ skip }) => {
    const binary = serverBinary(prefix)
    if (binary === undefined) return skip(`no ${prefix} on this machine`)
    const dir = mkdtempSync(join(tmpdir(), 'rrep-099-'))
    const source = await startServer({ args: ['--repl-backlog-size', '16kb'] })
    const target = await startServer({ binary })
    const call = [
      ...['replay', `127.0.0.1:${source.port}`, `127.0.0.1:${target.port}`],
      ...['--spool-dir', join(dir, 'spool')],
    ]
    const phase = async (): Promise<string | null> =>
      await target.client.hget('rrep:checkpoint', 'phase')
    try {
      await source.client.set('lasting', 'x', 'EX', 1000)
      const stop = new AbortController()
      const first = runCli(call, { signal: stop.signal })
      await waitFor(async () => (await phase()) === 'stream', { what: 'the stream' })
      interrupt(stop)
      expect((await first).code).toBe(130)
      expect(await phase()).toBe('stopped')

      for (let i = 0; i < 40; i += 1) await source.client.set(`k${i}`, 'x'.repeat(1000))
      const again = await runCli(call)
      expect(again.code).toBe(5)
      expect(again.err).toContain('--empty-target')
      expect(again.err).not.toMatch(/1,115 years|import-mode;/)
      const seconds = await target.client.ttl('lasting')
      expect(seconds).toBeLessThanOrEqual(1000)
      expect(seconds).toBeGreaterThan(900)
      expect(await phase()).toBe('stopped')
      const mode = await target.client.config('GET', 'import-mode')
      expect(mode[1] ?? 'no').toBe('no')
    } finally {
      await source.stop()
      await target.stop()
      rmSync(dir, { recursive: true, force: true })
    }
  })
}
