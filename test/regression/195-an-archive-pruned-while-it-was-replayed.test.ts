/** An archive was pruned while it was replayed, and rrep called that a bug of its own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-pruned-'))
let target: TestServer
beforeAll(async () => {
  target = await startServer()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('what was opened is read to its end, though its names are gone', async () => {
  const parts = join(dir, 'appendonlydir')
  mkdirSync(parts)
  const base = join(parts, 'a.aof.1.base.rdb')
  writeFileSync(base, Buffer.from(`REDIS0010\xfe\0\0\x04base\x01v\xff${'\0'.repeat(8)}`, 'latin1'))
  writeFileSync(
    join(parts, 'a.aof.1.incr.aof'),
    '*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$6\r\nbehind\r\n$1\r\nv\r\n',
  )
  writeFileSync(
    join(parts, 'a.aof.manifest'),
    'file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n',
  )
  let pruned = false
  const result = await runCli(['replay', dir, `127.0.0.1:${target.port}`], {
    onStderr: (chunk) => {
      if (pruned || !chunk.includes('target 127')) return
      pruned = true
      rmSync(parts, { recursive: true })
    },
  })
  expect(pruned).toBe(true)
  expect(result.code, result.err).toBe(0)
  expect(await target.client.mget('base', 'behind')).toEqual(['v', 'v'])
})
