/** The library knows no word of the command line, and what it says is told in flags. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { inFlags } from '../../src/cli/words.js'

const ROOT = join(import.meta.dirname, '../../src')
const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter(
  (name) =>
    name.endsWith('.ts') &&
    !name.startsWith('cli') &&
    !name.includes('assembly') &&
    // Custom properties of a style begin as options do.
    !name.endsWith('.generated.ts'),
)
/** Without comments, which may show a call. */
const code = (name: string): string =>
  readFileSync(join(ROOT, name), 'utf8')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '')

test('no text of the library names an option or a command of the command line', () => {
  const found = files.flatMap((name) =>
    [
      ...code(name).matchAll(
        /['"`\s(](--[a-z][a-z-]+|rrep (?:sync|tail|inspect|replay|diff|export|serve|backup|restore|history|sql|doctor|demo)\b|exit (?:code|status))/g,
      ),
    ]
      .map((match) => `${name}: ${match[1]!}`)
      // What a server is started with.
      .filter((each) => each !== 'source/scratch-server.ts: --version'),
  )
  expect(found).toEqual([])
})

test('each option that a text of the library names is known to the command line', () => {
  const names = files.flatMap((name) =>
    [
      ...code(name).matchAll(
        /\\?`([a-z]+[A-Z][A-Za-z.]*(?:\(\))?|[a-z.]+\(\))(?:: '[a-z]+')?\\?`/g,
      ),
    ].map((match) => match[1]!),
  )
  expect(names.length).toBeGreaterThan(20)
  expect(names.filter((name) => inFlags(`\`${name}\``) === `\`${name}\``)).toEqual([])
})

test('options, values and functions become what is typed', () => {
  expect(inFlags("use `onConflict: 'replace'` or `emptyTarget`, else `replay()`")).toBe(
    'use --on-conflict replace or --empty-target, else rrep replay',
  )
  expect(inFlags('`bind` of the server, a key `x`')).toBe('`bind` of the server, a key `x`')
})
