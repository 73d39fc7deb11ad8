/**
 * `replay --until TIME` refused an AOF by itself that has no `#TS:` lines, but not behind a
 * preamble, compressed, or through a pipe; `serve --until TIME` served all of it.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { respCommand, smallRdb, START_SECONDS, temporaryDirs } from '../helpers/archive-dirs.js'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'
import { startServing } from '../helpers/serving.js'

const UNTIL = new Date((START_SECONDS + 5) * 1000)
const cleanups: (() => unknown)[] = []
let target: TestServer
let dir: string
beforeAll(async () => {
  dir = temporaryDirs(cleanups)()
  target = await startServer()
})
afterAll(async () => {
  await target.stop()
  for (const cleanup of cleanups) cleanup()
})

const commands = Buffer.from(respCommand('SELECT', '0') + respCommand('SET', 'k', 'late'))
const preamble = (): Buffer => {
  const rdb = smallRdb({ k: 'early' }, START_SECONDS, { 'aof-base': 1 })
  return Buffer.concat([rdb, commands])
}

const forms: Record<string, () => Buffer> = {
  'commands.aof': () => commands,
  'preamble.aof': preamble,
  'commands.aof.gz': () => gzipSync(commands),
}

test.each(Object.keys(forms))('%s: replay and serve refuse it alike', async (name) => {
  const path = join(dir, name)
  writeFileSync(path, forms[name]!())
  for (const more of [[], ['--empty-target', '--yes']]) {
    await target.client.flushall()
    const at = `127.0.0.1:${target.port}`
    const refused = await runCli(['replay', path, at, '--until', UNTIL.toISOString(), ...more])
    expect(refused, refused.err).toMatchObject({ code: 2 })
    expect(refused.err).toContain('have no times')
    expect(await target.client.exists('k')).toBe(0)
  }
  const until = { unixMs: UNTIL.getTime() }
  const serving = startServing({ source: path, until })
  await expect(serving).rejects.toMatchObject({ reason: 'no-times' })
})

test('a pipe is refused at its first command', async () => {
  await target.client.flushall()
  const refused = await runCli(
    ['replay', '-', `127.0.0.1:${target.port}`, '--until', UNTIL.toISOString()],
    { stdin: commands },
  )
  expect(refused, refused.err).toMatchObject({ code: 2 })
  expect(await target.client.exists('k')).toBe(0)
})

test('commands without a time in front of the first time belong to before it', async () => {
  await target.client.flushall()
  const path = join(dir, 'switched-on.aof')
  const later = `#TS:${START_SECONDS + 60}\r\n${respCommand('SET', 'k', 'later')}`
  writeFileSync(path, Buffer.concat([commands, Buffer.from(later)]))
  const at = `127.0.0.1:${target.port}`
  expect(await runCli(['replay', path, at, '--until', UNTIL.toISOString()])).toMatchObject({
    code: 0,
  })
  expect(await target.client.get('k')).toBe('late')
})
