/** `rrep sql` looked whether the query was a file, which no disk says of more than 255 bytes in one name. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'

const DEMO = join(FIXTURES, 'demo/ecommerce.rdb')

test('a long query is answered, a file in its place is told', async () => {
  const conditions = Array.from({ length: 60 }, (_, i) => `size_in_bytes > ${i}`).join(' and ')
  const query = `select count(*) n from keys where ${conditions}`
  expect(query.length).toBeGreaterThan(1000)
  const { code, out, err } = await runCli(['sql', DEMO, query])
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/^n\n\d+\n$/)
  expect((await runCli(['sql', DEMO])).err).toContain('there is no query')
})
