/** In a terminal of 60 columns and less the tables of inspect broke every row over two lines. */
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')

/** The lines of a table, from its title to the blank line. */
function table(out: string, title: string): string[] {
  const lines = out.split('\n')
  const at = lines.findIndex((line) => line.startsWith(title))
  expect(at).toBeGreaterThanOrEqual(0)
  const from = lines.slice(at + 1)
  return from.slice(0, from.indexOf(''))
}

test.each([100, 60, 50])('at %i columns each row is one line', async (columns) => {
  const { out } = await runCli(['inspect', DUMP, '--no-color'], { tty: true, columns })
  for (const title of ['By type', 'Largest prefixes', 'By encoding', 'Largest keys']) {
    const lines = table(out, title)
    const widest = Math.max(...lines.map((line) => line.length))
    expect(widest, lines.join('\n')).toBeLessThanOrEqual(columns)
    expect(lines.join('\n')).toContain('memory')
  }
})

test('at 100 columns nothing is left out', async () => {
  const { out } = await runCli(['inspect', DUMP, '--no-color'], { tty: true, columns: 100 })
  expect(table(out, 'By type')[0]).toMatch(/type +keys +elements +memory +share +largest +its key/)
})
