/**
 * A wrong host in a unit file mixed two databases: `tail -o` of another server took a new snapshot
 * into the archive, said "gap", and with --keep pushed the first server's snapshots out. Names in
 * a sidecar could be paths, and --keep deleted what they led to. And a snapshot without a checksum
 * became the newest base however damaged it was, so that no server started on the archive.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openArchive } from '../../src/archive/reader.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { archive, type ArchiveEvent } from '../../src/verbs/tail/archive.js'
import { smallRdb, START_SECONDS, temporaryDirs, writeThreeBases } from '../helpers/archive-dirs.js'
import { rdbBytes } from '../helpers/rdb-bytes.js'
import { startScriptedMaster, type ScriptedMaster } from '../helpers/scripted-master.js'
import { waitFor } from '../helpers/servers.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
const newDir = temporaryDirs(cleanups)

async function newMaster(payload: Uint8Array): Promise<ScriptedMaster> {
  const master = await startScriptedMaster({ payload, replOffset: 50 })
  cleanups.push(() => master.stop())
  return master
}

interface Running {
  events: ArchiveEvent[]
  stop: () => Promise<unknown>
  ended: Promise<unknown>
}

function keep(port: number, dir: string, options: object = {}): Running {
  const controller = new AbortController()
  const events: ArchiveEvent[] = []
  const ended = archive(makeServerSettings(`127.0.0.1:${port}`), {
    dir,
    retries: 0,
    signal: controller.signal,
    onEvent: (event) => events.push(event),
    ...options,
  }).catch((error: unknown) => error)
  const stop = async (): Promise<unknown> => {
    controller.abort()
    return await ended
  }
  cleanups.push(stop)
  return { events, stop, ended }
}

const GOOD = smallRdb({ k: 'v' }, START_SECONDS)

test('another server is refused, and the archive is as it was; adopting is meant', async () => {
  const { dir, parts } = writeThreeBases(newDir)
  const before = readdirSync(parts)
  const master = await newMaster(GOOD)
  expect(await keep(master.port, dir).ended).toMatchObject({
    code: 'ERR_USAGE',
    message: expect.stringContaining('was kept from 127.0.0.1:6379') as string,
  })
  expect(readdirSync(parts).sort()).toEqual(before.sort())
  const adopting = keep(master.port, dir, { adopt: true })
  await waitFor(() => adopting.events.some(({ event }) => event === 'snapshot'), {
    what: 'its snapshot',
  })
  await adopting.stop()
  expect(adopting.events.map(({ event }) => event)).toContain('gap')
  expect(openArchive(dir)).toMatchObject({ source: `127.0.0.1:${master.port}` })
  expect(openArchive(dir).windows).toHaveLength(2)
})

test('a path in a sidecar leads nowhere, whatever --keep lets go', async () => {
  const { dir, parts } = writeThreeBases(newDir)
  mkdirSync(join(dir, 'other'))
  const victim = join(dir, 'other', 'victim')
  writeFileSync(victim, 'precious')
  const sidecar = join(parts, 'rrep.json')
  const text = readFileSync(sidecar, 'utf8')
  writeFileSync(sidecar, text.replace('"appendonly.aof.1.base.rdb"', '"../other/victim"'))
  const master = await newMaster(GOOD)
  const running = keep(master.port, dir, { adopt: true, keep: { bases: 1 } })
  await waitFor(() => running.events.some(({ event }) => event === 'pruned'), { what: 'a pruning' })
  await running.stop()
  expect(existsSync(victim)).toBe(true)
  expect(running.events).toContainEqual({
    event: 'warning',
    message: expect.stringContaining('names a file by a path') as string,
  })
})

test('a damaged snapshot without a checksum does not become the newest base', async () => {
  const dir = join(newDir(), 'archive')
  // A set of integers that claims five of them and holds none.
  const broken = Buffer.from('fe000b016b080200000005000000', 'hex')
  const bad = await newMaster(rdbBytes({ body: broken, checksum: 'zero' }))
  const failed = await keep(bad.port, dir).ended
  expect(failed).toMatchObject({ name: 'RdbError', code: 'ERR_RDB_CORRUPT' })
  expect(existsSync(join(dir, 'appendonlydir/appendonly.aof.manifest'))).toBe(false)
  const whole = Buffer.from('fe000b016b0a02000000010000000500', 'hex')
  const good = await newMaster(rdbBytes({ body: whole, checksum: 'zero' }))
  const running = keep(good.port, dir)
  await waitFor(() => running.events.some(({ event }) => event === 'snapshot'), {
    what: 'a snapshot that is whole',
  })
  await running.stop()
  expect(openArchive(dir).at('end').base).toBeDefined()
})
