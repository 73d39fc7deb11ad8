/** A process that was killed while it noted a time left a part of it in the spool; the times that a
 * later run noted behind it were then read from the wrong byte on. */
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { StreamSpool } from '../../src/verbs/replay/live/stream-spool.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-times-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('times noted after a kill are read as they were noted', () => {
  const beganMs = Date.now()
  const directory = join(dir, 'spool')
  const opened = (): StreamSpool => new StreamSpool({ directory, source: 'server:a' })
  const bytes = Buffer.from('0123456789')

  const first = opened()
  first.beginStream('a'.repeat(40), 1000)
  first.append(bytes, 0, bytes.length)
  first.close()
  appendFileSync(join(directory, 'stream-1000.times'), 'half')

  const second = opened()
  second.append(bytes, 0, bytes.length)
  second.close()

  const third = opened()
  try {
    expect(third.nextReplOffset).toBe(1020)
    for (const replOffset of [1005, 1015]) {
      expect(third.receivedMs(replOffset)).toBeGreaterThanOrEqual(beganMs)
      expect(third.receivedMs(replOffset)).toBeLessThanOrEqual(Date.now())
    }
    const read = Buffer.alloc(20)
    expect(third.read(1000, read)).toBe(20)
    expect(read.toString()).toBe('01234567890123456789')
  } finally {
    third.remove()
  }
})
