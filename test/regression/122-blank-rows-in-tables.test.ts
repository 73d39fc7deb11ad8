/** A user saw an empty line below each row of every table, in a terminal only. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const DEMO = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')

test('a table in a terminal has its rows one below the other', async () => {
  const { out } = await runCli(['inspect', DEMO, '--no-color'], { tty: true, columns: 120 })
  const table = out.slice(out.indexOf('By type'), out.indexOf('By encoding')).trimEnd().split('\n')
  // Title, head, rule, and a row for each type.
  expect(table.length).toBeGreaterThan(6)
  expect(table.filter((line) => line.trim() === '')).toEqual([])
  // Sections are apart by one line.
  expect(out).not.toContain('\n\n\n')
})
