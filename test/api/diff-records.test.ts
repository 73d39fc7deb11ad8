/** Parts are made by the bytes of names too: few keys with long names are many bytes. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DiffRecords } from '../../src/api/diff-records.js'
import type { KeyHeader } from '../../src/rdb/visitor.js'

let dir: string
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'rrep-records-'))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('long names are compared in parts that are small, and files for their owner only', () => {
  const nameBytes = 1 << 20
  const keys = 64
  const records = new DiffRecords(dir, { keys: 2 * keys, nameBytes: 2 * keys * nameBytes })
  const digest = { nameHigh: 1, nameLow: 0, valueHigh: 1, valueLow: 2, fieldExpiry: 0, counters: 0 }
  for (let i = 0; i < keys; i += 1) {
    const bytes = Buffer.alloc(nameBytes, i)
    const header = { dbnum: 0, kind: 0, key: { bytes, start: 0, end: nameBytes } }
    const of = { ...digest, nameLow: i * 7919, hasCounters: false, expireAtMs: -1 }
    records.a.add(of, header as KeyHeader)
    if (i !== 5) records.b.add(of, header as KeyHeader)
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
