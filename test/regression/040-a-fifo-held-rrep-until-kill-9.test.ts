/** A named FIFO as input: it is read like a pipe, and a signal ends the wait for its writer. */
import { execFileSync } from 'node:child_process'
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { interrupt, runCli } from '../helpers/cli.js'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-fifo-'))
const fifo = join(dir, 'fifo')
execFileSync('mkfifo', [fifo])
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('a FIFO without a writer is waited for until the user interrupts', async () => {
  const stop = new AbortController()
  const running = runCli(['inspect', fifo, '--check'], { signal: stop.signal })
  setTimeout(() => interrupt(stop), 100)
  expect((await running).code).toBe(130)
})

test('what a writer puts into a FIFO is read', async () => {
  const running = runCli(['inspect', fifo, '--check'])
  createReadStream(DUMP).pipe(createWriteStream(fifo))
  const { code, out } = await running
  expect([code, out]).toEqual([0, expect.stringContaining('sound')])
})
