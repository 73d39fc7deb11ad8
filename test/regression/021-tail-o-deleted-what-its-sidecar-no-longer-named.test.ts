/**
 * With a cut or missing sidecar, or without a manifest, `tail -o` unlinked every snapshot and
 * increment that what was left did not name, before it had even connected.
 */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openArchive } from '../../src/archive/reader.js'
import { temporaryDirs, writeThreeBases } from '../helpers/archive-dirs.js'
import { runCli } from '../helpers/cli.js'

const cleanups: (() => unknown)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})
const newDir = temporaryDirs(cleanups)

const partsOf = (parts: string): string[] =>
  readdirSync(parts).filter((name) => /\.(rdb|aof)$/.test(name))

/** Port 1 answers nobody: it is the start that deleted. */
async function startOn(dir: string): Promise<{ code: number; err: string }> {
  return await runCli(['tail', '127.0.0.1:1', '-o', dir, '--retries', '0'])
}

const SIDECAR = 'rrep.json'
const MANIFEST = 'appendonly.aof.manifest'

test.each([
  ['its sidecar cut off', (parts: string) => truncateSync(join(parts, SIDECAR), 300)],
  ['its sidecar gone', (parts: string) => rmSync(join(parts, SIDECAR))],
  ['its manifest gone', (parts: string) => rmSync(join(parts, MANIFEST))],
])('an archive with %s keeps every file and every moment', async (_what, damage) => {
  const { dir, parts, states } = writeThreeBases(newDir)
  const before = partsOf(parts)
  damage(parts)
  const { err } = await startOn(dir)
  expect(partsOf(parts)).toEqual(before)
  expect(err).toContain('connect')
  const archive = openArchive(dir)
  for (const { replOffset } of states) expect(() => archive.at({ replOffset })).not.toThrow()
})

test('with neither manifest nor a sidecar that can be read nothing is begun in its place', async () => {
  const { dir, parts } = writeThreeBases(newDir)
  const before = partsOf(parts)
  rmSync(join(parts, MANIFEST))
  truncateSync(join(parts, SIDECAR), 300)
  const { code, err } = await startOn(dir)
  expect(code).toBe(1)
  expect(err).toContain('no manifest')
  expect(partsOf(parts)).toEqual(before)
})

test('files that nothing names are told and stay; only our own temporaries go', async () => {
  const { dir, parts } = writeThreeBases(newDir)
  const strange = ['appendonly.aof.99.base.rdb', 'temp-rewriteaof-bg-17.aof', 'notes.txt']
  for (const name of [...strange, 'temp-rrep.json', 'temp-appendonly.aof.4.base.rdb']) {
    writeFileSync(join(parts, name), 'x')
  }
  const { err } = await startOn(dir)
  const after = readdirSync(parts)
  expect(after).toEqual(expect.arrayContaining(strange))
  expect(after).not.toContain('temp-rrep.json')
  expect(after).not.toContain('temp-appendonly.aof.4.base.rdb')
  expect(err).toContain('nothing names appendonly.aof.99.base.rdb')
  expect(readFileSync(join(parts, 'appendonly.aof.99.base.rdb'), 'utf8')).toBe('x')
})
