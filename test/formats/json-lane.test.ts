/**
 * What kernels write of whole stretches is, byte for byte, what the events of single elements give.
 * The latter is got by parsing from memory that is no kernel's.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteKernel } from '../../src/kernels/kernel.js'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { RdbError } from '../../src/errors.js'
import { countingLane } from '../helpers/counting-lane.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { KIND, type RdbVisitor } from '../../src/rdb/visitor.js'
import { JsonKeys, type JsonKeysOptions } from '../../src/formats/json-keys.js'
import { cutEvery, cutRandomly } from '../helpers/pieces.js'
import { anyRdb, double, lengthOf, listpack, scoreText, str } from '../helpers/rdb-values.js'
import { FIXTURES } from '../helpers/fixtures.js'

const OUTPUT_BYTES = 1 << 18
const INPUT_BYTES = 1 << 16
const kernel = new ByteKernel(OUTPUT_BYTES + INPUT_BYTES)
const output = kernel.allocate(OUTPUT_BYTES)
const input = kernel.allocate(INPUT_BYTES)

interface Written {
  text: string
  keys: number
  inexactStrings: number
  unorderedValues: number
  keysRead: number
  error: string | undefined
  /** What was told at the end of each key that is no string. */
  stats: string[]
  /** How much was taken as a whole. */
  taken: { records: number; elements: number; packed: number }
}

function write(
  pieces: Iterable<Buffer>,
  fast: boolean,
  options: JsonKeysOptions = { strings: 'text', layout: 'lines' },
): Written {
  const chunks: Buffer[] = []
  const out = new OutputBuffer((bytes) => chunks.push(Buffer.from(bytes)), output)
  const json = new JsonKeys(out, kernel, options)
  const stats: string[] = []
  const taken = { records: 0, elements: 0, packed: 0 }
  watch(json, stats)
  const parser = new RdbParser(json, { lane: countingLane(json.lane, taken) })
  let error: string | undefined
  try {
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; at += INPUT_BYTES) {
        const end = Math.min(piece.length, at + INPUT_BYTES)
        if (fast) {
          piece.copy(input, 0, at, end)
          parser.push(input.subarray(0, end - at))
          // Nothing may be read later.
          input.fill(0xaa, 0, end - at)
        } else {
          parser.push(piece.subarray(at, end))
        }
      }
    }
    parser.end()
  } catch (thrown) {
    if (!(thrown instanceof RdbError)) throw thrown
    error = thrown.message
  }
  json.finish()
  const text = Buffer.concat(chunks).toString('latin1')
  const { keys, inexactStrings, unorderedValues } = json
  const { keysRead } = parser
  return { text, keys, inexactStrings, unorderedValues, keysRead, error, stats, taken }
}

/** Keeps what is told of keys. */
function watch(json: JsonKeys, stats: string[]): void {
  const keyEnd = json.keyEnd.bind(json)
  const watched: Partial<RdbVisitor> = {
    keyEnd: (header, told) => {
      if (header.kind !== KIND.STRING) stats.push(JSON.stringify(told))
      keyEnd(header, told)
    },
  }
  Object.assign(json, watched)
}

/** All but how it was made. */
function same(fast: Written, plain: Written): void {
  expect(plain.taken).toEqual({ records: 0, elements: 0, packed: 0 })
  const unlike = fast.text === plain.text ? -1 : firstDifference(fast.text, plain.text)
  const near = (text: string): string => text.slice(Math.max(0, unlike - 80), unlike + 80)
  if (unlike >= 0) expect(near(fast.text)).toBe(near(plain.text))
  const rest = { text: undefined, taken: undefined }
  expect({ ...fast, ...rest }).toEqual({ ...plain, ...rest })
}

function firstDifference(a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at += 1
  return at
}

const MANY: JsonKeysOptions[] = [
  { strings: 'text', layout: 'lines' },
  { strings: 'text', layout: 'array' },
  { strings: 'base64', layout: 'lines' },
]

const file = (magic: string, ...records: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from(magic), ...records, Buffer.of(0xff), Buffer.alloc(8)])

const text = (value: string): Buffer => str(Buffer.from(value))

describe('generated files', () => {
  test('are written alike, whole and in pieces', () => {
    const seen = { records: 0, elements: 0, packed: 0 }
    fc.assert(
      fc.property(anyRdb, fc.constantFrom(...MANY), fc.nat(), (rdb, options, seed) => {
        const plain = write([rdb], false, options)
        const fast = write([rdb], true, options)
        same(fast, plain)
        same(write(cutRandomly(rdb, seed), true, options), plain)
        seen.records += fast.taken.records
        seen.elements += fast.taken.elements
        seen.packed += fast.taken.packed
      }),
      { numRuns: 400 },
    )
    // Else nothing would have been compared.
    expect(Math.min(seen.records, seen.elements, seen.packed)).toBeGreaterThan(500)
  })

  test('give the same error at the same byte when a byte is wrong', () => {
    fc.assert(
      fc.property(anyRdb, fc.nat(), fc.nat(255), (rdb, at, byte) => {
        const damaged = Buffer.from(rdb)
        damaged[9 + (at % (rdb.length - 9))] = byte
        const plain = write([damaged], false)
        same(write([damaged], true), plain)
      }),
      { numRuns: 600 },
    )
  })

  test('give the same error when they are cut', () => {
    fc.assert(
      fc.property(anyRdb, fc.nat(), (rdb, at) => {
        const cut = rdb.subarray(0, 9 + (at % (rdb.length - 9)))
        same(write([cut], true), write([cut], false))
      }),
      { numRuns: 400 },
    )
  })
})

