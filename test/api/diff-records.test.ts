/** Parts are made by the bytes of names too: few keys with long names are many bytes. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { RECORD } from '../../src/analyze/digest-kernel.js'
import { DiffRecords } from '../../src/api/diff-records.js'

let dir: string
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'rrep-records-'))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('long names are compared in parts that are small, and files for their owner only', () => {
  const nameBytes = 1 << 20
  const keys = 64
  const records = new DiffRecords(dir, { keys: 2 * keys, nameBytes: 2 * keys * nameBytes })
  const record = Buffer.alloc(RECORD.BYTES)
  record.writeUInt32LE(nameBytes, RECORD.NAME_BYTES)
  record.writeDoubleLE(-1, RECORD.EXPIRE_AT)
  for (let i = 0; i < keys; i += 1) {
    const name = { bytes: Buffer.alloc(nameBytes, i), start: 0, end: nameBytes }
    record.writeUInt32LE(i * 7919, RECORD.NAME + 4)
    records.a.add(record, 0, name)
    if (i !== 5) records.b.add(record, 0, name)
  }
  const files = readdirSync(dir).map((name) => statSync(join(dir, name)))
  expect(files.length).toBeGreaterThan(8)
  for (const { size, mode } of files) {
    expect(size).toBeLessThan(24 << 20)
    expect(mode & 0o777).toBe(0o600)
  }
  const found: [string, number][] = []
  records.compare(0, 0, {
    expired: () => undefined,
    twice: () => undefined,
    different: (differences) => {
      for (const each of differences) found.push([each.kind, each.key[0]!])
    },
  })
  expect(found).toEqual([['missing-in-b', 5]])
})
