/**
 * The directions of imports: a folder is named after a thing and imports only things that stand
 * before it. Also keeps the pure folders pure and the terminal libraries in `cli/`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../src')

/** A folder may import itself, `errors.ts`, and what stands before it here. */
const ORDER = [
  'bytes',
  'resp',
  'aof',
  'kernels',
  'servers',
  'rdb',
  'net',
  'replication',
  'disk',
  'archive',
  'rewrite',
  'analyze',
  'formats',
  'source',
  'target',
  'serving',
  'verbs',
]
/** bytes in, values out: no clock, no promise, no node: module but node:buffer. */
const PURE = new Set(['bytes', 'resp', 'aof', 'kernels', 'servers', 'rdb', 'rewrite', 'analyze'])
const TERMINAL = new Set(['commander', 'chalk', 'ora', 'cli-table3'])

const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.includes(join('kernels', 'assembly')))
  .map((name) => join(ROOT, name))

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1]!)
}

function folderOf(file: string): string {
  const [first, second] = relative(ROOT, file).split(sep)
  return second === undefined ? '' : first!
}

test('every folder of src stands in the order', () => {
  const folders = new Set(files.map(folderOf))
  folders.delete('')
  expect([...folders].filter((folder) => folder !== 'cli' && !ORDER.includes(folder))).toEqual([])
})

test('imports point down only', () => {
  const wrong: string[] = []
  for (const file of files) {
    const folder = folderOf(file)
    if (folder === '') continue
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith('.')) continue
      const target = resolve(dirname(file), specifier)
      const to = folderOf(target)
      const allowed =
        to === folder ||
        target === join(ROOT, 'errors.js') ||
        (folder === 'cli'
          ? ['bytes', 'verbs', 'source', 'net', 'disk', 'formats'].includes(to) ||
            target === join(ROOT, 'index.js')
          : ORDER.includes(to) && ORDER.indexOf(to) < ORDER.indexOf(folder))
      if (!allowed) wrong.push(`${relative(ROOT, file)} imports ${specifier}`)
    }
  }
  expect(wrong).toEqual([])
})

test('pure folders import no node: module but node:buffer and keep no clock', () => {
  const wrong: string[] = []
  for (const file of files) {
    if (!PURE.has(folderOf(file))) continue
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith('.') && specifier !== 'node:buffer') {
        wrong.push(`${relative(ROOT, file)} imports ${specifier}`)
      }
    }
    if (/\b(Date\.now|setTimeout|setInterval|new Promise)\b/.test(readFileSync(file, 'utf8'))) {
      wrong.push(`${relative(ROOT, file)} keeps a clock or a promise`)
    }
  }
  expect(wrong).toEqual([])
})

test('terminal libraries appear in cli/ only', () => {
  const wrong = files.filter(
    (file) => folderOf(file) !== 'cli' && importsOf(file).some((name) => TERMINAL.has(name)),
  )
  expect(wrong.map((file) => relative(ROOT, file))).toEqual([])
})
