/** What is sound of a damaged dump came out as text only, not as a dump that a server loads. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { fixtureFiles, parseStates } from '../helpers/fixtures.js'
import { serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-292-'))
let server: TestServer
beforeAll(async () => {
  server = await startServer({
    binary: serverBinary('redis-7.0')!,
    args: ['--dbfilename', 'in.rdb', '--databases', '20000'],
  })
})
afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

const damaged = fixtureFiles('.rdb').filter(({ name }) => name.startsWith('corrupt'))

test('there are damaged files', () => expect(damaged.length).toBeGreaterThan(10))

for (const { name, path } of damaged) {
  test(`${name}: what comes out is sound, and a server loads it`, async () => {
    const out = join(dir, 'out.rdb')
    rmSync(out, { force: true })
    const args = ['--salvage', '--format', 'rdb', '--for', 'redis-7.0', '--on-conflict', 'first']
    const result = await runCli(['export', path, ...args, '-o', out, '--json'])
    // Of some not even the head is there: nothing may come out of these.
    const told = result.out === '' ? undefined : (JSON.parse(result.out) as Told)
    if (told === undefined) {
      expect(result.code).not.toBe(0)
      return
    }
    const text = await runCli(['export', path, '--salvage', '--strings', 'base64', '-q'])
    const sound = new Set(parseStates(text.out).map(({ db, key }) => `${db} ${key}`))
    expect(told.keys.written).toBe(sound.size)
    copyFileSync(out, join(server.dir, 'in.rdb'))
    expect(await server.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
    expect((await runCli(['inspect', '--check', out])).code).toBe(0)
  })
}

interface Told {
  keys: { written: number }
}
