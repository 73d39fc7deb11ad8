/** A replay that went on behind a base counted the base's keys as written by this run, once more. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-resumed-'))
let target: TestServer
beforeAll(async () => {
  target = await startServer()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('the ledger of a run that goes on has what this run wrote', async () => {
  const parts = join(dir, 'appendonlydir')
  mkdirSync(parts)
  writeFileSync(
    join(parts, 'a.aof.1.base.rdb'),
    Buffer.from(`REDIS0010\xfe\0\0\x04base\x01v\xff${'\0'.repeat(8)}`, 'latin1'),
  )
  writeFileSync(
    join(parts, 'a.aof.manifest'),
    'file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n',
  )
  const increment = join(parts, 'a.aof.1.incr.aof')
  const commands = '*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$6\r\nbehind\r\n$1\r\nv\r\n'
  const replayed = async (): Promise<{ code: number; err: string; out: string }> =>
    await runCli(['replay', dir, `127.0.0.1:${target.port}`, '--json'])

  writeFileSync(increment, 'no command\r\n')
  const broken = await replayed()
  expect(broken.code, broken.err).not.toBe(0)
  expect(await target.client.mget('base', 'behind')).toEqual(['v', null])

  writeFileSync(increment, commands)
  const resumed = await replayed()
  expect(resumed.code, resumed.err).toBe(0)
  expect(await target.client.mget('base', 'behind')).toEqual(['v', 'v'])
  const result = JSON.parse(resumed.out.trim().split('\n').at(-1)!) as {
    keys: Record<string, number>
    commands: Record<string, number>
  }
  expect(result.keys).toMatchObject({ read: 0, written: 0 })
  expect(result.commands).toMatchObject({ written: 1 })
})
