/** The codes of errors: a closed list, each with a line, none that nothing throws. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ERROR_CODES } from '../src/errors.js'

const ROOT = join(import.meta.dirname, '../src')
const source = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && name !== 'error-codes.ts')
  .map((name) => readFileSync(join(ROOT, name), 'utf8'))
  .join('\n')
  // Who asks for a code does not throw it; nor does a type that names it.
  .replaceAll(/(?:===|!==|case|\|)\s*'ERR_\w+'/g, '')
  .replaceAll(/'ERR_\w+'(?=\s*\|)/g, '')

test.each(Object.entries(ERROR_CODES))('%s is thrown somewhere: %s', (code, line) => {
  expect(source).toContain(`'${code}'`)
  expect(line).toMatch(/^[a-zA-Z].{9,}[^.]$/)
})
