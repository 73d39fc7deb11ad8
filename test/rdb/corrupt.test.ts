/** Damaged files, each with the damage that its README names: an error that says so, no crash. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { RdbError } from '../../src/errors.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH, type Depth } from '../../src/rdb/visitor.js'
import { collect } from '../helpers/rdb-rows.js'
import { FIXTURES } from '../helpers/fixtures.js'

interface Entry {
  file: string
  kind: 'structural' | 'payload' | 'semantic' | 'checksum' | 'trailing' | 'harmless'
  damageOffset: number | null
  intactKeysBefore: number
}

const folder = join(FIXTURES, 'corrupt')
const entries = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as
  Entry[] | { files: Entry[] }
const list = Array.isArray(entries) ? entries : entries.files

/** What each error must say; the rest of a message is free. */
const SAYS: Record<string, RegExp> = {
  'bad-magic.rdb': /not an RDB file/,
  'text-file.rdb': /not an RDB file/,
  'unknown-version-99.rdb': /version 99/,
  'version-not-a-number.rdb': /version is no number/,
  'unknown-type-byte.rdb': /type byte 120/,
  'bad-checksum.rdb': /checksum/,
  'flipped-bit-in-value.rdb': /checksum/,
  'huge-string-length.rdb': /length of 46116/,
  'unknown-string-encoding.rdb': /string encoding 5/,
  'duplicate-key.rdb': /before occurs twice/,
  'expiry-without-key.rdb': /no key behind/,
  'lzf-wrong-length.rdb': /LZF/,
  'lzf-bad-backreference.rdb': /LZF/,
  'lzf-huge-length.rdb': /compressed bytes cannot hold/,
  'ziplist-wrong-bytes.rdb': /says it has 54 bytes, it has 44/,
  'ziplist-wrong-tail.rdb': /tail offset/,
  'ziplist-wrong-prevlen.rdb': /one before has/,
  'ziplist-entry-overruns.rdb': /past the end/,
  'ziplist-no-end-byte.rdb': /0xff/,
  'listpack-wrong-bytes.rdb': /says it has 36 bytes, it has 39/,
  'listpack-wrong-count.rdb': /says 40 entries, there are 6/,
  'listpack-bad-encoding.rdb': /past the end/,
  'listpack-unknown-encoding.rdb': /0xf6/,
  'listpack-wrong-backlen.rdb': /back-length/,
  'listpack-odd-hash.rdb': /no value/,
  'listpack-duplicate-field.rdb': /same field occurs twice/,
  'intset-wrong-length.rdb': /says it has 400 members/,
  'intset-wrong-width.rdb': /width of 3/,
  'intset-not-sorted.rdb': /ascending/,
  'quicklist-unknown-container.rdb': /container 7/,
  'huge-list-count.rdb': /length of 46116/,
  'empty-list.rdb': /no elements/,
  'zset-nan-score.rdb': /NaN/,
  'stream-wrong-entry-count.rdb': /ends before its entries/,
  'stream-short-node-key.rdb': /8 bytes, not 16/,
  'stream-orphan-pending.rdb': /not in the group's list/,
  'listpack-ex-not-triples.rdb': /triples/,
}
/** Found where the walk ends or turns, not where the damage begins. */
const FOUND_LATER = new Set([
  'flipped-bit-in-value.rdb',
  'listpack-wrong-count.rdb',
  'listpack-duplicate-field.rdb',
  'intset-not-sorted.rdb',
  'stream-wrong-entry-count.rdb',
])

const DEPTHS: [string, Depth][] = [
  ['skip', DEPTH.SKIP],
  ['raw', DEPTH.RAW],
  ['elements', DEPTH.ELEMENTS],
]

describe('the corrupt set', () => {
  for (const { file, kind, damageOffset, intactKeysBefore } of list) {
    for (const [name, depth] of DEPTHS) {
      test(`${file}, --check at depth ${name}`, () => {
        const bytes = readFileSync(join(folder, file))
        const parse = (): RdbParser => {
          const parser = new RdbParser({ key: () => depth }, { validate: true, file })
          parser.push(bytes)
          return parser
        }
        if (kind === 'harmless' || kind === 'trailing') {
          const summary = parse().end()
          expect(summary.keysRead).toBe(3)
          expect(summary.trailingBytes).toBe(kind === 'trailing' ? 64 : 0)
          expect(summary.checksum).toBe(kind === 'harmless' ? 'absent' : 'ok')
          return
        }
        const error = errorOf(() => parse().end())
        const isTruncated = file.startsWith('truncated') || file === 'empty-file.rdb'
        const isUnknown = file === 'unknown-version-99.rdb'
        expect(error.code).toBe(
          isTruncated ? 'ERR_RDB_TRUNCATED' : isUnknown ? 'ERR_RDB_UNSUPPORTED' : 'ERR_RDB_CORRUPT',
        )
        if (!isTruncated) expect(error.message).toMatch(SAYS[file]!)
        expect(error.where.file).toBe(file)
        const at = error.where.byteOffset!
        if (FOUND_LATER.has(file)) expect(at).toBeGreaterThan(damageOffset!)
        else expect(Math.abs(at - damageOffset!)).toBeLessThan(2)
        expect(error.where.keysRead).toBe(kind === 'checksum' ? 3 : intactKeysBefore)
        if (kind === 'payload') expect(error.where).toMatchObject({ dbnum: 1, key: 'target' })
      })
    }
  }

  test('without strict, what servers tolerate is a notice', () => {
    for (const [file, notice] of [
      ['empty-list.rdb', 'empty-value'],
      ['expiry-without-key.rdb', 'attribute-without-key'],
      ['duplicate-key.rdb', 'duplicate-key'],
    ] as const) {
      const bytes = readFileSync(join(folder, file))
      const { collector } = collect([bytes], { validate: true, strict: false })
      expect(collector.notices).toEqual([notice])
    }
  })

  test('a bad checksum can be a report', () => {
    const bytes = readFileSync(join(folder, 'bad-checksum.rdb'))
    expect(collect([bytes], { checksum: 'report' }).summary.checksum).toBe('bad')
    expect(collect([bytes], { checksum: 'ignore' }).summary.checksum).toBe('unchecked')
  })
})

function errorOf(act: () => unknown): RdbError {
  try {
    act()
  } catch (error) {
    if (error instanceof RdbError) return error
    throw error
  }
  throw new Error('no error')
}
