/**
 * The directions of imports: a folder is named after a thing and imports only things that stand
 * before it; no file reaches itself by its imports, types included; no room outgrows the others.
 * Also keeps the pure folders pure, the terminal libraries in `cli/`, and the top level as it is meant.
 */
import { execFileSync } from 'node:child_process'
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
  'topology',
  'disk',
  'storage',
  'archive',
  'repository',
  'rewrite',
  'analyze',
  'formats',
  'report',
  'source',
  'target',
  'serving',
  'verbs',
]
/** bytes in, values out: no clock, no promise, no node: module but node:buffer. */
const PURE = new Set(['bytes', 'resp', 'aof', 'kernels', 'servers', 'rdb', 'rewrite', 'analyze'])
/** No room holds more of the lines than this. */
const LARGEST_SHARE = 0.15
/** No folder holds more files without subfolders than this. */
const MOST_SIDE_BY_SIDE = 20
const TOP_LEVEL = new Set([
  ...['package.json', 'tsconfig.json', 'src', 'test', 'bin', 'fixtures', 'README.md'],
  // What tools demand there.
  ...['.ci', '.gitignore', '.prettierignore', '.prettierrc.json', 'eslint.config.js'],
  ...['package-lock.json', 'vitest.config.ts', 'LICENSE', 'CHANGELOG.md'],
])
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
          ? [
              'bytes',
              'verbs',
              'source',
              'net',
              'topology',
              'disk',
              'formats',
              'repository',
              'report',
            ].includes(to) || target === join(ROOT, 'index.js')
          : ORDER.includes(to) && ORDER.indexOf(to) < ORDER.indexOf(folder))
      if (!allowed) wrong.push(`${relative(ROOT, file)} imports ${specifier}`)
    }
  }
  expect(wrong).toEqual([])
})

test('no file imports itself by way of others, not even for types', () => {
  expect(circles(new Map(files.map((file) => [file, ownImportsOf(file)])))).toEqual([])
})

test('a circle of files is found, and files that share what they import are none', () => {
  const graph = new Map([
    ['a', ['b', 'd']],
    ['b', ['c']],
    ['c', ['a']],
    ['d', []],
    ['e', ['d', 'a']],
    ['f', ['f']],
  ])
  expect(circles(graph)).toEqual([['a', 'b', 'c'], ['f']])
})

test('no room holds more than its share of the lines', () => {
  const lines = new Map<string, number>()
  let all = 0
  for (const name of readdirSync(ROOT, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue
    const count = readFileSync(join(ROOT, name), 'utf8').split('\n').length
    // Each verb is a room of its own.
    const [first, second] = name.split(sep)
    const folder = first === 'verbs' ? join(first, second!) : folderOf(join(ROOT, name))
    lines.set(folder, (lines.get(folder) ?? 0) + count)
    all += count
  }
  const tooLarge = [...lines].filter(([, count]) => count > LARGEST_SHARE * all)
  expect(tooLarge).toEqual([])
})

test('no room holds more files side by side than one can look over', () => {
  const flat = new Map<string, number>()
  for (const file of files) {
    const folder = relative(ROOT, dirname(file))
    flat.set(folder, (flat.get(folder) ?? 0) + 1)
  }
  expect([...flat].filter(([, count]) => count > MOST_SIDE_BY_SIDE)).toEqual([])
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

/** The files of ours that a file imports. */
function ownImportsOf(file: string): string[] {
  return importsOf(file)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => resolve(dirname(file), specifier).replace(/\.js$/, '.ts'))
}

/** Each set of files that reach one another, by Tarjan's algorithm; names in order. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = []
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const visit = (file: string): void => {
    index.set(file, index.size)
    low.set(file, index.get(file)!)
    stack.push(file)
    for (const next of graph.get(file) ?? []) {
      if (!graph.has(next)) continue
      if (!index.has(next)) visit(next)
      if (stack.includes(next)) low.set(file, Math.min(low.get(file)!, low.get(next)!))
    }
    if (low.get(file) !== index.get(file)) return
    const members = stack.splice(stack.indexOf(file))
    const isCircle = members.length > 1 || graph.get(file)!.includes(file)
    if (isCircle) found.push(members.map((each) => relativeName(each)).sort())
  }
  for (const file of graph.keys()) if (!index.has(file)) visit(file)
  return found
}

function relativeName(file: string): string {
  return file.startsWith(ROOT) ? relative(ROOT, file) : file
}

test('the top level has what was meant to be there, and nothing that was left lying about', () => {
  const listed = execFileSync('git', ['ls-files'], { cwd: resolve(ROOT, '..'), encoding: 'utf8' })
  const names = new Set(listed.split('\n').map((path) => path.split('/')[0]!))
  expect([...names].filter((name) => name !== '' && !TOP_LEVEL.has(name))).toEqual([])
})
