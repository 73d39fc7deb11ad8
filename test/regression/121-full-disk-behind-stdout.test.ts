/** A user redirected the output to a full disk and got a stack trace out of a minified bundle. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { startScriptedMaster, type ScriptedMaster } from '../helpers/scripted-master.js'

const DEMO = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-full-'))
let master: ScriptedMaster
beforeAll(async () => {
  master = await startScriptedMaster({ payload: rdbBytes({ body: rdbBody({ key: 'x' }) }) })
})
afterAll(async () => {
  await master.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** A device of our own that is always full, as /dev/full is. */
const device = join(dir, 'full')
const canMakeDevices = spawnSync('mknod', [device, 'c', '1', '7']).status === 0

test
  .skipIf(!canMakeDevices)
  .concurrent.each([
    [['inspect', DEMO]],
    [['inspect', DEMO, '--csv']],
    [['inspect', DEMO, '--json']],
    [['sync', 'MASTER', '-o', '-', '--retries', '0']],
    [['--help']],
  ])('rrep %j on a full disk ends with 1 and says so in one line', async (given) => {
  const args = given.map((each) => (each === 'MASTER' ? `127.0.0.1:${master.port}` : each))
  const { ended } = spawnRrep(args, { prelude: `exec > ${device};`, stdout: 'pipe' })
  const { code, err } = await ended
  expect({ code, err }).toEqual({
    code: 1,
    err: expect.stringMatching(
      /^(rrep: cannot write the output: no space left on the disk\nhint: .*\n|\{"error":"ERR_DISK_FULL".*\}\n)$/,
    ) as string,
  })
})
