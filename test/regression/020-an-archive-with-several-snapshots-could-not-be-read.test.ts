/**
 * After the second snapshot of `tail -o` (or a gap) an archive holds `rrep-before-N.manifest`
 * beside its manifest; inspect, export, replay and diff took that for a second set and refused,
 * and serve knew the newest snapshot only.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { join } from 'node:path'
import { temporaryDirs, writeThreeBases, type ThreeBases } from '../helpers/archive-dirs.js'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'
import { startServing } from '../helpers/serving.js'

const cleanups: (() => unknown)[] = []
let archive: ThreeBases
let target: TestServer
beforeAll(async () => {
  archive = writeThreeBases(temporaryDirs(cleanups))
  target = await startServer()
})
afterAll(async () => {
  await target.stop()
  for (const cleanup of cleanups) cleanup()
})

test.each(['directory', 'manifest'])('every command reads it, named by its %s', async (form) => {
  const path = form === 'directory' ? archive.dir : join(archive.parts, 'appendonly.aof.manifest')
  const inspected = await runCli(['inspect', path, '--json'])
  expect(JSON.parse(inspected.out)).toMatchObject({ keys: 2 })
  const exported = await runCli(['export', path, '--format', 'jsonl', '-o', '-'])
  expect(exported.out).toContain('"key":"n"')
  await target.client.flushall()
  const replayed = await runCli(['replay', path, `127.0.0.1:${target.port}`])
  expect(replayed).toMatchObject({ code: 0 })
  expect(await target.client.get('n')).toBe('12')
  const same = await runCli(['diff', path, `127.0.0.1:${target.port}`])
  expect(same).toMatchObject({ code: 0 })
})

test('replay and serve go back before the newest snapshot, by time and by offset', async () => {
  const state = archive.states[3]!
  const time = new Date(state.unixSeconds * 1000).toISOString()
  for (const until of [`offset:${state.replOffset}`, time]) {
    await target.client.flushall()
    const { code } = await runCli([
      'replay',
      archive.dir,
      `127.0.0.1:${target.port}`,
      '--until',
      until,
    ])
    expect(code).toBe(0)
    expect(await target.client.get('n')).toBe(state.n)
    expect(await target.client.get('base')).toBe('1')
  }
  const served = new Set<string>()
  for (const until of [{ offset: state.replOffset }, { unixMs: state.unixSeconds * 1000 }]) {
    const serving = await startServing({
      source: archive.dir,
      until,
    })
    try {
      expect(serving.handle.frozen?.rdb?.savedAtMs).toBe(archive.states[0]!.unixSeconds * 1000)
      // What is served decides it.
      served.add(serving.handle.replid)
      expect(serving.handle.frozen?.commands).toBe(5)
    } finally {
      await serving.stop()
    }
  }
  expect(served.size).toBe(1)
})

test('a moment before the first snapshot or behind the end is refused before anything is written', async () => {
  for (const until of ['offset:17', 'offset:99999999', '2020-01-01T00:00:00Z']) {
    await target.client.flushall()
    await target.client.set('mine', '1')
    const { code, err } = await runCli([
      'replay',
      archive.dir,
      `127.0.0.1:${target.port}`,
      '--until',
      until,
    ])
    expect(code, err).toBe(2)
    expect(await target.client.keys('*')).toEqual(['mine'])
  }
})
