/** What stands behind the end of a dump was not written by its server: --check says so. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const dump = readFileSync(join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb'))

test('bytes behind the end are told with their place, and the file without them is sound', async () => {
  const more = await runCli(['inspect', '-', '--check'], {
    stdin: Buffer.concat([dump, Buffer.alloc(1000, 0x5a)]),
  })
  expect(more.code).toBe(6)
  expect(more.err).toContain('1000 bytes stand behind the end')
  expect(more.err).toContain(`byte ${dump.length}`)
  const sound = await runCli(['inspect', '-', '--check'], { stdin: dump })
  expect(sound.code).toBe(0)
  expect(sound.out).toContain('sound')
})
