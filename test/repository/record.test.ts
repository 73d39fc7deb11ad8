import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  backupId,
  isName,
  parseRecord,
  timeOfId,
  writeRecord,
} from '../../src/repository/record.js'

const RECORD = {
  id: '20261126T160430Z-b40cd397',
  name: 'prod',
  source: '127.0.0.1:6379',
  startedAt: '2026-11-26T16:04:30.000Z',
  finishedAt: '2026-11-26T16:04:31.000Z',
  rdbVersion: 10,
  keys: 1,
  expires: 0,
  databases: { '0': { keys: 1, expires: 0 } },
  tags: [],
  files: [{ file: 'dump.rdb', bytes: 9, sha256: 'a'.repeat(64), keys: 1, expires: 0 }],
  isCluster: false,
}

test('a record comes back as it was written', () => {
  expect(parseRecord(writeRecord(RECORD))).toEqual({ format: 1, ...RECORD })
})

test('ids carry their time', () => {
  const at = new Date('2026-11-26T16:04:30.123Z')
  const id = backupId(at, 'b40cd397')
  expect(id).toBe(RECORD.id)
  expect(timeOfId(id)).toBe(at.getTime() - 123)
  expect(timeOfId('../x')).toBeUndefined()
})

test.each([
  { name: '../prod' },
  { name: '' },
  { id: '../../etc' },
  { files: [] },
  { files: [{ ...RECORD.files[0]!, file: '../../etc/passwd' }] },
  { files: [{ ...RECORD.files[0]!, sha256: 'x' }] },
  { format: 2 },
  { keys: 'many' },
])('%j makes it none', (change) => {
  expect(parseRecord(JSON.stringify({ format: 1, ...RECORD, ...change }))).toBeUndefined()
})

test('whatever stands in the file, nothing is thrown and no name leads elsewhere', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(parseRecord(text)?.files.every(({ file }) => isName(file)) ?? true).toBe(true)
    }),
  )
})
