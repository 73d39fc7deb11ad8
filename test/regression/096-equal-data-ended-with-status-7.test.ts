/**
 * Masters of 7.0 and 7.2 do not replicate how many entries a group has read, and servers up to 6.2
 * have no such counter: a migration of a queue ended with status 7 although nothing was missing.
 */
import type { ServerSettings } from '../../src/net/server-settings.js'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { Ledger } from '../../src/target/ledger.js'
import { lossText } from '../../src/target/loss-text.js'
import { replay } from '../../src/verbs/replay/run.js'
import { serverBinary, startServer, type TestServer } from '../helpers/servers.js'

test('a queue that is read during its migration is verified as the same', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-counters-'))
  const source = await startServer({ binary: serverBinary('redis-7.0')! })
  const target = await startServer({ binary: serverBinary('redis-7.0')! })
  const settings = (server: TestServer): ServerSettings =>
    makeServerSettings(`127.0.0.1:${server.port}`)
  try {
    for (let i = 0; i < 10; i += 1) await source.client.xadd('queue', '*', 'n', String(i))
    await source.client.xgroup('CREATE', 'queue', 'group', '0')
    let onLoaded = (): void => undefined
    const loaded = new Promise<void>((resolve) => (onLoaded = resolve))
    const running = replay({ kind: 'server', server: settings(source) }, settings(target), {
      spoolDir: dir,
      untilQuiet: true,
      verify: true,
      onEvent: ({ event }) => {
        if (event === 'loaded') onLoaded()
      },
    })
    await Promise.race([loaded, running])
    await source.client.xreadgroup('GROUP', 'group', 'me', 'COUNT', 5, 'STREAMS', 'queue', '>')
    const { complete, verified } = await running
    expect(complete).toBe(true)
    expect(verified).toMatchObject({ same: true, differences: { 'stream-counters': 1 } })
  } finally {
    await source.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})

test('counters that an old target has no place for are a note', () => {
  const ledger = new Ledger()
  ledger.notHeld(lossText('stream-counters'))
  expect(ledger.isComplete).toBe(true)
  expect(Object.keys(ledger.report().notes)).toHaveLength(1)
})
