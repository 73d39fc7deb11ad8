/** Columns of keys: what the kernel takes at once is what is told key by key. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { KeyAnalysis } from '../../src/analyze/key-analysis.js'
import { KeyBlock, KeyColumns } from '../../src/formats/columns/key-columns.js'
import { readRdbFile } from '../../src/verbs/inspect/run.js'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-columns-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

type Row = readonly unknown[]

async function rowsOf(file: string, byLane: boolean, rows: number): Promise<Row[]> {
  const found: Row[] = []
  const columns = new KeyColumns(rows, {
    newBlock: () => new KeyBlock(rows, byLane),
    onFull: (block) => {
      let start = 0
      for (let row = 0; row < block.count; row += 1) {
        const end = block.nameEnds[row]!
        found.push([
          ...[block.databases[row], columns.types[block.types[row]!], block.encodings[row]],
          ...[block.memory[row], block.elements[row], block.largest[row], block.expiries[row]],
          block.names.toString('utf8', start, end),
        ])
        start = end
      }
      return block
    },
  })
  const visitor = new KeyAnalysis({
    nowMs: 0,
    top: 0,
    onKey: columns.add,
    ...(byLane ? { onStrings: columns.addStrings } : {}),
  })
  const { error } = await readRdbFile(file, visitor, { walkElements: true }, false)
  expect(error).toBeUndefined()
  columns.flush()
  return found
}

const PLAIN = Array.from('abcXYZ:_-0123 ,"{}\'=')

const name = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: fc.constantFrom(...PLAIN), maxLength: 40 }) },
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('a', '\\', '\n', 'é', '\u202e'), maxLength: 20 }),
)
const value = fc.oneof(fc.string({ maxLength: 80 }), fc.integer().map(String))

test('many strings are told as each of them is', async () => {
  const file = join(dir, 'some.rdb')
  const keys = fc.dictionary(name, value, { minKeys: 1, maxKeys: 300, noNullPrototype: true })
  await fc.assert(
    fc.asyncProperty(keys, fc.constantFrom(1, 7, 64, 4096), async (all, rows) => {
      writeFileSync(file, rdbBytes({ body: rdbBody(all), checksum: 'zero' }))
      const plain = await rowsOf(file, false, 1000)
      expect(await rowsOf(file, true, rows)).toEqual(plain)
      expect(plain.length).toBe(Object.keys(all).length)
    }),
    { numRuns: 60 },
  )
})
