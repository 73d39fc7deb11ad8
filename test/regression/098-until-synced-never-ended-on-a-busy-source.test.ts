/**
 * `--until-synced` waited for a second without any write: of a source with 100 writes a second it
 * never ended.
 */
import type { ServerSettings } from '../../src/net/server-settings.js'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { replay, type ReplayEvent } from '../../src/verbs/replay/run.js'
import { startWriter } from '../helpers/relay-fleet.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

test('a migration ends in step with a source that is written to all the time', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-busy-'))
  const source = await startServer()
  const target = await startServer()
  const settings = (server: TestServer): ServerSettings =>
    makeServerSettings(`127.0.0.1:${server.port}`)
  const writer = startWriter(source.port, 200)
  try {
    await waitFor(() => writer.writes > 50, { what: 'writes' })
    const events: ReplayEvent[] = []
    const { complete, stopped } = await replay(
      { kind: 'server', server: settings(source) },
      settings(target),
      {
        spoolDir: dir,
        untilSynced: true,
        signal: AbortSignal.timeout(30_000),
        onEvent: (event) => events.push(event),
      },
    )
    expect({ complete, stopped }).toEqual({ complete: true, stopped: false })
    expect(events.at(-1)).toMatchObject({ event: 'synced', same: true })
    const before = writer.writes
    await waitFor(() => writer.writes > before, { what: 'a source that is busy still' })
  } finally {
    await writer.stop()
    await source.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
