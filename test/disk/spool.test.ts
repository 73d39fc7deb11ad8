import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Spool } from '../../src/disk/spool.js'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-spool-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

test('bytes come out in order, through memory and through the file', async () => {
  const spool = new Spool({ memoryBytes: 10_000, directory: dir })
  const data = randomBytes(5_000_000)
  const got: Buffer[] = []
  let most = 0
  const reading = (async () => {
    for await (const chunk of spool.chunks()) {
      got.push(Buffer.from(chunk))
      // A reader slower than the writer, now and then.
      if (got.length % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  for (let at = 0; at < data.length;) {
    const size = 1 + (data[at]! << 8)
    spool.write(data, at, Math.min(data.length, at + size))
    at += size
    most = Math.max(most, spool.spooledBytes)
    if (at % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  spool.end()
  await reading
  expect(Buffer.concat(got).equals(data)).toBe(true)
  expect(most).toBeGreaterThan(0)
  expect(spool.queuedBytes).toBe(0)
})

test('the file has no name, so nothing is left whatever happens', () => {
  const spool = new Spool({ memoryBytes: 0, directory: dir })
  spool.write(Buffer.alloc(100_000))
  expect(spool.spooledBytes).toBe(100_000)
  expect(readdirSync(dir)).toEqual([])
  spool.close()
})

test('a fault of the writer reaches the reader behind the last byte', async () => {
  const spool = new Spool({ memoryBytes: 100, directory: dir })
  spool.write(Buffer.from('abc'))
  spool.end(new Error('gone'))
  const got: string[] = []
  const reading = (async () => {
    for await (const chunk of spool.chunks()) got.push(chunk.toString())
  })()
  await expect(reading).rejects.toThrow('gone')
  expect(got).toEqual(['abc'])
})
