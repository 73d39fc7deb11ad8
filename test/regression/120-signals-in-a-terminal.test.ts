/** A user pressed Ctrl-C while the spinner turned: rrep died on the spot and tidied nothing up. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CTRL_C, hasPty, spawnInPty, type PtyProcess } from '../helpers/pty.js'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'
import {
  framed,
  fullResync,
  startScriptedMaster,
  type ScriptedMaster,
} from '../helpers/scripted-master.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

/** A master that stops in the middle of its snapshot. */
const PAYLOAD = framed(rdbBytes({ body: rdbBody({ key: 'x'.repeat(5000) }) }), 'length')
let master: ScriptedMaster
let dir: string
const servers: TestServer[] = []

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-signals-'))
  master = await startScriptedMaster({
    onPsync: (connection) => {
      connection.send(fullResync(1))
      connection.send(PAYLOAD.subarray(0, 3000))
    },
  })
})

afterAll(async () => {
  await master.stop()
  for (const server of servers) await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

describe.skipIf(!hasPty)('in a terminal, while the spinner turns,', () => {
  const endings: [string, number, (rrep: PtyProcess) => void][] = [
    ['Ctrl-C', 130, (rrep) => rrep.type(CTRL_C)],
    ['SIGTERM', 143, (rrep) => rrep.kill('SIGTERM')],
    ['SIGHUP', 129, (rrep) => rrep.kill('SIGHUP')],
  ]
  test.concurrent.each(endings)(
    '%s ends sync with %i and leaves no temporary',
    async (name, code, end) => {
      const place = mkdtempSync(join(dir, 'sync-'))
      writeFileSync(join(place, 'dump.rdb'), 'the old dump')
      const rrep = await spawnInPty([
        'sync',
        `127.0.0.1:${master.port}`,
        '-o',
        join(place, 'dump.rdb'),
      ])
      await rrep.sees('receiving')
      await waitFor(() => readdirSync(place).length === 2, { what: 'the temporary' })
      const startMs = performance.now()
      end(rrep)
      const ended = await rrep.ended
      expect(ended.code, ended.screen).toBe(code)
      expect(ended.screen, name).toContain('interrupted')
      expect(readdirSync(place)).toEqual(['dump.rdb'])
      expect(ended.endedMs - startMs).toBeLessThan(2000)
    },
  )

  test.concurrent('a terminal that goes away leaves no temporary', async () => {
    const place = mkdtempSync(join(dir, 'sync-'))
    const rrep = await spawnInPty([
      'sync',
      `127.0.0.1:${master.port}`,
      '-o',
      join(place, 'dump.rdb'),
    ])
    await waitFor(() => readdirSync(place).length === 1, { what: 'the temporary' })
    await rrep.sees('receiving')
    rrep.hangUp()
    await waitFor(() => !rrep.isAlive(), { what: 'the end of rrep' })
    expect(readdirSync(place)).toEqual([])
  })

  test('Ctrl-C ends a live migration with the expiries put right', async () => {
    const source = await startServer()
    const target = await startServer()
    servers.push(source, target)
    await source.client.set('short', 'x', 'EX', 10_000)
    const rrep = await spawnInPty([
      'replay',
      `127.0.0.1:${source.port}`,
      `127.0.0.1:${target.port}`,
    ])
    await rrep.sees('stream: ')
    rrep.type(CTRL_C)
    const ended = await rrep.ended
    expect(ended.code, ended.screen).toBe(130)
    const ttl = await target.client.ttl('short')
    expect(ttl).toBeGreaterThan(9_000)
    expect(ttl).toBeLessThanOrEqual(10_000)
    expect(ended.screen).toContain('1 of 1 key')
  })
})
