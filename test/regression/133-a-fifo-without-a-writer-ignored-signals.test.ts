/** rrep waited for the writer of a FIFO, and neither Ctrl-C nor kill ended it. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { spawnRrep } from '../helpers/rrep-process.js'
import { waitFor } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-fifo-signal-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function holds(pid: number, path: string): boolean {
  const place = `/proc/${pid}/fd`
  return readdirSync(place).some((fd) => {
    try {
      return readlinkSync(join(place, fd)) === path
    } catch {
      return false
    }
  })
}

test.skipIf(!existsSync('/proc/self/fd')).concurrent.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s ends the wait for a writer with %i, at once', async (signal, expected) => {
  const fifo = join(dir, signal)
  execFileSync('mkfifo', [fifo])
  const { child, ended } = spawnRrep(['inspect', fifo, '--check'])
  await waitFor(() => holds(child.pid!, fifo), { what: 'rrep at the FIFO' })
  const startMs = performance.now()
  child.kill(signal)
  const { code, err } = await ended
  expect({ code, err }).toEqual({ code: expected, err: 'rrep: interrupted\n' })
  expect(performance.now() - startMs).toBeLessThan(2000)
})
