/** A user redirected the output to a full disk and got a stack trace out of a minified bundle. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { spawnRrep } from '../helpers/rrep-process.js'

const DEMO = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-full-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A device of our own that is always full, as /dev/full is. */
const device = join(dir, 'full')
const canMakeDevices = spawnSync('mknod', [device, 'c', '1', '7']).status === 0

test
  .skipIf(!canMakeDevices)
  .concurrent.each([
    [['inspect', DEMO]],
    [['inspect', DEMO, '--csv']],
    [['inspect', DEMO, '--json']],
    [['--help']],
  ])('rrep %j on a full disk ends with 1 and says so in one line', async (args) => {
  const { ended } = spawnRrep(args, { prelude: `exec > ${device};`, stdout: 'pipe' })
  const { code, err } = await ended
  expect({ code, err }).toEqual({
    code: 1,
    err: expect.stringMatching(
      /^(rrep: cannot write the output: no space left on the disk\nhint: .*\n|\{"error":"ERR_DISK_FULL".*\}\n)$/,
    ) as string,
  })
})
