/** Found by a reader: the guard looked at the backup before only, so a second empty one was no loss. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readCatalogue } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startServer } from '../helpers/servers.js'

test('the guard holds each night, restore checks the bytes, and an old name is not hidden', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-270-'))
  const repo = join(dir, 'repo')
  const server = await startServer()
  const address = `127.0.0.1:${server.port}`
  const keys = async (): Promise<number[]> =>
    (await readCatalogue(repo, 'a')).backups.map(({ record }) => record.keys)
  const take = async (name: string): Promise<number> =>
    (await runCli(['backup', address, '--to', repo, '--name', name, '--keep-last', '1'])).code
  try {
    await server.client.call('DEBUG', 'POPULATE', 100)
    expect(await take('a')).toBe(0)
    await server.client.flushall()
    expect([await take('a'), await take('a'), await take('a')]).toEqual([8, 8, 8])
    expect(await keys()).toEqual([100, 0, 0, 0])
    // The keys are back: all is as before.
    await server.client.call('DEBUG', 'POPULATE', 90)
    expect(await take('a')).toBe(0)
    expect(await keys()).toEqual([90])

    const [only] = (await readCatalogue(repo, 'a')).backups
    const dump = join(only!.directory, 'dump.rdb')
    const bytes = readFileSync(dump)
    bytes[bytes.length - 20]! ^= 1
    writeFileSync(dump, bytes)
    const restored = await runCli(['restore', `${repo}/a@latest`, join(dir, 'data')])
    expect([restored.code, restored.err]).toEqual([6, expect.stringContaining('another hash')])

    await server.client.set('k', 'v')
    expect(await take('b')).toBe(0)
    const agoMs = Date.now() - Date.parse(only!.record.startedAt)
    const newerMs = Date.now() - (await readCatalogue(repo, 'b')).backups[0]!.atMs
    const between = `${Math.floor((agoMs + newerMs) / 2)}ms`
    const listed = await runCli(['backup', 'list', repo, '--max-age', between])
    expect([listed.code, listed.err]).toEqual([7, expect.stringContaining('backup of a is older')])
  } finally {
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
