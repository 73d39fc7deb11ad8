/** src/README.md says what the types say: `npm run docs` makes it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeDocs } from './make-docs.js'
import { unexportedTypes } from './public-types.js'

test('the page of the library is what its types and examples make', async () => {
  const page = readFileSync(join(import.meta.dirname, '../../src/README.md'), 'utf8')
  expect(page).toBe(await makeDocs())
})

test('each type that a public one names is public', () => {
  expect(unexportedTypes()).toEqual([])
})