describe('scores', () => {
  const zset = (members: number, scoreOf: (index: number) => number): [Buffer, Buffer] => {
    const scores = Array.from({ length: members }, (_, index) => scoreOf(index))
    const skiplist = scores.map((score, index) => Buffer.concat([text(`m${index}`), double(score)]))
    const entries = scores.flatMap((score, index) => {
      const written = scoreText(score)
      const isInteger = /^-?\d+$/.test(written) && written !== '-0'
      return [Buffer.from(`m${index}`), isInteger ? BigInt(written) : Buffer.from(written)]
    })
    return [
      file('REDIS0010', Buffer.of(5), text('z'), lengthOf(members), ...skiplist),
      file('REDIS0010', Buffer.of(17), text('z'), str(listpack(entries))),
    ]
  }

  test('with few decimals are all taken, as doubles and in %.17g', () => {
    for (const step of [0.00107, 0.01, 0.5, 3.33, 12345.67891, 1, 99999.99999, -0.07]) {
      const [skiplist, packed] = zset(100, (index) => Math.round(index * step * 1e5) / 1e5 || 1)
      const [a, b] = [write([skiplist], true), write([packed], true)]
      same(a, write([skiplist], false))
      same(b, write([packed], false))
      expect([a.taken.elements, b.taken.packed]).toEqual([100, 1])
      const values = (line: string): unknown => (JSON.parse(line) as { value: unknown }).value
      expect(values(a.text)).toEqual(values(b.text))
    }
  })

  test('one of many digits does not keep the others of a skiplist from being taken', () => {
    const [skiplist] = zset(100, (index) => (index % 10 === 5 ? Math.sqrt(index) : index))
    const fast = write([skiplist], true)
    same(fast, write([skiplist], false))
    expect(fast.taken.elements).toBeGreaterThanOrEqual(88)
  })
})

test('long lists whose encoding is known late are written alike', () => {
  const node = str(listpack(Array.from({ length: 500 }, (_, i) => Buffer.from(`element ${i} \n`))))
  for (const nodes of [1, 2, 60, 200]) {
    const list = Array.from({ length: nodes }, () => Buffer.concat([Buffer.of(2), node]))
    const record = Buffer.concat([Buffer.of(18), text('list'), lengthOf(nodes), ...list])
    const rdb = file('REDIS0011', record, record)
    const fast = write([rdb], true)
    same(fast, write([rdb], false))
    expect(fast.taken.packed).toBeGreaterThan(0)
    same(write(cutEvery(rdb, 4096), true), fast.taken.packed > 0 ? write([rdb], false) : fast)
  }
})

test('many small strings are all taken in rows, but for those at the edges of chunks', () => {
  const records = Array.from({ length: 20_000 }, (_, index) => {
    const expiry = Buffer.from('fc0000000000010000', 'hex')
    const value = index % 7 === 0 ? Buffer.of(0xc2, 1, 2, 3, 4) : text(`value "${index}" of a key`)
    const record = Buffer.concat([Buffer.of(0), text(`key:${index}`), value])
    return index % 5 === 0 ? Buffer.concat([expiry, record]) : record
  })
  const rdb = file('REDIS0011', ...records)
  const fast = write([rdb], true)
  same(fast, write([rdb], false))
  expect(fast.keys).toBe(20_000)
  expect(fast.taken.records).toBeGreaterThan(18_000)
})

test('without leave to take all strings, each key is asked for', () => {
  const records = Array.from({ length: 100 }, (_, i) => [Buffer.of(0), text(`k${i}`), text('v')])
  const rdb = file('REDIS0011', ...records.flat())
  const wanted = (): boolean => true
  const asked = write([rdb], true, { strings: 'text', layout: 'lines', wanted })
  const all = write([rdb], true, { strings: 'text', layout: 'lines', wanted, allStrings: true })
  expect([asked.taken.records, all.taken.records > 90]).toEqual([0, true])
  expect(asked.text).toBe(all.text)
})

describe('fixtures', () => {
  const root = FIXTURES
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rdb'),
  )

  test('all of them, the corrupt ones too, whole and in pieces', () => {
    expect(names.length).toBeGreaterThan(160)
    const seen = { records: 0, elements: 0, packed: 0 }
    for (const name of names) {
      const rdb = readFileSync(join(root, name))
      for (const options of MANY) {
        const plain = write([rdb], false, options)
        const fast = write([rdb], true, options)
        same(fast, plain)
        seen.records += fast.taken.records
        seen.elements += fast.taken.elements
        seen.packed += fast.taken.packed
        same(write(cutRandomly(rdb, 7), true, options), plain)
        if (rdb.length < 4096) same(write(cutEvery(rdb, 7), true, options), plain)
      }
    }
    expect(Math.min(seen.records, seen.elements, seen.packed)).toBeGreaterThan(160)
  })
})
