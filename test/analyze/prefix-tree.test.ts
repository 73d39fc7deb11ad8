import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PrefixTree, type PrefixOptions } from '../../src/analyze/prefix-tree.js'

function treeOf(keys: readonly string[], options: PrefixOptions = {}): PrefixTree {
  const tree = new PrefixTree(options)
  for (const key of keys) {
    const bytes = Buffer.from(`<${key}>`)
    tree.add(bytes, 1, bytes.length - 1, 10)
  }
  return tree
}

function rowsOf(tree: PrefixTree): Record<string, number> {
  return Object.fromEntries(
    tree.largest(1_000_000).map((row) => [row.prefix.toString('latin1'), row.keys]),
  )
}

/** The plain way: a Map of strings. */
function expectedRows(
  keys: readonly string[],
  separator: string,
  depth: number,
): Record<string, number> {
  const rows = new Map<string, number>()
  for (const key of keys) {
    const pieces = key.split(separator)
    for (let count = 1; count <= Math.min(depth, pieces.length - 1); count += 1) {
      const prefix = pieces.slice(0, count).join(separator) + separator
      rows.set(prefix, (rows.get(prefix) ?? 0) + 1)
    }
  }
  return Object.fromEntries(rows)
}

test('each prefix has the keys and the memory below it', () => {
  const tree = treeOf(['user:1:cart', 'user:1:name', 'user:2:cart', 'page:x', 'plain', 'user:'])
  expect(rowsOf(tree)).toEqual({ 'user:': 4, 'user:1:': 2, 'user:2:': 1, 'page:': 1 })
  expect(tree.largest(1)[0]).toMatchObject({ keys: 4, memory: 40, depth: 1, merged: 0 })
  expect(tree.mergedPrefixes).toBe(0)
})

test('as long as nothing is merged the figures are those of a map of strings', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', ':', '-', '*'), maxLength: 12 })
  const separators = fc.constantFrom(':', '-', '::', ':-')
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 60 }),
      separators,
      fc.integer({ min: 1, max: 4 }),
      (keys, separator, depth) => {
        const tree = treeOf(keys, { separator: Buffer.from(separator), depth })
        expect(rowsOf(tree)).toEqual(expectedRows(keys, separator, depth))
      },
    ),
  )
})

test('too many names behind a prefix become one, and what is below them keeps its name', () => {
  const keys = Array.from({ length: 5000 }, (_, id) => [
    `user:${id}:cart:x`,
    `user:${id}:name:x`,
  ]).flat()
  const tree = treeOf([...keys, 'page:1'], { maxChildren: 100 })
  expect(rowsOf(tree)).toEqual({
    'user:': 10_000,
    'user:*:': 10_000,
    'user:*:cart:': 5000,
    'user:*:name:': 5000,
    'page:': 1,
  })
  expect(tree.largest(2)[1]!.merged).toBeGreaterThan(50)
  expect(tree.mergedPrefixes).toBeGreaterThan(50)
})

test('a name that holds much of the memory stays apart when others are merged', () => {
  const big = Array.from({ length: 3000 }, (_, at) => `cache:images:${at}`)
  const small = Array.from({ length: 500 }, (_, at) => `cache:${at}:x`)
  const rows = rowsOf(treeOf([...big, ...small], { depth: 2, maxChildren: 100 }))
  expect(rows).toEqual({ 'cache:': 3500, 'cache:images:': 3000, 'cache:*:': 500 })
})

test('random names by the hundred thousand stay within the limit, and nothing is lost', () => {
  const tree = new PrefixTree({ depth: 4, maxNodes: 500, maxChildren: 64 })
  let largestSize = 0
  let seed = 1
  const random = (): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed >>> 8
  }
  for (let count = 0; count < 100_000; count += 1) {
    const key = Buffer.from(`${random() % 300}:${random() % 40}:${random() % 3}:${random()}:x`)
    tree.add(key, 0, key.length, 1)
    largestSize = Math.max(largestSize, tree.size)
  }
  expect(largestSize).toBeLessThan(500)
  for (const depth of [1, 2]) {
    const rows = tree.largest(1_000_000).filter((row) => row.depth === depth)
    expect(rows.reduce((sum, row) => sum + row.keys, 0)).toBe(100_000)
  }
  expect(tree.mergedPrefixes).toBeGreaterThan(0)
})

test('pieces longer than a name can be are no prefixes', () => {
  const rows = rowsOf(treeOf([`a:${'x'.repeat(5000)}:b`, 'a:b:c']))
  expect(rows).toEqual({ 'a:': 2, 'a:b:': 1 })
})
