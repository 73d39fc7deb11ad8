/**
 * The source failed over while a migration was stopped: its promoted replica, which has the same
 * history, was refused as "the checkpoint of another replay".
 */
import type { ServerSettings } from '../../src/net/server-settings.js'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { replay, type ReplayEvent } from '../../src/verbs/replay/run.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'

test('a migration goes on from the replica that was promoted', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-failover-'))
  const master = await startServer()
  const replica = await startServer({ args: ['--replicaof', `127.0.0.1 ${master.port}`] })
  const target = await startServer()
  const settings = (server: TestServer): ServerSettings =>
    makeServerSettings(`127.0.0.1:${server.port}`)
  const stop = new AbortController()
  try {
    await master.client.set('a', '1', 'EX', 1000)
    const first = replay({ kind: 'server', server: settings(master) }, settings(target), {
      spoolDir: dir,
      signal: stop.signal,
    })
    await master.client.incr('n')
    await waitFor(async () => (await target.client.get('n')) === '1', { what: 'the stream' })
    stop.abort('SIGINT')
    expect(await first).toMatchObject({ stopped: true })
    await master.client.incr('n')
    await waitFor(async () => (await replica.client.get('n')) === '2', { what: 'the replica' })
    await replica.client.replicaof('NO', 'ONE')
    await master.kill('SIGKILL')
    await replica.client.incr('n')
    const events: ReplayEvent[] = []
    const second = await replay({ kind: 'server', server: settings(replica) }, settings(target), {
      spoolDir: dir,
      untilQuiet: true,
      onEvent: (event) => events.push(event),
    })
    expect(second).toMatchObject({ complete: true, ledger: { keys: { read: 0 } } })
    expect(events.at(-1)).toMatchObject({ event: 'synced', same: true })
    expect(await target.client.get('n')).toBe('3')
    expect(await digest(target)).toBe(await digest(replica))
  } finally {
    await master.stop()
    await replica.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
