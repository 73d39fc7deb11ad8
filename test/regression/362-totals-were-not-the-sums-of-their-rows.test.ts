/** The total of `inspect` was some bytes apart from the sum of `--csv`, of `sql` and of `--compare`: keys
 * were added up with fractions of bytes, and told without. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fixtureFiles, FIXTURES } from '../helpers/fixtures.js'
import { growth } from '../../src/verbs/growth/run.js'
import { inspect } from '../../src/verbs/inspect/run.js'

const files = [...fixtureFiles('types.rdb').map(({ path }) => path)]

test.each([...files, join(FIXTURES, 'demo/ecommerce.rdb')])('%s', async (file) => {
  let rows = 0
  const told = await inspect(file, { onKey: ({ memory }) => (rows += memory) })
  expect(told.memory).toBe(rows)
  const byType = told.types.reduce((sum, [, { memory }]) => sum + memory, 0)
  expect(byType).toBe(rows)
  const { total } = await growth(file, file)
  expect(total.now.memory).toBe(told.memory)
})
