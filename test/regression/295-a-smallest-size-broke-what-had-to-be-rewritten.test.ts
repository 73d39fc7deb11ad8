/** With a smallest size, values reach the writer of a dump by another way: they must come out the same. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exportToBuffer } from '../helpers/export.js'

const FIXTURES = join(import.meta.dirname, '../../fixtures')

test.each([
  ['redis-8.6/streams.rdb', '6.2.0'],
  ['redis-8.6/types.rdb', '6.2.0'],
  ['redis-8.6/hash-field-ttl.rdb', '7.0.0'],
  ['redis-7.0/types.rdb', '7.0.0'],
])('%s for %s', async (file, version) => {
  const options = {
    source: join(FIXTURES, file),
    format: 'rdb',
    target: { family: 'redis', version },
  } as const
  const plain = await exportToBuffer({ ...options, filter: { noMatch: ['none of them'] } })
  const gated = await exportToBuffer({ ...options, filter: { minSizeBytes: 1 } })
  expect(gated.result.keysWritten).toBe(plain.result.keysWritten)
  expect(gated.result.keysWritten).toBeGreaterThan(10)
  expect(gated.result.losses).toEqual(plain.result.losses)
  expect(gated.bytes.equals(plain.bytes)).toBe(true)
})
