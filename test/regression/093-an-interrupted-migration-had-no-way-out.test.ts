/**
 * A live migration was killed and could not go on, since the source's backlog had moved past it:
 * each further call named itself as what puts expiries right, and an option that replay does not
 * have. All expiries stayed 1,115 years off, or import-mode on.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, serverBinary, startServer, waitFor } from '../helpers/servers.js'

for (const prefix of ['redis-7.0', 'valkey-9']) {
  test(`what a killed migration left in ${prefix} is put right by --finish, or begun anew`, async ({
    skip,
  }) => {
    const binary = serverBinary(prefix)
    if (binary === undefined) return skip(`no ${prefix} on this machine`)
    const dir = mkdtempSync(join(tmpdir(), 'rrep-finish-'))
    const source = await startServer({ args: ['--repl-backlog-size', '16kb'] })
    const target = await startServer({ binary })
    const address = `127.0.0.1:${target.port}`
    const call = ['replay', `127.0.0.1:${source.port}`, address, '--until-quiet']
    const anew = join(dir, 'anew')
    let rrep: ReturnType<typeof spawnRrep> | undefined
    try {
      await source.client.set('lasting', 'x', 'EX', 1000)
      rrep = spawnRrep([...call.slice(0, 3), '--spool-dir', join(dir, 'spool')])
      await waitFor(
        async () => (await target.client.hget('rrep:checkpoint', 'phase')) === 'stream',
        { what: 'the stream' },
      )
      const atWork = await runCli(['replay', '--finish', address])
      expect(atWork).toMatchObject({ code: 7 })
      expect(atWork.err).toContain('at work')
      rrep.child.kill('SIGKILL')
      await rrep.ended
      for (let i = 0; i < 40; i += 1) await source.client.set(`k${i}`, 'x'.repeat(1000))
      rmSync(join(dir, 'spool'), { recursive: true, force: true })

      const again = await runCli([...call, '--spool-dir', join(dir, 'spool')])
      expect(again.code).toBe(5)
      expect(again.err).toContain('--finish TARGET')
      expect(again.err).toContain('--empty-target')
      expect(again.err).not.toMatch(/no-full-sync|same call again|caught up/)

      const finish = await runCli(['replay', '--finish', address, '--json'])
      expect(finish.code).toBe(0)
      const told = JSON.parse(finish.out) as Record<string, unknown>
      expect(told).toMatchObject({ event: 'finished', checkpoint: { phase: 'stream' } })
      expect(told).toMatchObject(
        prefix.startsWith('valkey') ? { importModeEnded: true } : { expiries: 1 },
      )
      expect(await target.client.ttl('lasting')).toBeLessThanOrEqual(1000)
      expect(await target.client.ttl('lasting')).toBeGreaterThan(900)
      expect(await target.client.keys('rrep:*')).toEqual([])
      const twice = await runCli(['replay', '--finish', address])
      expect(twice.err).toContain('nothing to put right')
      expect(twice.code).toBe(0)

      const over = await runCli([...call, '--empty-target', '--yes', '--spool-dir', anew])
      expect(over.code).toBe(0)
      expect(over.err).toContain('source and target are the same')
      expect(await digest(target)).toBe(await digest(source))
    } finally {
      rrep?.child.kill('SIGKILL')
      await source.stop()
      await target.stop()
      rmSync(dir, { recursive: true, force: true })
    }
  })
}
